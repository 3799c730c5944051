//! Every error that ECS answers with.

pub mod service;

use std::fmt;

use base::Fault;

use crate::behaviour::attribute::AttributeFlaw;
use crate::behaviour::check::Flaw;
use crate::behaviour::overrides::OverrideFlaw;
use crate::behaviour::query::QueryFlaw;
use crate::behaviour::setting::SettingFlaw;
use crate::behaviour::wake::SleepError;

/// A member, or a value of it, that Boxship does not act on yet.
pub fn not_yet(what: &str) -> String {
    format!("{what} is not supported by Boxship yet.")
}

pub fn invalid(message: impl fmt::Display) -> Fault {
    Fault::caller("InvalidParameterException", message)
}

pub fn client(message: impl fmt::Display) -> Fault {
    Fault::caller("ClientException", message)
}

/// What can be wrong with a cluster that a request names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    #[error("Cluster not found.")]
    Missing,
    #[error("The referenced cluster was inactive.")]
    Inactive,
    #[error("The Cluster cannot be deleted while Tasks are active.")]
    HasTasks,
    #[error("The Cluster cannot be deleted while Services are active.")]
    HasServices,
    #[error("The Cluster cannot be deleted while Container Instances are active or draining.")]
    HasInstances,
    #[error(
        "Cluster name contains invalid characters: it takes letters, digits, hyphens and underscores, at most 255."
    )]
    Name,
}

impl From<ClusterError> for Fault {
    fn from(error: ClusterError) -> Fault {
        match error {
            ClusterError::Missing | ClusterError::Inactive => {
                Fault::caller("ClusterNotFoundException", &error)
            }
            ClusterError::HasTasks => Fault::caller("ClusterContainsTasksException", &error),
            ClusterError::HasServices => Fault::caller("ClusterContainsServicesException", &error),
            ClusterError::HasInstances => Fault::caller("ClusterContainsContainerInstancesException", &error),
            ClusterError::Name => invalid(&error),
        }
    }
}

/// What can be wrong with a task definition that a request names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("Unable to describe task definition.")]
    CannotDescribe,
    #[error("TaskDefinition not found.")]
    Missing,
    #[error("TaskDefinition is inactive")]
    Inactive,
    #[error("Task definition does not exist or is already being deleted.")]
    CannotDeregister,
    #[error(
        "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
    )]
    StillActive,
    #[error("A revision must be specified: family:revision or the full ARN.")]
    NoRevision,
}

impl From<DefinitionError> for Fault {
    fn from(error: DefinitionError) -> Fault {
        match error {
            DefinitionError::CannotDescribe
            | DefinitionError::Missing
            | DefinitionError::Inactive
            | DefinitionError::CannotDeregister
            | DefinitionError::StillActive => client(&error),
            DefinitionError::NoRevision => invalid(&error),
        }
    }
}

/// AWS: what a definition breaks is a ClientException.
impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Fault {
        client(flaw)
    }
}

impl From<OverrideFlaw> for Fault {
    fn from(flaw: OverrideFlaw) -> Fault {
        invalid(flaw)
    }
}

