//! What a service's tasks are to be: checked as RunTask checks, and its balancers with ELB.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_ecs as aws;
use aws_elbv2::op as elb;
use base::Fault;
use core_lifecycle::{LaunchType, NetworkMode};
use service::Tx;

use super::{network, run_task};
use crate::behaviour::assign;
use crate::faults::service::{BalancerError, ServiceError};
use crate::state::definition::{Spec, TaskDefinition};
use crate::state::kept::Kept;
use crate::state::service::{AdvancedConfiguration, LoadBalancer, NetworkConfiguration, Strategy};

/// What the tasks of a service are asked to be.
#[derive(Debug, Clone)]
pub struct Asked {
    pub definition: Arc<TaskDefinition>,
    pub launch_type: LaunchType,
    pub platform_version: Option<String>,
    pub network: Option<NetworkConfiguration>,
    pub balancers: Vec<LoadBalancer>,
    pub enable_execute_command: bool,
    pub strategy: Strategy,
}

/// AWS: target groups of one service.
const MOST_GROUPS: usize = 5;

/// Everything that can be judged before a task is started.
pub fn check(tx: &mut Tx<'_>, asked: &Asked) -> Result<(), Fault> {
    let spec = &asked.definition.spec;
    run_task::platform(asked.platform_version.as_deref(), asked.launch_type)?;
    run_task::sound(tx, &asked.definition.family, spec, asked.launch_type)?;
    exec(asked)?;
    let network: Option<aws::NetworkConfiguration> = asked.network.give();
    let network = network.and_then(|network| network.awsvpc_configuration);
    run_task::network(tx, network, spec, asked.launch_type)?;
    balancers(tx, asked)
}

pub fn exec(asked: &Asked) -> Result<(), ServiceError> {
    let has_role = asked.definition.spec.task_role.is_some();
    if asked.enable_execute_command && !has_role { Err(ServiceError::NoTaskRole) } else { Ok(()) }
}

/// AWS: a role of one's own is of the days before the service-linked one.
pub fn role(asked: &Asked) -> ServiceError {
    let is_linked = asked.definition.spec.is_awsvpc() || asked.balancers.len() != 1;
    if is_linked { ServiceError::Role } else { ServiceError::NotYet(String::from("role")) }
}

fn balancers(tx: &mut Tx<'_>, asked: &Asked) -> Result<(), Fault> {
    let spec = &asked.definition.spec;
    let needs_advanced = match asked.strategy {
        Strategy::Rolling => None,
        Strategy::BlueGreen => Some("BLUE_GREEN"),
        Strategy::Linear { .. } => Some("LINEAR"),
        Strategy::Canary { .. } => Some("CANARY"),
    };
    // AWS: without a balancer, blue/green replaces all tasks at once; steps need traffic to move.
    if let Some(strategy @ ("LINEAR" | "CANARY")) = needs_advanced
        && asked.balancers.is_empty()
    {
        return Err(BalancerError::None(strategy).into());
    }
    if asked.balancers.len() > MOST_GROUPS {
        return Err(BalancerError::TooMany(MOST_GROUPS).into());
    }
    let mut seen = BTreeSet::new();
    for balancer in &asked.balancers {
        let group = container(balancer, spec)?;
        if !seen.insert((group, &balancer.container_name, balancer.container_port)) {
            return Err(BalancerError::Twice(String::from(group)).into());
        }
        target_group(tx, group, spec)?;
        match (&balancer.advanced_configuration, needs_advanced) {
            (Some(advanced), _) => self::advanced(tx, group, advanced, spec)?,
            (None, Some(strategy)) => return Err(BalancerError::NoAdvanced(strategy).into()),
            (None, None) => {}
        }
    }
    Ok(())
}

/// The service that moves traffic in the role of an advanced configuration.
const SERVICES: &str = "ecs.amazonaws.com";

/// A second group beside `group`, and rules that forward to both.
fn advanced(tx: &mut Tx<'_>, group: &str, asked: &AdvancedConfiguration, spec: &Spec) -> Result<(), Fault> {
    let alternate = said(&asked.alternate_target_group_arn, "alternateTargetGroupArn")?;
    let production = said(&asked.production_listener_rule, "productionListenerRule")?;
    let role = said(&asked.role_arn, "roleArn")?;
    if alternate == group {
        return Err(BalancerError::Twice(String::from(group)).into());
    }
    target_group(tx, alternate, spec)?;
    let groups = forwarded(tx, production)?;
    for group in [group, alternate] {
        if !groups.contains(group) {
            let (rule, group) = (String::from(production), String::from(group));
            return Err(BalancerError::RuleElsewhere { rule, group }.into());
        }
    }
    if let Some(test) = asked.test_listener_rule.as_deref().filter(|rule| !rule.is_empty()) {
        let groups = forwarded(tx, test)?;
        if !groups.contains(group) && !groups.contains(alternate) {
            let (rule, group) = (String::from(test), String::from(group));
            return Err(BalancerError::RuleElsewhere { rule, group }.into());
        }
    }
    run_task::role_is_assumable(tx, role, SERVICES).map_err(|fault| match fault.code.as_ref() {
        "ClientException" => BalancerError::Role(String::from(role)).into(),
        _ => fault,
    })
}

