//! Moving the simulated clock: from one due thing to the next, never past one.

use std::time::Duration;

use base::{Fault, Timestamp};
use control::Engine;
use runtime::Simulated;
use service::{Caller, Platform};

use crate::host::Host;

/// The store's fact that holds the clock's offset, in microseconds.
pub const OFFSET: &str = "clock_offset_micros";

/// Advances the clock by `by`; answers once everything due up to then has happened.
pub async fn advance(
    platform: &Platform,
    engine: &Engine,
    host: &Host,
    simulated: &Simulated,
    by: Duration,
) -> Result<Timestamp, Fault> {
    let clock = platform.clock();
    let target = clock.now() + by;
    loop {
        let next = quiet(platform, engine, host, simulated).await;
        let now = clock.now();
        if now >= target {
            break;
        }
        let step = next.filter(|at| *at > now).unwrap_or(target).min(target);
        clock.advance(step.since(now));
    }
    let offset = clock.offset().as_micros().to_string();
    let caller =
        Caller::platform("boxship", base::AccountId::default_account(), base::Region::default_region());
    platform
        .write("AdvanceClock", caller, move |tx| {
            tx.set_meta(OFFSET, &offset);
            Ok(())
        })
        .await?;
    Ok(clock.now())
}

/// Looks that must agree before everything counts as quiet: between two of them whatever was handed
/// from one part to the next has shown itself.
const LOOKS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(2);

/// Waits until nothing is under way in control plane and host. Answers when the next thing is due.
async fn quiet(
    platform: &Platform,
    engine: &Engine,
    host: &Host,
    simulated: &Simulated,
) -> Option<Timestamp> {
    let (mut agreed, mut seen) = (0, None);
    loop {
        simulated.settle();
        let due = engine.settle().await;
        let revision = Some(platform.store().snapshot().revision());
        agreed = if host.is_idle() && seen == revision { agreed + 1 } else { 0 };
        if agreed == LOOKS {
            return [due, simulated.next_due(), host.next_due()].into_iter().flatten().min();
        }
        seen = revision;
        tokio::time::sleep(BETWEEN).await;
    }
}