/// Why tasks are not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("No Container Instances were found in your cluster.")]
    NoInstances,
    #[error("Task definition does not support launch_type {0}.")]
    LaunchType(String),
    #[error("Network Configuration must be provided when networkMode 'awsvpc' is specified.")]
    NoNetwork,
    #[error("subnets can not be empty.")]
    NoSubnets,
    #[error("{list} can have at most {most} items.")]
    TooMany { list: &'static str, most: usize },
    #[error("subnets must all be in the same VPC.")]
    SeveralVpcs,
    #[error("Security group {group} does not appear to belong to the same VPC as the input subnets.")]
    GroupElsewhere { group: String },
    #[error("Error retrieving subnet information for [{ids}]: {message} (ErrorCode: {code})")]
    Subnets { ids: String, code: String, message: String },
    #[error("Error retrieving security group information for [{ids}]: {message} (ErrorCode: {code})")]
    SecurityGroups { ids: String, code: String, message: String },
    #[error("Network Configuration is not valid for the given networkMode of this task definition.")]
    NetworkMode,
    #[error("Assign public IP is not supported for this launch type.")]
    PublicIp,
    #[error("The platform version must be null when specifying an EC2 launch type.")]
    PlatformOnInstance,
    #[error(
        "The task could not be run because a valid taskRoleArn is not being used. Specify a valid task role in your \
         task definition and try again."
    )]
    NoTaskRole,
    #[error("referenceId must have at most 1024 characters.")]
    ReferenceId,
    #[error("A task may not ask for {0}: only the operator may run what reaches the host.")]
    FromTask(&'static str),
    #[error("count must be between 1 and 10.")]
    Count,
    #[error("The specified platform does not exist.")]
    Platform,
    #[error(
        "ECS was unable to assume the role '{0}' that was provided for this task. Please verify that the role being \
         passed has the proper trust relationship and permissions and that your IAM user has permissions to pass \
         this role."
    )]
    Role(String),
    #[error(
        "startedBy must have at most 128 characters: letters, digits, hyphens, underscores, slashes and periods."
    )]
    StartedBy,
    #[error("Invalid namespace for group.")]
    Group,
    #[error("propagateTags SERVICE is not allowed: the task has no service.")]
    PropagateTags,
    #[error("clientToken must have at most {0} characters between 33 and 126.")]
    Token(usize),
    #[error("The client token was used with other parameters before.")]
    TokenReused,
    #[error("{0} is not supported by Boxship yet.")]
    NotYet(String),
    #[error("Container '{container}': {problem}")]
    Label { container: String, problem: String },
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Fault {
        match error {
            RunError::Role(_) => client(&error),
            RunError::FromTask(_) => Fault::caller("AccessDeniedException", &error),
            RunError::Platform => Fault::caller("PlatformUnknownException", &error),
            RunError::TokenReused => Fault::caller("ConflictException", &error),
            RunError::NoInstances
            | RunError::LaunchType(_)
            | RunError::NoNetwork
            | RunError::NoSubnets
            | RunError::TooMany { .. }
            | RunError::SeveralVpcs
            | RunError::GroupElsewhere { .. }
            | RunError::Subnets { .. }
            | RunError::SecurityGroups { .. }
            | RunError::NetworkMode
            | RunError::PublicIp
            | RunError::PlatformOnInstance
            | RunError::NoTaskRole
            | RunError::ReferenceId
            | RunError::Count
            | RunError::StartedBy
            | RunError::Group
            | RunError::PropagateTags
            | RunError::Token(_)
            | RunError::NotYet(_)
            | RunError::Label { .. } => invalid(&error),
        }
    }
}

/// What can be wrong with a task that a request names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    #[error("The referenced task was not found.")]
    Missing,
    #[error("taskId length should be one of [32,36]")]
    Id,
    #[error("Invalid identifier: Identifier is for cluster {named}. Your cluster is {asked}")]
    OtherCluster { named: String, asked: String },
    #[error("Tasks cannot be empty.")]
    NoTasks,
    #[error("tasks can have at most 100 items.")]
    TooMany,
    #[error("reason must have at most 1024 characters.")]
    Reason,
    #[error("cannot specify {0} with other arguments")]
    NotAlone(&'static str),
}

impl From<TaskError> for Fault {
    fn from(error: TaskError) -> Fault {
        match error {
            TaskError::Missing
            | TaskError::Id
            | TaskError::OtherCluster { .. }
            | TaskError::NoTasks
            | TaskError::TooMany
            | TaskError::NotAlone(_)
            | TaskError::Reason => invalid(&error),
        }
    }
}

/// What can be wrong with tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    #[error("The specified resource was not found.")]
    Missing,
    #[error("Invalid ARN: '{0}' names no cluster, service, task definition, task or container instance.")]
    Arn(String),
    #[error("Long arn format must be used for tagging operations")]
    Short,
    #[error("Duplicate tag keys found: '{0}'.")]
    Duplicate(String),
    #[error("Tag keys cannot be null or empty.")]
    NoKey,
    #[error("Tag keys starting with 'aws:' are reserved for system use.")]
    Reserved,
    #[error("A resource can have at most 50 tags.")]
    TooMany,
}

impl From<TagError> for Fault {
    fn from(error: TagError) -> Fault {
        match error {
            TagError::Missing => Fault::caller("ResourceNotFoundException", &error),
            TagError::Arn(_)
            | TagError::Short
            | TagError::Duplicate(_)
            | TagError::NoKey
            | TagError::Reserved
            | TagError::TooMany => invalid(&error),
        }
    }
}

impl From<SleepError> for Fault {
    fn from(error: SleepError) -> Fault {
        match error {
            SleepError::NotSeconds(_) | SleepError::NoBalancer => invalid(&error),
        }
    }
}

