//! Every task of every account, for whoever puts the machine to rest.

use base::{AccountId, Fault, Region};
use core_lifecycle::{Goal, StopCode};
use service::{Caller, Platform};
use store::Key;

use crate::state::rest::Rest;
use crate::state::task::{Task, TaskStatus};

/// Asks every task to stop, as StopTask would; answers how many have not stopped yet. Services start
/// none in their place until [`resume`], and nobody waits for balancers that end, too.
///
/// # Errors
/// The records cannot be written.
pub async fn stop_all(platform: &Platform, reason: &str) -> Result<usize, Fault> {
    let caller = Caller::platform("boxship", AccountId::default_account(), Region::default_region());
    let reason = reason.to_owned();
    let written = platform.write("StopAll", caller, move |tx| {
        let since = tx.now;
        tx.put(Rest { since });
        let running: Vec<Task> = tx
            .scan::<Task>(&Key::all())
            .filter(|task| task.goal == Goal::Running)
            .map(|task| (*task).clone())
            .collect();
        for mut task in running {
            // What ends by itself keeps its own cause.
            let is_ending = tx
                .get::<TaskStatus>(&task.at.key())
                .is_some_and(|status| status.state.stop_cause().is_some());
            if !is_ending {
                task.goal = Goal::Stopped { code: StopCode::UserInitiated, reason: reason.clone() };
                tx.put(task);
            }
        }
        Ok(())
    });
    written.await?;
    Ok(unfinished(platform))
}

/// Lets services have their tasks again: a server starts.
///
/// # Errors
/// The records cannot be written.
pub async fn resume(platform: &Platform) -> Result<(), Fault> {
    if platform.store().snapshot().get::<Rest>(&Rest::only()).is_none() {
        return Ok(());
    }
    let caller = Caller::platform("boxship", AccountId::default_account(), Region::default_region());
    let written = platform.write("Resume", caller, |tx| {
        tx.delete::<Rest>(&Rest::only());
        Ok(())
    });
    written.await
}

/// How many tasks have not stopped.
pub fn unfinished(platform: &Platform) -> usize {
    let records = platform.store().snapshot();
    records.scan::<TaskStatus>(&Key::all()).filter(|status| status.state.stopped_at().is_none()).count()
}
