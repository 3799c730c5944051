//! `boxship destroy SERVICE`: removes what `boxship deploy` has made for it, and nothing else.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_ec2::DeleteSecurityGroupRequest;
use aws_ec2::op::DeleteSecurityGroup;
use aws_ecs::op::{
    DeleteCluster, DeleteService, DeleteTaskDefinitions, DeregisterTaskDefinition, DescribeTaskDefinition,
    ListTaskDefinitions,
};
use aws_ecs::{
    DeleteClusterRequest, DeleteServiceRequest, DeleteTaskDefinitionsRequest,
    DeregisterTaskDefinitionRequest, DescribeTaskDefinitionRequest, ListTaskDefinitionsRequest,
};
use aws_elbv2::op::{DeleteLoadBalancer, DeleteTargetGroup};
use aws_elbv2::{DeleteLoadBalancerInput, DeleteTargetGroupInput};
use aws_iam::op::{DeleteRole, DetachRolePolicy, ListAttachedRolePolicies};
use aws_iam::{DeleteRoleRequest, DetachRolePolicyRequest, ListAttachedRolePoliciesRequest};
use aws_logs::DeleteLogGroupRequest;
use aws_logs::op::DeleteLogGroup;
use clap::Args;

use super::deploy::names::{Names, TAG};
use super::deploy::{balancer, network, resources};
use super::find_service::{look, status, tag};
use crate::client::{Client, refused_with};
use crate::patience::Patience;
use crate::screen::Steps;

const POLL: Duration = Duration::from_millis(150);
/// As often a group whose interfaces are just leaving is tried again: half a minute.
const TRIES: u32 = 200;
/// AWS: definitions in one DeleteTaskDefinitions.
const AT_ONCE: usize = 10;

#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The service's name
    pub service: String,
    #[arg(long, default_value = "default")]
    pub cluster: String,
    /// Without asking
    #[arg(long, short)]
    pub yes: bool,
}

/// One thing that deploy has made.
enum Made {
    Service,
    Balancer(String),
    TargetGroup { name: String, arn: String },
    SecurityGroup { name: String, id: String },
    Definitions(Vec<String>),
    LogGroup,
    Role,
    Cluster,
}

impl Made {
    fn told(&self, names: &Names) -> String {
        match self {
            Made::Service => format!("service {} and its tasks", names.service),
            Made::Balancer(_) => format!("load balancer {}", names.service),
            Made::TargetGroup { name, .. } => format!("target group {name}"),
            Made::SecurityGroup { name, .. } => format!("security group {name}"),
            Made::Definitions(all) => {
                format!("{} of task definition {}", revisions(all.len()), names.service)
            }
            Made::LogGroup => format!("log group {} and its logs", names.log_group()),
            Made::Role => format!("role {}", names.role()),
            Made::Cluster => format!("cluster {}, if nothing else is in it", names.cluster),
        }
    }
}

fn revisions(count: usize) -> String {
    if count == 1 { String::from("1 revision") } else { format!("{count} revisions") }
}

pub async fn run(client: &Client, args: &DestroyArgs) -> Result<ExitCode> {
    let names = Names::new(&args.cluster, &args.service, client.region())?;
    let made = found(client, &names).await?;
    // A cluster alone is no service of deploy's.
    if made.iter().all(|one| matches!(one, Made::Cluster)) {
        bail!("nothing of {} was made by `boxship deploy`", names.owner());
    }
    if !args.yes && !is_wanted(&made, &names)? {
        return Ok(ExitCode::FAILURE);
    }
    let steps = Steps::new(false);
    for one in &made {
        let told = one.told(&names);
        steps.now(&format!("removing the {told}"));
        if remove(client, &names, one, &steps).await? {
            steps.done(&format!("removed: {told}"));
        }
    }
    steps.end();
    println!("{}", names.service);
    Ok(ExitCode::SUCCESS)
}