/// What can be wrong with a container instance that a request names or registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    #[error("The referenced container instance was not found.")]
    Missing,
    #[error("The referenced container instance was deregistered.")]
    Inactive,
    #[error("The container instance is registered by another machine.")]
    OtherMachine,
    #[error("Instance identity document is not valid.")]
    Document,
    #[error("Found running tasks on the instance.")]
    HasTasks,
    #[error("Container instances cannot be empty.")]
    Empty,
    #[error("containerInstances can have at most {0} items.")]
    TooMany(usize),
    #[error(transparent)]
    Filter(#[from] QueryFlaw),
    #[error("containerInstanceId length should be one of [32,36]")]
    Id,
    #[error("Invalid identifier: Identifier is for cluster {named}. Your cluster is {asked}")]
    OtherCluster { named: String, asked: String },
    #[error("Container instance status should be one of [ACTIVE, DRAINING]")]
    Status,
    #[error(transparent)]
    Attribute(#[from] AttributeFlaw),
    #[error("The attribute name '{0}' is reserved: names that begin with ecs. are the platform's.")]
    ReservedAttribute(String),
    #[error("A container instance can have at most 10 attributes of your own.")]
    TooManyAttributes,
    #[error("targetType must be container-instance where targetId is no ARN.")]
    TargetType,
    #[error("The target container instance was not found.")]
    Target,
}

impl From<InstanceError> for Fault {
    fn from(error: InstanceError) -> Fault {
        match error {
            InstanceError::Target => Fault::caller("TargetNotFoundException", &error),
            InstanceError::TooManyAttributes => Fault::caller("AttributeLimitExceededException", &error),
            InstanceError::Document | InstanceError::OtherMachine | InstanceError::Inactive => client(&error),
            InstanceError::Missing
            | InstanceError::HasTasks
            | InstanceError::Empty
            | InstanceError::TooMany(_)
            | InstanceError::Id
            | InstanceError::Filter(_)
            | InstanceError::OtherCluster { .. }
            | InstanceError::Status
            | InstanceError::Attribute(_)
            | InstanceError::ReservedAttribute(_)
            | InstanceError::TargetType => invalid(&error),
        }
    }
}

/// Why no command is executed in a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("Interactive is the only mode supported currently.")]
    NotInteractive,
    #[error("command cannot be blank.")]
    NoCommand,
    #[error("Container name must be specified: the task has more than one container.")]
    NoContainer,
    #[error("The container '{0}' was not found in the task.")]
    UnknownContainer(String),
    #[error(
        "The execute command failed because execute command was not enabled when the task was run or the execute \
         command agent isn’t running. Wait and try again or run a new task with execute command enabled and try again."
    )]
    NotEnabled,
    #[error("A task may not execute commands in a task that reaches the host.")]
    FromTask,
    #[error("The session does not exist, has expired, or was taken up before.")]
    Unknown,
    #[error("The container is not running any more.")]
    NotRunning,
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Fault {
        match error {
            SessionError::Unknown | SessionError::NotRunning => {
                Fault::caller("TargetNotConnectedException", &error)
            }
            SessionError::FromTask => Fault::caller("AccessDeniedException", &error),
            SessionError::NotInteractive
            | SessionError::NoCommand
            | SessionError::NoContainer
            | SessionError::UnknownContainer(_)
            | SessionError::NotEnabled => invalid(&error),
        }
    }
}

/// What can be wrong with an account setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("The account setting '{0}' does not exist.")]
    Name(String),
    #[error(transparent)]
    Value(#[from] SettingFlaw),
    #[error("principalArn must be the ARN of a user, a role or the root user of this account.")]
    Principal,
    #[error("A value can only be given with the name of its setting.")]
    ValueWithoutName,
}

impl From<SettingError> for Fault {
    fn from(error: SettingError) -> Fault {
        match error {
            SettingError::Name(_)
            | SettingError::Value(_)
            | SettingError::Principal
            | SettingError::ValueWithoutName => invalid(&error),
        }
    }
}

/// What can be wrong with a request to protect tasks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtectionError {
    #[error("tasks can have at most {0} items.")]
    TooMany(usize),
    #[error("expiresInMinutes must be between 1 and 2880.")]
    Minutes,
}

impl From<ProtectionError> for Fault {
    fn from(error: ProtectionError) -> Fault {
        match error {
            ProtectionError::TooMany(_) | ProtectionError::Minutes => invalid(&error),
        }
    }
}