/// The groups that a rule, or a listener of a network balancer, forwards to.
fn forwarded(tx: &mut Tx<'_>, arn: &str) -> Result<BTreeSet<String>, Fault> {
    let caller = network::platform(tx.caller);
    let named = Some(vec![String::from(arn)]);
    let is_listener = arn.contains(":listener/");
    let actions = if is_listener {
        let request = aws_elbv2::DescribeListenersInput { listener_arns: named, ..Default::default() };
        let answer = tx.call_as::<elb::DescribeListeners>(&caller, request).ok();
        let found = answer.and_then(|answer| answer.listeners).and_then(|found| found.into_iter().next());
        found.map(|listener| listener.default_actions)
    } else {
        let request = aws_elbv2::DescribeRulesInput { rule_arns: named, ..Default::default() };
        let answer = tx.call_as::<elb::DescribeRules>(&caller, request).ok();
        let found = answer.and_then(|answer| answer.rules).and_then(|found| found.into_iter().next());
        found.map(|rule| rule.actions)
    };
    let actions = actions.ok_or_else(|| BalancerError::Rule(String::from(arn)))?;
    let mut groups = BTreeSet::new();
    for action in actions.into_iter().flatten() {
        groups.extend(action.target_group_arn);
        let forward = action.forward_config.and_then(|forward| forward.target_groups);
        groups.extend(forward.into_iter().flatten().filter_map(|tuple| tuple.target_group_arn));
    }
    Ok(groups)
}

/// A member that must be there.
fn said<'a>(text: &'a Option<String>, name: &'static str) -> Result<&'a str, BalancerError> {
    text.as_deref().filter(|text| !text.is_empty()).ok_or(BalancerError::Blank(name))
}

/// The group of a balancer whose container is in the definition.
fn container<'a>(balancer: &'a LoadBalancer, spec: &Spec) -> Result<&'a str, BalancerError> {
    let group = said(&balancer.target_group_arn, "targetGroupArn")?;
    let name = said(&balancer.container_name, "containerName")?;
    let port = balancer.container_port.ok_or(BalancerError::Blank("containerPort"))?;
    let container = spec.containers.iter().find(|container| container.name() == name);
    let container = container.ok_or_else(|| BalancerError::Container(String::from(name)))?;
    let mut ports = container.port_mappings.iter().flatten();
    if ports.any(|mapping| mapping.container_port == Some(port)) {
        Ok(group)
    } else {
        Err(BalancerError::Port { container: String::from(name), port })
    }
}

/// A group that exists, hangs on a balancer, and takes what the definition's tasks are.
fn target_group(tx: &mut Tx<'_>, arn: &str, spec: &Spec) -> Result<(), Fault> {
    let caller = network::platform(tx.caller);
    let request = aws_elbv2::DescribeTargetGroupsInput {
        target_group_arns: Some(vec![String::from(arn)]),
        ..Default::default()
    };
    let answer = tx.call_as::<elb::DescribeTargetGroups>(&caller, request);
    let found =
        answer.ok().and_then(|answer| answer.target_groups).and_then(|groups| groups.into_iter().next());
    let group = found.ok_or(BalancerError::Group)?;
    let (mode, takes) = match assign::network_mode(spec) {
        NetworkMode::Awsvpc => ("awsvpc", "ip"),
        NetworkMode::Bridge => ("bridge", "instance"),
        NetworkMode::Host => ("host", "instance"),
        // Nothing reaches such a task: no type fits.
        NetworkMode::None => ("none", ""),
    };
    let found = group.target_type.unwrap_or_default();
    if found != takes {
        return Err(BalancerError::TargetType { group: String::from(arn), found, mode }.into());
    }
    if group.load_balancer_arns.is_none_or(|arns| arns.is_empty()) {
        return Err(BalancerError::Unattached(String::from(arn)).into());
    }
    Ok(())
}
