//! ExecuteCommand: who may type where. What happens on the channel is the session's own business.

use std::sync::Arc;
use std::time::Duration;

use aws_ecs as aws;
use base::{Arn, Fault, Secret};
use hmac::{Hmac, Mac};
use service::{Caller, Origin, Tx};
use sha2::Sha256;

use super::{cluster, task};
use crate::behaviour::check;
use crate::faults::{SessionError, TaskError};
use crate::sessions::{digest, is_running};
use crate::state::definition::TaskDefinition;
use crate::state::session::Session;
use crate::state::task::{Task, TaskContainer};

/// How long a session waits to be taken up.
const WAITS_FOR: Duration = Duration::from_secs(300);
/// Where a task finds the one port.
const FROM_TASK: &str = "169.254.170.2:4566";

/// What ExecuteCommand must know of its surroundings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where callers reach the one port: `127.0.0.1:4566`.
    pub authority: Arc<str>,
    /// Makes the tokens of sessions. The data directory's own secret.
    pub secret: Secret,
}

pub fn execute(
    config: &Config,
    tx: &mut Tx<'_>,
    request: aws::ExecuteCommandRequest,
) -> Result<aws::ExecuteCommandResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    if !request.interactive {
        return Err(SessionError::NotInteractive.into());
    }
    if request.command.trim().is_empty() {
        return Err(SessionError::NoCommand.into());
    }
    let id = task::id_of(&cluster, &request.task)?.ok_or(TaskError::Missing)?;
    let record = tx.get::<Task>(&id.key()).ok_or(TaskError::Missing)?;
    let container = chosen(&record, request.container.as_deref().filter(|name| !name.is_empty()))?;
    if !record.enable_execute_command || !is_running(tx, &record, &container.name) {
        return Err(SessionError::NotEnabled.into());
    }
    within_reach(tx, &record)?;
    let (name, container_id) = (container.name.clone(), container.id.clone());
    let session_id = format!("ecs-execute-command-{}", tx.chance.hex(17));
    let token = token(&config.secret, &session_id, tx.now.as_secs());
    let expires_at = tx.now + WAITS_FOR;
    tx.put(Session {
        id: session_id.clone(),
        task: id.clone(),
        container: name.clone(),
        command: request.command,
        token: Secret::new(digest(&token)),
        expires_at,
    });
    let authority = authority(config, tx.caller);
    let stream_url = format!("ws://{authority}/v1/data-channel/{session_id}?role=publish_subscribe");
    let resource = format_args!("container/{}/{}/{container_id}", id.cluster, id.id);
    let container_arn = Arn::new("ecs", id.region.as_str(), &id.account, resource).to_string();
    Ok(aws::ExecuteCommandResponse {
        cluster_arn: Some(cluster.arn().to_string()),
        container_arn: Some(container_arn),
        container_name: Some(name),
        interactive: Some(true),
        session: Some(aws::Session {
            session_id: Some(session_id),
            stream_url: Some(stream_url),
            token_value: Some(token),
        }),
        task_arn: Some(id.arn().to_string()),
    })
}

/// A task may not ask for what reaches the host, so it does not get there through another one.
fn within_reach(tx: &Tx<'_>, record: &Task) -> Result<(), SessionError> {
    let Origin::Task { .. } = tx.caller.origin else { return Ok(()) };
    let at = &record.at;
    let key = TaskDefinition::key_of(&at.account, &at.region, &record.family, record.revision);
    let is_harmless =
        tx.get::<TaskDefinition>(&key).is_some_and(|found| check::host_access(&found.spec).is_none());
    if is_harmless { Ok(()) } else { Err(SessionError::FromTask) }
}

/// The way that brought the request here takes the session, too. A name of AWS's is the real one's
/// wherever there is no proxy in between.
fn authority<'a>(config: &'a Config, caller: &'a Caller) -> &'a str {
    match (&caller.origin, caller.host.as_deref()) {
        (Origin::Task { .. }, _) => FROM_TASK,
        (_, Some(host)) if !host.is_empty() && !host.contains(".amazonaws.") => host,
        (Origin::Operator | Origin::Platform, _) => &config.authority,
    }
}

/// AWS: a task with one container needs no name.
fn chosen<'a>(task: &'a Task, named: Option<&str>) -> Result<&'a TaskContainer, SessionError> {
    match (named, task.containers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(SessionError::NoContainer),
        (Some(name), all) => all
            .iter()
            .find(|container| container.name == name)
            .ok_or_else(|| SessionError::UnknownContainer(String::from(name))),
    }
}

/// Nobody can guess it: chance here is repeatable, the secret is not.
fn token(secret: &Secret, session: &str, now: i64) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let keyed = keyed.expect("HMAC takes keys of any length");
    let claim = format!("ecs-session|{session}|{now}");
    hex::encode(keyed.chain_update(claim.as_bytes()).finalize().into_bytes())
}
