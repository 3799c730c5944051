//! Sessions as the platform's records have them, for the data channels.

use base::Secret;
use service::Platform;
use session::{Pending, Sessions, Target};

use super::LOCAL;

/// The sessions that ExecuteCommand has made, of tasks on this host.
pub struct Recorded(pub Platform);

impl Sessions for Recorded {
    fn open<'a>(&'a self, session: &'a str, token: &'a Secret) -> Pending<'a, Result<Target, String>> {
        Box::pin(async move {
            let opened = service_ecs::sessions::open(&self.0, session, token.expose()).await;
            let target = opened.map_err(|fault| fault.message)?;
            if *target.host.0 != *LOCAL {
                return Err(format!("The task runs on another host, {}.", target.host.0));
            }
            Ok(Target { task: target.task_id, container: target.container_name, command: target.command })
        })
    }
}
