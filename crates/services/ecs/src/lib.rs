//! ECS: clusters, container instances, task definitions, tasks and sessions in them.
//!
//! Owns which tasks are wanted and how they stand. What a task is on its host belongs to the
//! agent; which state follows from what was seen, to `core_lifecycle`.
//!
//! Invariant: what a definition asks for is acted upon, or the run is refused by its name.

mod api;
mod balancing;
mod behaviour;
mod controllers;
mod convert;
mod directions;
mod faults;
pub mod instances;
mod page;
pub mod sessions;
mod state;
pub mod tasks;

use std::sync::Arc;

use base::Fault;
use service::{Acts, Operation, Service};

pub use api::exec::Config;
pub use api::wake::{held_for, sleep, sleepers, touched as touched_held, wake};
pub use balancing::Balancing;
pub use behaviour::wake::{Activity, Sleeper};
pub use controllers::{
    Clusters, Definitions, Instances, Protections, Services, Sessions, Targets, Tasks, Tokens, Waiting, Wake,
};
pub use directions::unhealthy_at;

/// The service with its operations, record kinds, and what it does with a host's reports.
pub fn service(config: &Config) -> Service {
    Service {
        api: &aws_ecs::API,
        operations: operations(config),
        kinds: state::kinds,
        refuse: |what| Fault::caller("InvalidParameterException", faults::not_yet(what)),
        observe: Some(Arc::new(api::observe::observe)),
    }
}

/// Adds every loop of the service.
pub fn controllers(to: control::Controllers, balancing: Balancing) -> control::Controllers {
    let to = to.with(Tasks).with(Tokens).with(Definitions).with(Clusters);
    let to = to.with(Instances).with(Sessions).with(Protections).with(Wake);
    to.with(Services::of(balancing)).with(Targets::of(balancing)).with(Waiting)
}

fn operations(config: &Config) -> Vec<Operation> {
    use api::{
        attribute, cluster, deployment, exec, instance, list_tasks, protection, revision, run_task, service,
        service_describe, service_update, setting, start_task, tag, task, task_definition as definition,
    };
    use aws_ecs::op;
    let exec_in = config.clone();
    vec![
        Operation::write::<op::CreateCluster>(Acts::On(cluster::CREATE), cluster::create),
        Operation::read::<op::DescribeClusters>(Acts::All, cluster::describe),
        Operation::read::<op::ListClusters>(Acts::All, cluster::list),
        Operation::write::<op::UpdateCluster>(Acts::On(cluster::UPDATE), cluster::update),
        Operation::write::<op::UpdateClusterSettings>(Acts::All, cluster::update_settings),
        Operation::write::<op::DeleteCluster>(Acts::All, cluster::delete),
        Operation::write::<op::RegisterTaskDefinition>(Acts::All, definition::register),
        Operation::read::<op::DescribeTaskDefinition>(Acts::All, definition::describe),
        Operation::read::<op::ListTaskDefinitions>(Acts::All, definition::list),
        Operation::read::<op::ListTaskDefinitionFamilies>(Acts::All, definition::families),
        Operation::write::<op::DeregisterTaskDefinition>(Acts::All, definition::deregister),
        Operation::write::<op::DeleteTaskDefinitions>(Acts::All, definition::delete),
        Operation::write::<op::RunTask>(Acts::On(run_task::ACTS), run_task::run),
        Operation::write::<op::StartTask>(Acts::On(start_task::ACTS), start_task::start),
        Operation::write::<op::StopTask>(Acts::All, task::stop),
        Operation::read::<op::DescribeTasks>(Acts::All, task::describe),
        Operation::read::<op::ListTasks>(Acts::On(list_tasks::ACTS), list_tasks::list),
        Operation::write::<op::CreateService>(Acts::On(service::CREATE), service::create),
        Operation::write::<op::UpdateService>(Acts::On(service_update::ACTS), service_update::update),
        Operation::write::<op::DeleteService>(Acts::All, service::delete),
        Operation::read::<op::DescribeServices>(Acts::All, service_describe::describe),
        Operation::read::<op::ListServices>(Acts::All, service_describe::list),
        Operation::read::<op::ListServiceDeployments>(Acts::All, deployment::list),
        Operation::read::<op::DescribeServiceDeployments>(Acts::All, deployment::describe),
        Operation::read::<op::DescribeServiceRevisions>(Acts::All, revision::describe),
        Operation::write::<op::StopServiceDeployment>(Acts::All, deployment::stop),
        Operation::write::<op::ContinueServiceDeployment>(Acts::All, deployment::resume),
        Operation::write::<op::RegisterContainerInstance>(Acts::All, instance::register),
        Operation::write::<op::DeregisterContainerInstance>(Acts::All, instance::deregister),
        Operation::read::<op::DescribeContainerInstances>(Acts::All, instance::describe),
        Operation::read::<op::ListContainerInstances>(Acts::All, instance::list),
        Operation::write::<op::UpdateContainerInstancesState>(Acts::All, instance::update_state),
        Operation::write::<op::PutAttributes>(Acts::All, attribute::put),
        Operation::write::<op::DeleteAttributes>(Acts::All, attribute::delete),
        Operation::read::<op::ListAttributes>(Acts::All, attribute::list),
        Operation::read::<op::ListAccountSettings>(Acts::All, setting::list),
        Operation::write::<op::PutAccountSetting>(Acts::All, setting::put),
        Operation::write::<op::PutAccountSettingDefault>(Acts::All, setting::put_default),
        Operation::write::<op::DeleteAccountSetting>(Acts::All, setting::delete),
        Operation::read::<op::GetTaskProtection>(Acts::All, protection::get),
        Operation::write::<op::UpdateTaskProtection>(Acts::All, protection::update),
        Operation::write::<op::ExecuteCommand>(Acts::All, move |tx, request| {
            exec::execute(&exec_in, tx, request)
        }),
        Operation::write::<op::TagResource>(Acts::All, tag::add),
        Operation::write::<op::UntagResource>(Acts::All, tag::remove),
        Operation::read::<op::ListTagsForResource>(Acts::All, tag::list),
    ]
}
