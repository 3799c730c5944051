//! Every error that the service answers.

use std::fmt::Display;

use base::Fault;
use journal::{AppendError, ReadError};

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    invalid(format_args!("Boxship does not support '{what}' of Amazon CloudWatch Logs yet."))
}

pub fn invalid(message: impl Display) -> Fault {
    Fault::caller("InvalidParameterException", message)
}

pub fn group_exists() -> Fault {
    Fault::caller("ResourceAlreadyExistsException", "The specified log group already exists")
}

pub fn stream_exists() -> Fault {
    Fault::caller("ResourceAlreadyExistsException", "The specified log stream already exists")
}

pub fn no_group() -> Fault {
    Fault::caller("ResourceNotFoundException", "The specified log group does not exist.")
}

pub fn no_stream() -> Fault {
    Fault::caller("ResourceNotFoundException", "The specified log stream does not exist.")
}

pub fn no_resource() -> Fault {
    Fault::caller("ResourceNotFoundException", "The specified resource does not exist.")
}

pub fn too_many_tags(arn: &str) -> Fault {
    Fault::caller("TooManyTagsException", "A resource can have at most 50 tags.")
        .with_member("resourceName", arn)
}

pub fn bad_token() -> Fault {
    invalid("The specified nextToken is invalid.")
}

/// The journal refused events: nothing of them was kept.
pub fn unwritten(error: &AppendError) -> Fault {
    tracing::error!(error = %error, "log events were not written");
    Fault::server("ServiceUnavailableException", "The log events could not be written.")
}

/// The journal cannot be read.
pub fn unread(error: &ReadError) -> Fault {
    tracing::error!(error = %error, "log events were not read");
    Fault::server("ServiceUnavailableException", "The log events could not be read.")
}