/// Asks on a terminal; elsewhere nobody could answer.
fn is_wanted(made: &[Made], names: &Names) -> Result<bool> {
    eprintln!("This removes:");
    made.iter().for_each(|one| eprintln!("  {}", one.told(names)));
    if !std::io::stdin().is_terminal() {
        bail!("nothing is removed: say --yes");
    }
    eprint!("Remove it? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// All of it that is there, in the order in which it can go.
async fn found(client: &Client, names: &Names) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    let service = look(client, &names.cluster, &names.service).await?;
    let service = service.filter(|one| status(one) != "INACTIVE");
    if let Some(service) = service {
        if tag(&service, TAG) != Some(&names.owner()) {
            return names.not_ours("a service", &names.service);
        }
        made.push(Made::Service);
    }
    let found = balancer::named(client, &names.service).await?;
    if let Some(arn) = found.and_then(|one| one.load_balancer_arn)
        && balancer::is_ours(client, names, &arn).await?
    {
        made.push(Made::Balancer(arn));
    }
    for name in [names.service.clone(), names.green()] {
        let found = balancer::group_named(client, &name).await?;
        if let Some(arn) = found.and_then(|one| one.target_group_arn)
            && balancer::is_ours(client, names, &arn).await?
        {
            made.push(Made::TargetGroup { name, arn });
        }
    }
    let vpc = network::network(client).await?.vpc;
    // The tasks' group names the balancer's.
    for name in [names.tasks(), names.front()] {
        if let Some(group) = network::group(client, &vpc, &name).await?
            && network::is_ours(&group, names)
        {
            made.push(Made::SecurityGroup { name, id: group.group_id.unwrap_or_default() });
        }
    }
    let definitions = definitions(client, names).await?;
    if !definitions.is_empty() {
        made.push(Made::Definitions(definitions));
    }
    if resources::log_group_of(client, names).await? == Some(true) {
        made.push(Made::LogGroup);
    }
    if resources::role_of(client, names).await? == Some(true) {
        made.push(Made::Role);
    }
    if resources::cluster_of(client, names).await? == Some(true) {
        made.push(Made::Cluster);
    }
    Ok(made)
}

/// The revisions that deploy has registered.
async fn definitions(client: &Client, names: &Names) -> Result<Vec<String>> {
    let mut ours = Vec::new();
    for status in ["ACTIVE", "INACTIVE"] {
        let mut next_token = None;
        loop {
            let request = ListTaskDefinitionsRequest {
                family_prefix: Some(names.service.clone()),
                status: Some(status.to_owned()),
                next_token,
                ..Default::default()
            };
            let page = client.call::<ListTaskDefinitions>(request).await?;
            for arn in page.task_definition_arns.into_iter().flatten() {
                let request = DescribeTaskDefinitionRequest {
                    task_definition: arn.clone(),
                    include: Some(vec![String::from("TAGS")]),
                };
                let tags = client.call::<DescribeTaskDefinition>(request).await?.tags;
                let is_tag =
                    |tag: &aws_ecs::Tag| tag.key.as_deref() == Some(TAG) && tag.value == Some(names.owner());
                if tags.iter().flatten().any(is_tag) {
                    ours.push(arn);
                }
            }
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
    }
    Ok(ours)
}

/// Removes one thing; `false` where it stays because others use it.
async fn remove(client: &Client, names: &Names, made: &Made, steps: &Steps) -> Result<bool> {
    match made {
        Made::Service => service(client, names, steps).await?,
        Made::Balancer(arn) => {
            let request = DeleteLoadBalancerInput { load_balancer_arn: arn.clone() };
            client.call::<DeleteLoadBalancer>(request).await?;
        }
        Made::TargetGroup { arn, .. } => {
            let request = DeleteTargetGroupInput { target_group_arn: arn.clone() };
            client.call::<DeleteTargetGroup>(request).await?;
        }
        Made::SecurityGroup { id, .. } => security_group(client, id).await?,
        Made::Definitions(arns) => forget(client, arns).await?,
        Made::LogGroup => {
            client
                .call::<DeleteLogGroup>(DeleteLogGroupRequest { log_group_name: names.log_group() })
                .await?;
        }
        Made::Role => role(client, names).await?,
        Made::Cluster => return cluster(client, names).await,
    }
    Ok(true)
}

async fn service(client: &Client, names: &Names, steps: &Steps) -> Result<()> {
    let request = DeleteServiceRequest {
        cluster: Some(names.cluster.clone()),
        service: names.service.clone(),
        force: Some(true),
    };
    match client.call::<DeleteService>(request).await {
        // It is on its way out already.
        Err(error) if refused_with(&error, "ServiceNotActiveException") => {}
        answer => drop(answer?),
    }
    let mut patience = Patience::default();
    loop {
        let now = look(client, &names.cluster, &names.service).await;
        let Some(now) = patience.with(now).await? else { continue };
        let Some(now) = now.filter(|one| status(one) != "INACTIVE") else { return Ok(()) };
        let left = now.running_count.unwrap_or_default() + now.pending_count.unwrap_or_default();
        steps.now(&format!("{} is {}: {left} tasks left", names.service, status(&now).to_lowercase()));
        tokio::time::sleep(POLL).await;
    }
}

/// A balancer's interfaces leave a moment after it is gone.
async fn security_group(client: &Client, id: &str) -> Result<()> {
    for _ in 0..TRIES {
        let request = DeleteSecurityGroupRequest { group_id: Some(id.to_owned()), ..Default::default() };
        match client.call::<DeleteSecurityGroup>(request).await {
            Err(error) if refused_with(&error, "DependencyViolation") => tokio::time::sleep(POLL).await,
            answer => return answer.map(drop),
        }
    }
    bail!("something else uses the security group {id}: remove that, and run this again")
}

async fn forget(client: &Client, arns: &[String]) -> Result<()> {
    for arn in arns {
        let request = DeregisterTaskDefinitionRequest { task_definition: arn.clone() };
        client.call::<DeregisterTaskDefinition>(request).await?;
    }
    for some in arns.chunks(AT_ONCE) {
        let request = DeleteTaskDefinitionsRequest { task_definitions: some.to_vec() };
        let failures = client.call::<DeleteTaskDefinitions>(request).await?.failures;
        if let Some(failure) = failures.into_iter().flatten().next() {
            let (arn, why) = (failure.arn.unwrap_or_default(), failure.reason.unwrap_or_default());
            bail!("the task definition {arn} stays: {why}");
        }
    }
    Ok(())
}

async fn role(client: &Client, names: &Names) -> Result<()> {
    let request = ListAttachedRolePoliciesRequest { role_name: names.role(), ..Default::default() };
    let attached = client.call::<ListAttachedRolePolicies>(request).await?.attached_policies;
    for policy_arn in attached.into_iter().flatten().filter_map(|one| one.policy_arn) {
        let request = DetachRolePolicyRequest { role_name: names.role(), policy_arn };
        client.call::<DetachRolePolicy>(request).await?;
    }
    client.call::<DeleteRole>(DeleteRoleRequest { role_name: names.role() }).await?;
    Ok(())
}

/// The cluster goes with the last that was in it.
async fn cluster(client: &Client, names: &Names) -> Result<bool> {
    let request = DeleteClusterRequest { cluster: names.cluster.clone() };
    match client.call::<DeleteCluster>(request).await {
        Err(error)
            if ["ClusterContainsServicesException", "ClusterContainsTasksException"]
                .into_iter()
                .chain(["ClusterContainsContainerInstancesException"])
                .any(|code| refused_with(&error, code)) =>
        {
            Ok(false)
        }
        answer => answer.map(|_| true),
    }
}
