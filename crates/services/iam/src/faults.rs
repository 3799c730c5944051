//! Every error that the service answers.

use std::fmt::Display;

use base::Fault;

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    let message = format_args!("Boxship does not support '{what}' of AWS IAM yet.");
    // AWS: a common error of the query APIs, in no API's model.
    Fault::caller("ValidationError", message).with_status(400)
}

pub fn no_role(name: &str) -> Fault {
    Fault::caller("NoSuchEntityException", format_args!("The role with name {name} cannot be found."))
}

pub fn role_exists(name: &str) -> Fault {
    Fault::caller("EntityAlreadyExistsException", format_args!("Role with name {name} already exists."))
}

pub fn no_inline_policy(name: &str) -> Fault {
    Fault::caller("NoSuchEntityException", format_args!("The role policy with name {name} cannot be found."))
}

pub fn no_policy(arn: &str) -> Fault {
    let message = format_args!("Policy {arn} does not exist or is not attachable.");
    Fault::caller("NoSuchEntityException", message)
}

pub fn not_attached(arn: &str) -> Fault {
    Fault::caller("NoSuchEntityException", format_args!("Policy {arn} was not found."))
}

pub fn not_attachable() -> Fault {
    Fault::caller("PolicyNotAttachableException", "Cannot attach a Service Role Policy to a Customer Role.")
}

pub fn bad_arn(arn: &str) -> Fault {
    Fault::caller("InvalidInputException", format_args!("ARN {arn} is not valid."))
}

pub fn has_attached() -> Fault {
    Fault::caller("DeleteConflictException", "Cannot delete entity, must detach all policies first.")
}

pub fn has_inline() -> Fault {
    Fault::caller("DeleteConflictException", "Cannot delete entity, must delete policies first.")
}

pub fn malformed(message: impl Display) -> Fault {
    Fault::caller("MalformedPolicyDocumentException", message)
}

pub fn limit(message: impl Display) -> Fault {
    Fault::caller("LimitExceededException", message)
}

pub fn repeated_tag() -> Fault {
    Fault::caller(
        "InvalidInputException",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    )
}
