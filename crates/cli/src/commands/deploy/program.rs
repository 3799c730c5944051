//! What a service's tasks run, as deploy's options say it, and the task definition that says the same.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_ecs as ecs;

use super::DeployArgs;
use super::names::{Names, TAG};

/// One container with what can be told to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub image: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub port: u16,
    pub cpu: String,
    pub memory: String,
    /// `None`: the role that deploy makes.
    pub task_role: Option<String>,
}

impl Program {
    fn new(image: &str) -> Program {
        Program {
            image: image.to_owned(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            port: 80,
            cpu: String::from("256"),
            memory: String::from("512"),
            task_role: None,
        }
    }

    /// What a definition of deploy's says. One that says more was made by somebody else.
    pub fn of(definition: &ecs::TaskDefinition, role: &str) -> Result<Program> {
        let containers = definition.container_definitions.as_deref().unwrap_or_default();
        let [container] = containers else {
            bail!(
                "the service's task definition has {} containers and deploy knows of one: \
                 update the service through the API",
                containers.len()
            );
        };
        let pairs = container.environment.iter().flatten();
        let port = container.port_mappings.iter().flatten().find_map(|port| port.container_port);
        let is_own = |arn: &&String| !arn.ends_with(&format!(":role/{role}"));
        Ok(Program {
            image: container.image.clone().unwrap_or_default(),
            command: container.command.clone().unwrap_or_default(),
            environment: pairs.filter_map(|pair| Some((pair.name.clone()?, pair.value.clone()?))).collect(),
            port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(80),
            cpu: definition.cpu.clone().unwrap_or_default(),
            memory: definition.memory.clone().unwrap_or_default(),
            task_role: definition.task_role_arn.as_ref().filter(is_own).cloned(),
        })
    }

    /// What is to run now: what is not said stays as it was.
    pub fn told(before: Option<Program>, args: &DeployArgs) -> Result<Program> {
        let mut program = before.unwrap_or_else(|| Program::new(&args.image));
        program.image.clone_from(&args.image);
        if !args.command.is_empty() {
            program.command.clone_from(&args.command);
        }
        for pair in &args.env {
            let (name, value) =
                pair.split_once('=').with_context(|| format!("--env {pair}: expected NAME=VALUE"))?;
            program.environment.insert(name.to_owned(), value.to_owned());
        }
        for name in &args.unset {
            if program.environment.remove(name).is_none() {
                bail!("--unset {name}: the service has no such variable");
            }
        }
        program.port = args.port.unwrap_or(program.port);
        program.cpu = args.cpu.clone().unwrap_or(program.cpu);
        program.memory = args.memory.clone().unwrap_or(program.memory);
        program.task_role = args.task_role.clone().or(program.task_role);
        Ok(program)
    }

    pub fn definition(&self, names: &Names, role: &str, region: &str) -> ecs::RegisterTaskDefinitionRequest {
        let options = [
            ("awslogs-group", names.log_group()),
            ("awslogs-region", region.to_owned()),
            ("awslogs-stream-prefix", names.service.clone()),
        ];
        let pair = |(name, value): (&String, &String)| ecs::KeyValuePair {
            name: Some(name.clone()),
            value: Some(value.clone()),
        };
        let port = ecs::PortMapping {
            container_port: Some(i32::from(self.port)),
            protocol: Some(String::from("tcp")),
            ..Default::default()
        };
        let container = ecs::ContainerDefinition {
            name: Some(names.service.clone()),
            image: Some(self.image.clone()),
            essential: Some(true),
            command: (!self.command.is_empty()).then(|| self.command.clone()),
            environment: Some(self.environment.iter().map(pair).collect()),
            port_mappings: Some(vec![port]),
            log_configuration: Some(ecs::LogConfiguration {
                log_driver: String::from("awslogs"),
                options: Some(options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()),
                ..Default::default()
            }),
            ..Default::default()
        };
        ecs::RegisterTaskDefinitionRequest {
            family: names.service.clone(),
            requires_compatibilities: Some(vec![String::from("FARGATE")]),
            network_mode: Some(String::from("awsvpc")),
            cpu: Some(self.cpu.clone()),
            memory: Some(self.memory.clone()),
            execution_role_arn: Some(role.to_owned()),
            // AWS: execute command asks for one.
            task_role_arn: Some(self.task_role.clone().unwrap_or_else(|| role.to_owned())),
            container_definitions: vec![container],
            tags: Some(vec![ecs::Tag { key: Some(TAG.to_owned()), value: Some(names.owner()) }]),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Region;

    use super::*;

    /// The definition as the API describes it.
    fn described(request: ecs::RegisterTaskDefinitionRequest) -> ecs::TaskDefinition {
        ecs::TaskDefinition {
            container_definitions: Some(request.container_definitions),
            cpu: request.cpu,
            memory: request.memory,
            task_role_arn: request.task_role_arn,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let names = Names::new("default", "web", &Region::default_region()).expect("a name");
        let role = format!("arn:aws:iam::000000000000:role/{}", names.role());
        let args = |image: &str| DeployArgs { image: image.to_owned(), ..DeployArgs::default() };
        let first = DeployArgs {
            env: vec!["A=b=c".into(), "D=".into()],
            port: Some(8080),
            cpu: Some("512".into()),
            command: vec!["serve".into()],
            ..args("web:1")
        };
        let first = Program::told(None, &first).expect("a program");
        let read = Program::of(&described(first.definition(&names, &role, "us-east-1")), &names.role());
        assert_eq!(read.as_ref().expect("one container"), &first);
        let second = Program::told(Some(first.clone()), &args("web:2")).expect("a program");
        assert_eq!(second, Program { image: "web:2".into(), ..first.clone() });
        let third = DeployArgs { unset: vec!["D".into()], ..args("web:2") };
        let third = Program::told(Some(second), &third).expect("a program");
        assert_eq!(third.environment, BTreeMap::from([("A".into(), "b=c".into())]));
        let wrong = DeployArgs { unset: vec!["D".into()], ..args("web:2") };
        assert!(Program::told(Some(third.clone()), &wrong).is_err());
        let wrong = DeployArgs { env: vec!["A".into()], ..args("web:2") };
        assert!(Program::told(Some(third), &wrong).is_err());
    }
}
