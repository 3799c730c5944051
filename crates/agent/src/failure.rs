//! What went wrong, in AWS's classes and words: customers' scripts match on both.

use core_lifecycle::Failure;
use runtime::{RuntimeError, Signal};

use crate::seams::{NetworkError, PullError, SecretError, SinkError};

fn failure(class: &str, message: String) -> Failure {
    Failure { class: class.to_owned(), message }
}

/// AWS: "CannotPullContainer task errors" of the developer guide; Fargate's texts since platform
/// version 1.4.
pub(crate) fn pull(error: &PullError) -> Failure {
    let resolve = |reference: &str, what: &str| {
        format!("pull image manifest has been retried 1 time(s): failed to resolve ref {reference}: {what}")
    };
    let message = match error {
        PullError::Malformed { reference } => {
            format!("invalid reference format: failed to parse reference {reference:?}")
        }
        PullError::NotFound { reference } => resolve(reference, &format!("{reference}: not found")),
        PullError::Denied { reference } => resolve(
            reference,
            "pull access denied, repository does not exist or may require authorization: \
             authorization failed: no basic auth credentials",
        ),
        PullError::Platform { platform, .. } => format!(
            "pull image manifest has been retried 1 time(s): image Manifest does not contain descriptor \
             matching platform '{platform}'"
        ),
        PullError::Unreachable { reference, cause } => resolve(reference, cause),
        PullError::Broken { reference, cause } => {
            format!("ref pull has been retried 1 time(s): failed to extract layer of {reference}: {cause}")
        }
        PullError::NoSpace { reference } => format!(
            "ref pull has been retried 1 time(s): failed to extract layer of {reference}: write: no space \
             left on device"
        ),
    };
    failure("CannotPullContainerError", message)
}

pub(crate) fn network(error: &NetworkError) -> Failure {
    match error {
        NetworkError::Interface(cause) => {
            failure("ResourceInitializationError", format!("failed to configure the task's network: {cause}"))
        }
        // AWS: Docker publishes a container's ports when it starts it; the agent passes its words on.
        NetworkError::Port { cause, .. } => {
            failure("CannotStartContainerError", format!("Error response from daemon: {cause}"))
        }
    }
}

/// AWS: the text of a log driver that could not make its stream.
pub(crate) fn logs(error: &SinkError) -> Failure {
    let message = format!(
        "failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch \
         log stream: {error}"
    );
    failure("ResourceInitializationError", message)
}

/// AWS: the text of a log driver that cannot work, in containerd's words.
pub(crate) fn log_driver(error: &str) -> Failure {
    failure("ResourceInitializationError", format!("failed to validate logger args: {error}"))
}

pub(crate) fn sandbox(error: &RuntimeError) -> Failure {
    failure("ResourceInitializationError", format!("failed to create the task's sandbox: {error}"))
}

/// A container that could not be started; `None`: not in time.
pub(crate) fn start(error: Option<&RuntimeError>) -> Failure {
    match error {
        // AWS: the text of Fargate's agent.
        None => failure(
            "ContainerRuntimeTimeoutError",
            String::from("Could not transition to running; timed out after waiting 3m0s"),
        ),
        // AWS: containerd's words around the runtime's.
        Some(RuntimeError::Start(cause)) => failure(
            "CannotStartContainerError",
            format!(
                "ResourceInitializationError: failed to create new container runtime task: failed to create \
                 shim task: OCI runtime create failed: {cause}: unknown"
            ),
        ),
        Some(error @ (RuntimeError::Plan(_) | RuntimeError::Limit(_))) => {
            failure("CannotStartContainerError", error.to_string())
        }
        Some(error) => failure("ContainerRuntimeError", error.to_string()),
    }
}

/// AWS: a container that could not be told to end.
pub(crate) fn stop(signal: Signal, error: &RuntimeError) -> Failure {
    let name = if signal == Signal::TERM { String::from("SIGTERM") } else { format!("signal {}", signal.0) };
    failure("CannotStopContainerError", format!("failed sending {name} to container: {error}"))
}

/// AWS: the execution role's service that did not give a value.
pub(crate) fn secret(value_from: &str, error: &SecretError) -> Failure {
    let what = match value_from.contains(":secretsmanager:") {
        true => "unable to retrieve secret from asm",
        false => "unable to retrieve secrets from ssm",
    };
    failure(
        "ResourceInitializationError",
        format!(
            "unable to pull secrets or registry auth: execution resource retrieval failed: {what}: service \
             call has been retried 1 time(s): {error}"
        ),
    )
}

/// AWS: a file of variables that could not be fetched.
pub(crate) fn environment_file(error: &SecretError) -> Failure {
    failure(
        "ResourceInitializationError",
        format!(
            "failed to download env files: file download command: non empty error stream: service call has \
             been retried 1 time(s): {error}"
        ),
    )
}

/// What the agent itself should have known is missing.
pub(crate) fn lost(reason: &str) -> Failure {
    failure("ContainerRuntimeError", reason.to_owned())
}
