//! Errors of services, their deployments and revisions.

use base::Fault;

use super::invalid;
use crate::behaviour::service::DeploymentFlaw;

/// What can be wrong with a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("Service not found.")]
    Missing,
    #[error("Service was not ACTIVE.")]
    NotActive,
    #[error("Creation of service was not idempotent.")]
    NotIdempotent,
    #[error("Unable to Start a service that is still Draining.")]
    Draining,
    #[error("The service cannot be stopped while it is scaled above 0.")]
    Scaled,
    #[error("Service names take letters, digits, hyphens and underscores, at most 255.")]
    Name,
    #[error("TaskDefinition can not be blank.")]
    NoDefinition,
    #[error("desiredCount is required when schedulingStrategy is REPLICA.")]
    NoCount,
    #[error("desiredCount must be between 0 and {0}.")]
    Count(u32),
    #[error("healthCheckGracePeriodSeconds must be between 0 and 2147483647.")]
    Grace,
    #[error("{name} '{value}' is not valid.")]
    Unknown { name: &'static str, value: String },
    #[error("Invalid identifier: Identifier is for cluster {named}. Your cluster is {asked}")]
    OtherCluster { named: String, asked: String },
    #[error("Services cannot be empty.")]
    NoServices,
    #[error("{list} can have at most {most} items.")]
    TooMany { list: &'static str, most: usize },
    #[error(
        "The service couldn't be created because a valid taskRoleArn is not being used. Specify a valid task role in \
         your task definition and try again."
    )]
    NoTaskRole,
    #[error("You cannot specify an IAM role for services that require a service linked role.")]
    Role,
    #[error("availabilityZoneRebalancing cannot be ENABLED with a maximumPercent of 100 or less.")]
    Rebalancing,
    #[error("{0} is not supported by Boxship yet.")]
    NotYet(String),
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Fault {
        match error {
            ServiceError::Missing => Fault::caller("ServiceNotFoundException", &error),
            ServiceError::NotActive => Fault::caller("ServiceNotActiveException", &error),
            ServiceError::NotIdempotent
            | ServiceError::Draining
            | ServiceError::Scaled
            | ServiceError::Name
            | ServiceError::NoDefinition
            | ServiceError::NoCount
            | ServiceError::Count(_)
            | ServiceError::Grace
            | ServiceError::Unknown { .. }
            | ServiceError::OtherCluster { .. }
            | ServiceError::NoServices
            | ServiceError::TooMany { .. }
            | ServiceError::NoTaskRole
            | ServiceError::Role
            | ServiceError::Rebalancing
            | ServiceError::NotYet(_) => invalid(&error),
        }
    }
}

impl From<DeploymentFlaw> for Fault {
    fn from(flaw: DeploymentFlaw) -> Fault {
        invalid(flaw)
    }
}

/// What can be wrong with the load balancers of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BalancerError {
    #[error("The container {0} does not exist in the task definition.")]
    Container(String),
    #[error("The container {container} did not have a container port {port} defined.")]
    Port { container: String, port: i32 },
    #[error("{0} can not be blank.")]
    Blank(&'static str),
    #[error(
        "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service role \
         being passed has the proper permissions."
    )]
    Group,
    #[error("The target group with targetGroupArn {0} does not have an associated load balancer.")]
    Unattached(String),
    #[error(
        "The provided target group {group} has target type {found}, which is incompatible with the {mode} network \
         mode specified in the task definition."
    )]
    TargetType { group: String, found: String, mode: &'static str },
    #[error("The target group {0} is specified more than once.")]
    Twice(String),
    #[error("loadBalancers can have at most {0} target groups.")]
    TooMany(usize),
    #[error("Services with the {0} deployment strategy need a load balancer.")]
    None(&'static str),
    #[error("advancedConfiguration is required for every load balancer with the {0} deployment strategy.")]
    NoAdvanced(&'static str),
    #[error("The listener rule {0} does not exist.")]
    Rule(String),
    #[error("The listener rule {rule} does not forward to the target group {group}.")]
    RuleElsewhere { rule: String, group: String },
    #[error(
        "ECS was unable to assume the role '{0}' that was provided for this load balancer. Please verify that the \
         role being passed has the proper trust relationship and permissions and that your IAM user has permissions \
         to pass this role."
    )]
    Role(String),
}

impl From<BalancerError> for Fault {
    fn from(error: BalancerError) -> Fault {
        match error {
            BalancerError::Container(_)
            | BalancerError::Port { .. }
            | BalancerError::Blank(_)
            | BalancerError::Group
            | BalancerError::Unattached(_)
            | BalancerError::TargetType { .. }
            | BalancerError::Twice(_)
            | BalancerError::TooMany(_)
            | BalancerError::None(_)
            | BalancerError::NoAdvanced(_)
            | BalancerError::Rule(_)
            | BalancerError::RuleElsewhere { .. }
            | BalancerError::Role(_) => invalid(&error),
        }
    }
}

/// What can be wrong with a service deployment that a request names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceDeploymentError {
    #[error("The service deployment was not found.")]
    Missing,
    #[error("Invalid service deployment ARN: '{0}'.")]
    Arn(String),
    #[error("Invalid service revision ARN: '{0}'.")]
    RevisionArn(String),
    #[error("{0} cannot be empty.")]
    Empty(&'static str),
    #[error("The service deployment {0} cannot be stopped: it is over.")]
    Over(String),
    #[error("The service deployment {0} is being stopped already.")]
    Stopping(String),
    #[error("A service deployment that shifts traffic can be stopped with the stop type ROLLBACK only.")]
    Abort,
    #[error("There is no service revision to roll back to.")]
    NoSource,
    #[error("The lifecycle hook '{0}' was not found.")]
    Hook(String),
    #[error("The lifecycle hook '{0}' does not await an action.")]
    NotAwaiting(String),
}

impl From<ServiceDeploymentError> for Fault {
    fn from(error: ServiceDeploymentError) -> Fault {
        match error {
            ServiceDeploymentError::Missing => Fault::caller("ServiceDeploymentNotFoundException", &error),
            ServiceDeploymentError::Over(_) | ServiceDeploymentError::Stopping(_) => {
                Fault::caller("ConflictException", &error)
            }
            ServiceDeploymentError::Arn(_)
            | ServiceDeploymentError::RevisionArn(_)
            | ServiceDeploymentError::Empty(_)
            | ServiceDeploymentError::Abort
            | ServiceDeploymentError::NoSource
            | ServiceDeploymentError::Hook(_)
            | ServiceDeploymentError::NotAwaiting(_) => invalid(&error),
        }
    }
}
