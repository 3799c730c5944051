//! Forgets client tokens a day after they were used.

use std::time::Duration;

use control::{Controller, Plan, World, Write};
use store::{Change, Key, Record};

use crate::state::token::ClientToken;

/// AWS: a client token holds for 24 hours.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// The loop over client tokens.
#[derive(Debug, Default)]
pub struct Tokens;

impl Controller for Tokens {
    type Key = Key;

    fn name(&self) -> &'static str {
        "ecs/tokens"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        change.after::<ClientToken>().map(|token| token.key()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(token) = world.get::<ClientToken>(key) else { return plan };
        let over_at = token.created_at + KNOWN_FOR;
        if world.now < over_at {
            plan.wake_by(over_at);
        } else {
            plan.writes.push(Write::delete::<ClientToken>(key.clone()));
        }
        plan
    }
}
