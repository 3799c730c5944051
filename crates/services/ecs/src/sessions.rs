//! The far end of ExecuteCommand: a session is taken up once, by whoever has its token.

use core_lifecycle::{Container, Goal};
use link::HostId;
use service::{Caller, Platform, Tx};

use base::{AccountId, Fault, Region};
use sha2::{Digest as _, Sha256};

use crate::faults::SessionError;
use crate::state::session::Session;
use crate::state::task::{Task, TaskObserved, TaskStatus};

/// The container that a session leads to, and what is to run in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTarget {
    pub task_arn: String,
    /// 32 hexadecimal digits: the name of the task's sandbox.
    pub task_id: String,
    pub host: HostId,
    pub container_name: String,
    /// As the caller gave it: words with spaces, quotes and backslashes as a shell has them.
    pub command: String,
}

/// Takes up the session `id`. Its token opens it once: a second attempt finds nothing.
///
/// # Errors
/// `TargetNotConnectedException` when there is no such session, its token is another, it has
/// expired, or its container has ended meanwhile.
pub async fn open(platform: &Platform, id: &str, token: &str) -> Result<SessionTarget, Fault> {
    let caller =
        Caller::platform("ecs.amazonaws.com", AccountId::default_account(), Region::default_region());
    let (id, token) = (String::from(id), digest(token));
    platform.write("OpenSession", caller, move |tx| take_up(tx, &id, &token).map_err(Fault::from)).await
}

/// What is kept of a token.
pub(crate) fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

fn take_up(tx: &mut Tx<'_>, id: &str, token: &str) -> Result<SessionTarget, SessionError> {
    let key = Session::key_of(id);
    let session = tx.get::<Session>(&key).ok_or(SessionError::Unknown)?;
    if !session.token.matches(token) || session.expires_at <= tx.now {
        return Err(SessionError::Unknown);
    }
    tx.delete::<Session>(&key);
    let task = tx.get::<Task>(&session.task.key()).ok_or(SessionError::NotRunning)?;
    if !is_running(tx, &task, &session.container) {
        return Err(SessionError::NotRunning);
    }
    Ok(SessionTarget {
        task_arn: session.task.arn().to_string(),
        task_id: session.task.id.clone(),
        host: task.host.clone(),
        container_name: session.container.clone(),
        command: session.command.clone(),
    })
}

/// Whether a command can run in a container of `task`: it is up, and nobody wants its end.
pub(crate) fn is_running(records: &store::Snapshot, task: &Task, container: &str) -> bool {
    let key = task.at.key();
    let Some(status) = records.get::<TaskStatus>(&key) else { return false };
    let seen = records.get::<TaskObserved>(&key);
    let seen =
        seen.as_ref().and_then(|seen| seen.observation.containers.iter().find(|c| c.name == container));
    task.goal == Goal::Running
        && status.state.stop_cause().is_none()
        && matches!(Container::of(seen, &status.state), Container::Running { .. })
}
