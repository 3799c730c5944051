//! What a host saw of a task comes in.

use base::Fault;
use link::Observed;
use service::Tx;

use crate::state::task::{Task, TaskId, TaskObserved};

/// Keeps `observed` if it is news: from the task's own host, and newer than what is known.
/// A task that is not known any more has no news.
pub fn observe(tx: &mut Tx<'_>, observed: &Observed) -> Result<(), Fault> {
    let Some(at) = TaskId::of_arn(&observed.task) else { return Ok(()) };
    let key = at.key();
    let Some(task) = tx.get::<Task>(&key) else { return Ok(()) };
    let known = tx.get::<TaskObserved>(&key);
    if task.host != observed.host || known.is_some_and(|known| known.sequence >= observed.sequence) {
        return Ok(());
    }
    let received_at = tx.now;
    tx.put(TaskObserved {
        at,
        generation: observed.generation,
        sequence: observed.sequence,
        received_at,
        observation: observed.observation.clone(),
        service: task.service.clone(),
    });
    Ok(())
}
