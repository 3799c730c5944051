//! Every error that the service answers.

use std::fmt::Display;

use base::{AccountId, Fault};

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    invalid(format_args!("Boxship does not support '{what}' of AWS Certificate Manager yet."))
}

pub(crate) fn invalid(message: impl Display) -> Fault {
    Fault::caller("ValidationException", message)
}

pub(crate) fn bad_arn(arn: &str) -> Fault {
    Fault::caller("InvalidArnException", format_args!("Invalid ARN: {arn}"))
}

pub(crate) fn no_certificate(arn: &str) -> Fault {
    Fault::caller("ResourceNotFoundException", format_args!("Could not find certificate {arn}."))
}

pub(crate) fn in_use(arn: &str, account: &AccountId) -> Fault {
    let message = format_args!("Certificate {arn} in account {account} is in use.");
    Fault::caller("ResourceInUseException", message)
}

pub(crate) fn too_many_certificates() -> Fault {
    let message = "You have reached the maximum number of certificates. Delete certificates that are not in \
                   use, or contact AWS Support to request an increase.";
    Fault::caller("LimitExceededException", message)
}

pub(crate) fn too_many_tags(most: usize) -> Fault {
    Fault::caller("TooManyTagsException", format_args!("A certificate can have at most {most} tags."))
}

pub(crate) fn reserved_tag() -> Fault {
    Fault::caller("InvalidTagException", "aws: prefixed tag key names are not allowed for external use.")
}

pub(crate) fn repeated_tag(key: &str) -> Fault {
    Fault::caller("InvalidParameterException", format_args!("The tag key {key} is given more than once."))
}

pub(crate) fn bad_argument(message: impl Display) -> Fault {
    Fault::caller("InvalidArgsException", message)
}
