//! Every error that the service answers.

use std::fmt::Display;

use base::{Arn, Fault};

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    let message = format_args!("Boxship does not support '{what}' of AWS STS yet.");
    invalid(message)
}

/// AWS: a common error of the query APIs, in no API's model.
pub(crate) fn invalid(message: impl Display) -> Fault {
    Fault::caller("ValidationError", message).with_status(400)
}

/// AWS: also for a role that does not exist.
pub(crate) fn denied(who: &Arn, action: &str, role: &str) -> Fault {
    let message = format_args!("User: {who} is not authorized to perform: sts:{action} on resource: {role}");
    access_denied(message)
}

pub(crate) fn access_denied(message: impl Display) -> Fault {
    Fault::caller("AccessDenied", message).with_status(403)
}

/// AWS: credentials of what is gone are no longer good.
pub(crate) fn invalid_token() -> Fault {
    let message = "The security token included in the request is invalid.";
    Fault::caller("InvalidClientTokenId", message).with_status(403)
}
