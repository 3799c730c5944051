//! Protection from scale-in, asked for from inside the task.
//!
//! AWS: "Amazon ECS task scale-in protection endpoint".

use aws_ecs::{GetTaskProtectionRequest, ProtectedTask, UpdateTaskProtectionRequest, op};
use base::{Blame, Fault};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use service::Caller;

use crate::Inner;
use crate::answer::{self, Answer};
use crate::known::Subject;
use crate::metadata::caller;
use crate::route::Asked;

/// AWS: the answer to an id of no task.
pub(crate) fn unknown() -> Answer {
    let error =
        json!({ "Code": "ResourceNotFoundException", "Message": "Invalid request: no task was found" });
    answer::json(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

pub(crate) async fn answer(inner: &Inner, asked: &Asked<'_>, subject: &Subject) -> Answer {
    match *asked.method {
        Method::GET => get(inner, subject).await,
        Method::PUT => match wanted(asked.body) {
            Ok(wanted) => update(inner, subject, wanted).await,
            Err(why) => error(subject, StatusCode::BAD_REQUEST, "InvalidParameterException", &why),
        },
        _ => answer::text(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

/// What a PUT asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    is_protected: bool,
    minutes: Option<i32>,
}

fn wanted(body: &[u8]) -> Result<Wanted, String> {
    let unreadable =
        |why: &dyn std::fmt::Display| format!("UpdateTaskProtection: failed to decode request: {why}");
    let body: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let body = body.as_object().ok_or_else(|| unreadable(&"expected an object"))?;
    if let Some(name) =
        body.keys().find(|name| !matches!(name.as_str(), "ProtectionEnabled" | "ExpiresInMinutes"))
    {
        return Err(unreadable(&format_args!("unknown field \"{name}\"")));
    }
    let is_protected = match body.get("ProtectionEnabled") {
        Some(Value::Bool(is_protected)) => *is_protected,
        None | Some(Value::Null) => {
            return Err(String::from("Invalid request: does not contain 'ProtectionEnabled' field"));
        }
        Some(_) => return Err(unreadable(&"'ProtectionEnabled' is no boolean")),
    };
    let minutes = match body.get("ExpiresInMinutes") {
        None | Some(Value::Null) => None,
        Some(minutes) => {
            let minutes = minutes.as_i64().and_then(|minutes| i32::try_from(minutes).ok());
            Some(minutes.ok_or_else(|| unreadable(&"'ExpiresInMinutes' is no integer"))?)
        }
    };
    Ok(Wanted { is_protected, minutes })
}

/// AWS: both calls are made with the task's own role, which must permit them.
fn as_task(subject: &Subject) -> Option<Caller> {
    let task = &subject.task;
    Some(caller(subject).with_role(task.task_role.as_deref()?, &task.task_id))
}

async fn get(inner: &Inner, subject: &Subject) -> Answer {
    let Some(caller) = as_task(subject) else { return no_role(subject) };
    let tasks = Some(vec![subject.task.task_arn.clone()]);
    let request = GetTaskProtectionRequest { cluster: subject.task.cluster.clone(), tasks };
    match inner.parts.platform.call::<op::GetTaskProtection>(caller, request).await {
        Ok(got) => told(subject, got.protected_tasks, got.failures),
        Err(fault) => failed(subject, &fault),
    }
}

async fn update(inner: &Inner, subject: &Subject, wanted: Wanted) -> Answer {
    let Some(caller) = as_task(subject) else { return no_role(subject) };
    let request = UpdateTaskProtectionRequest {
        cluster: subject.task.cluster.clone(),
        tasks: vec![subject.task.task_arn.clone()],
        protection_enabled: wanted.is_protected,
        expires_in_minutes: wanted.minutes,
    };
    match inner.parts.platform.call::<op::UpdateTaskProtection>(caller, request).await {
        Ok(updated) => told(subject, updated.protected_tasks, updated.failures),
        Err(fault) => failed(subject, &fault),
    }
}

fn told(
    subject: &Subject,
    tasks: Option<Vec<ProtectedTask>>,
    failures: Option<Vec<aws_ecs::Failure>>,
) -> Answer {
    if let Some(failure) = failures.unwrap_or_default().pop() {
        let failure = json!({ "Arn": failure.arn, "Reason": failure.reason, "Detail": failure.detail });
        return answer::ok(&json!({ "failure": failure }));
    }
    let Some(task) = tasks.unwrap_or_default().pop() else {
        return failed(subject, &Fault::server("ServerException", "No protection was answered"));
    };
    let mut protection = json!({
        "ProtectionEnabled": task.protection_enabled.unwrap_or_default(),
        "TaskArn": task.task_arn,
    });
    if let Some(at) = task.expiration_date {
        protection["ExpirationDate"] = json!(at.iso8601());
    }
    answer::ok(&json!({ "protection": protection }))
}

fn no_role(subject: &Subject) -> Answer {
    let text = "Unable to get task credentials: the task has no task role";
    error(subject, StatusCode::FORBIDDEN, "AccessDeniedException", text)
}

fn failed(subject: &Subject, fault: &Fault) -> Answer {
    let status = match (&*fault.code, fault.blame) {
        ("AccessDeniedException", _) => StatusCode::FORBIDDEN,
        ("ThrottlingException", _) => StatusCode::TOO_MANY_REQUESTS,
        (_, Blame::Caller) => StatusCode::BAD_REQUEST,
        (_, Blame::Server) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error(subject, status, &fault.code, &fault.message)
}

fn error(subject: &Subject, status: StatusCode, code: &str, message: &str) -> Answer {
    let error = json!({ "Arn": subject.task.task_arn, "Code": code, "Message": message });
    answer::json(status, &json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn a_body_says_whether_and_how_long() {
        let fine = |body: &str| wanted(body.as_bytes()).unwrap();
        assert_eq!(fine(r#"{"ProtectionEnabled":true}"#), Wanted { is_protected: true, minutes: None });
        let both = r#"{"ProtectionEnabled":false,"ExpiresInMinutes":5}"#;
        assert_eq!(fine(both), Wanted { is_protected: false, minutes: Some(5) });
        for (body, part) in [
            ("", "failed to decode"),
            ("[]", "expected an object"),
            ("{}", "does not contain 'ProtectionEnabled'"),
            (r#"{"ProtectionEnabled":"yes"}"#, "no boolean"),
            (r#"{"ProtectionEnabled":true,"ExpiresInMinutes":1.5}"#, "no integer"),
            (r#"{"ProtectionEnabled":true,"Expires":1}"#, "unknown field \"Expires\""),
        ] {
            let why = wanted(body.as_bytes()).unwrap_err();
            assert!(why.contains(part), "{body}: {why}");
        }
    }
}
