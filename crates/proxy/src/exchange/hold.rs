//! Requests that wait: for a target of a group that somebody makes once there are requests.
//!
//! Invariant: at most [`MOST`] of a group wait, none longer than the group says, and none whose client
//! is known to be gone. What a client sends meanwhile stays unread.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::choose::{self, Choice};
use super::finish::Story;
use super::seam::Front;
use super::{After, Desk, act, own};
use crate::arrival::Arrival;
use crate::table::{GroupState, Here, HereGroup};

/// Requests of one group that may wait: each holds a connection and what was read of it.
const MOST: u32 = 1_024;
/// So often it is looked whether a client has left whose body is unread: nothing tells of that.
const LOOKS: Duration = Duration::from_millis(500);

/// A request's place among those that wait.
struct Seat(Arc<GroupState>);

impl Seat {
    /// The first one's group is told at once; `None`: there is no room.
    fn take(group: &HereGroup, arrival: &Arrival) -> Option<Seat> {
        let state = &group.served.state;
        let before = state.held.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(state.clone());
        if before == 0 {
            // Where there is no room it is told within a second.
            let _ = arrival.worker.asked.try_send(group.served.group.arn.clone());
        }
        (before < MOST).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why nobody waits any longer.
enum Woken {
    /// Table or health are others: it is to be chosen again.
    Changed,
    ClientGone,
    Over,
}

/// Waits until there is a target, then runs the exchange by the table that is the newest then, which is
/// handed back.
pub async fn hold<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    mut group: Rc<HereGroup>,
    story: &mut Story,
) -> (After, Rc<Here>) {
    let until = Instant::now() + group.served.group.held_for;
    let mut seat = Seat::take(&group, arrival);
    loop {
        let woken = match seat {
            Some(_) => wait(front, arrival, &group, until).await,
            None => Woken::Over,
        };
        let here = arrival.table();
        let status = match woken {
            Woken::Changed => None,
            Woken::ClientGone => Some(460),
            Woken::Over => Some(503),
        };
        if let Some(status) = status {
            return (own(front, desk, arrival, &here, status, story).await, here);
        }
        let after = match choose::look(&desk.request) {
            Err(status) => own(front, desk, arrival, &here, status, story).await,
            Ok(asked) => {
                let (choice, rule) = choose::choose(&asked, arrival, &here, &mut desk.texts);
                story.rule = rule.map(|rule| rule.priority);
                if let Choice::Hold(next) = choice {
                    if !Arc::ptr_eq(&next.served.state, &group.served.state) {
                        seat = Seat::take(&next, arrival);
                    }
                    group = next;
                    continue;
                }
                drop(seat);
                act(front, desk, arrival, &here, choice, story).await
            }
        };
        return (after, here);
    }
}

async fn wait<F: Front>(front: &mut F, arrival: &Arrival, group: &HereGroup, until: Instant) -> Woken {
    let turned = group.served.state.turned.notified();
    let changed = arrival.slot.changed.notified();
    tokio::pin!(turned, changed);
    // What happens from here on is heard.
    turned.as_mut().enable();
    changed.as_mut().enable();
    if arrival.is_over() {
        return Woken::Over;
    }
    if !group.pool(arrival.table().served.zone(arrival.node)).holds() {
        return Woken::Changed;
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Woken::Over;
        }
        tokio::select! {
            () = &mut turned => return Woken::Changed,
            () = &mut changed => return Woken::Changed,
            () = poll_fn(|cx| front.poll_gone(cx)) => return Woken::ClientGone,
            () = tokio::time::sleep(left.clamp(Duration::from_millis(1), LOOKS)) => {}
        }
    }
}
