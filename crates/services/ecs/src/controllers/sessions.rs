//! Forgets sessions that nobody took up.

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::session::Session;

/// The loop over sessions that wait.
#[derive(Debug, Default)]
pub struct Sessions;

impl Controller for Sessions {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/sessions"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        change.after::<Session>().map(|session| session.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(session) = world.get::<Session>(key) else { return plan };
        if world.now < session.expires_at {
            plan.wake_by(session.expires_at);
        } else {
            plan.writes.push(Write::delete::<Session>(key.clone()));
        }
        plan
    }
}
