//! Credentials of the task's role, renewed while somebody asks for them.

use std::sync::Arc;
use std::time::Duration;

use aws_sts::{AssumeRoleRequest, Credentials, op};
use base::{Fault, Timestamp};
use hyper::StatusCode;
use serde_json::{Value, json};
use service::Caller;

use crate::Inner;
use crate::answer::{self, Answer};
use crate::known::Subject;
use crate::metadata::home;
use crate::route::Asked;

/// AWS: a task's credentials live for about six hours.
const LIFE: Duration = Duration::from_secs(6 * 3_600);
/// With less left there are new ones. SDKs ask again a few minutes before the end.
const LEAST: Duration = Duration::from_secs(3_600);

/// Who assumes a task's role.
const TASKS: &str = "ecs-tasks.amazonaws.com";

/// A role that could not be assumed is not tried again for so long, however often the task asks.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of the last attempt.
pub(crate) enum Held {
    Issued(Issued),
    Refused { fault: Fault, at: Timestamp },
}

/// Credentials that were handed out, with the role's ARN.
pub(crate) struct Issued {
    role: String,
    credentials: Credentials,
}

impl Inner {
    /// AWS: "Task IAM role", `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub(crate) async fn credentials(&self, asked: &Asked<'_>, id: Option<&str>) -> Answer {
        let Some(id) = id else {
            let message = "CredentialsV2Request: No ID in the request";
            return answer::coded(StatusCode::BAD_REQUEST, "NoIdInRequest", message);
        };
        let subject = self.known.credentials(id);
        let Some(subject) = subject.filter(|subject| asked.door.admits(subject, asked.peer)) else {
            let message = "CredentialsV2Request: Credentials not found";
            return answer::coded(StatusCode::BAD_REQUEST, "InvalidIdInRequest", message);
        };
        match self.issued(&subject).await {
            Ok(value) => answer::ok(&value),
            Err(fault) => refused(&subject, &fault),
        }
    }

    /// The same until they grow old.
    async fn issued(&self, subject: &Arc<Subject>) -> Result<Value, Fault> {
        let mut held = subject.credentials.lock().await;
        let now = (self.parts.wall)();
        match held.as_ref() {
            Some(Held::Issued(issued)) if issued.credentials.expiration.since(now) > LEAST => {
                return Ok(issued.value());
            }
            Some(Held::Refused { fault, at }) if now.since(*at) < PATIENCE => return Err(fault.clone()),
            Some(_) | None => {}
        }
        let fault = match self.assume(subject).await {
            Ok(issued) => {
                let value = issued.value();
                *held = Some(Held::Issued(issued));
                return Ok(value);
            }
            Err(fault) => fault,
        };
        let task = &subject.task;
        tracing::warn!(task = task.task_id, role = task.task_role, %fault, "a task's role cannot be assumed");
        match held.as_ref() {
            // What was issued stays good until its own end.
            Some(Held::Issued(issued)) if issued.credentials.expiration > now => Ok(issued.value()),
            _ => {
                *held = Some(Held::Refused { fault: fault.clone(), at: now });
                Err(fault)
            }
        }
    }

    async fn assume(&self, subject: &Subject) -> Result<Issued, Fault> {
        let (account, region) = home(subject);
        let task = &subject.task;
        let role = task.task_role.clone().unwrap_or_default();
        // A definition may name a role of its own account by its name alone.
        let role = match role.starts_with("arn:") {
            true => role,
            false => format!("arn:aws:iam::{account}:role/{role}"),
        };
        let request = AssumeRoleRequest {
            role_arn: role.clone(),
            role_session_name: task.task_id.clone(),
            duration_seconds: i32::try_from(LIFE.as_secs()).ok(),
            ..AssumeRoleRequest::default()
        };
        let caller = Caller::platform(TASKS, account, region);
        let answer = self.parts.platform.call::<op::AssumeRole>(caller, request).await?;
        let none = || Fault::server("InternalFailure", "no credentials were issued");
        Ok(Issued { role, credentials: answer.credentials.ok_or_else(none)? })
    }
}

impl Issued {
    fn value(&self) -> Value {
        json!({
            "RoleArn": self.role,
            "AccessKeyId": self.credentials.access_key_id,
            "SecretAccessKey": self.credentials.secret_access_key,
            "Token": self.credentials.session_token,
            "Expiration": self.credentials.expiration.iso8601(),
        })
    }
}

/// AWS: the sentence of the service event. It is not worth asking again before the role is mended.
fn refused(subject: &Subject, fault: &Fault) -> Answer {
    let task = &subject.task;
    if fault.blame == base::Blame::Server {
        let message = "CredentialsV2Request: Credentials uninitialized for the task";
        return answer::coded(StatusCode::SERVICE_UNAVAILABLE, "CredentialsUninitialized", message);
    }
    let role = task.task_role.as_deref().unwrap_or_default();
    let message = format!(
        "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the \
         role being passed has the proper trust relationship and permissions and that your IAM user has \
         permissions to pass this role."
    );
    answer::coded(StatusCode::BAD_REQUEST, "NoCredentialsAssociated", &message)
}
