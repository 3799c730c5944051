//! Request and answer between two sides, both directions at once.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::pump::{Broke, Pump};
use super::seam::{AnswerHead, Back, Front, Length, Refusal};
use crate::buffers::Buffers;
use crate::watch::Watched;

/// Informational answers to one request.
const HINTS: u32 = 64;

/// What keeps a relay company.
pub struct Company<'a> {
    pub buffers: &'a Buffers,
    pub watched: &'a Watched,
    /// The balancer's idle timeout.
    pub idle_for: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The client has gone away or broken off.
    ClientGone,
    /// The client's body is malformed.
    ClientMalformed,
    /// AWS: 408, the client owes its body.
    ClientSilent,
    /// AWS: 504.
    TimedOut,
    /// The target was deregistered, and its time is over.
    Cut,
    Target(Refusal),
}

/// Why an answer is not complete.
#[derive(Debug)]
pub enum Incomplete {
    Client,
    Target,
    TimedOut,
    Cut,
}

impl Company<'_> {
    /// Sends the request and waits for the final answer's head. The request's body may go on after.
    pub async fn answer(
        &self,
        front: &mut impl Front,
        back: &mut impl Back,
        up: &mut Pump,
        head: &mut AnswerHead,
    ) -> Result<Length, NoAnswer> {
        self.watched.within(self.idle_for);
        let mut seen = 0;
        // A target that takes no more of the body may have answered all the same.
        let mut is_stuck = false;
        let mut hints = 0;
        // An invitation to send the body has to leave before the body comes.
        let mut is_invited = front.length() == Length::None;
        poll_fn(|cx| {
            if !is_invited {
                is_invited = front.poll_flush(cx).is_ready();
            }
            if !up.is_done() && !is_stuck {
                match up.poll(cx, front, back, self.buffers) {
                    Poll::Ready(Err(Broke::Source(error))) => {
                        return Poll::Ready(Err(match error.kind() {
                            std::io::ErrorKind::InvalidData => NoAnswer::ClientMalformed,
                            _ => NoAnswer::ClientGone,
                        }));
                    }
                    Poll::Ready(Err(Broke::Sink)) => is_stuck = true,
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
                self.note(up.moved(), &mut seen);
            }
            loop {
                match back.poll_answer(cx, head) {
                    Poll::Ready(Ok(length)) if head.status >= 200 || head.status == 101 => {
                        return Poll::Ready(Ok(length));
                    }
                    // Hints. `100 Continue` was given by us.
                    Poll::Ready(Ok(_)) if hints < HINTS => hints += 1,
                    Poll::Ready(Ok(_)) => {
                        return Poll::Ready(Err(NoAnswer::Target(Refusal::Malformed("endless hints"))));
                    }
                    Poll::Ready(Err(refusal)) => return Poll::Ready(Err(NoAnswer::Target(refusal))),
                    Poll::Pending => break,
                }
            }
            if up.is_done() && front.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(NoAnswer::ClientGone));
            }
            self.poll_late(cx).map(|is_cut| {
                Err(match is_cut {
                    true => NoAnswer::Cut,
                    false if up.awaits_source() && !is_stuck => NoAnswer::ClientSilent,
                    false => NoAnswer::TimedOut,
                })
            })
        })
        .await
    }

    /// Moves the answer's body, and what is left of the request's.
    pub async fn bodies(
        &self,
        front: &mut impl Front,
        back: &mut impl Back,
        up: &mut Pump,
        down: &mut Pump,
        is_tunnel: bool,
    ) -> Result<(), Incomplete> {
        let mut seen = 0;
        let mut is_stuck = false;
        let is_long = !down.is_done();
        if is_long {
            self.watched.within(self.idle_for);
        }
        poll_fn(|cx| {
            if !up.is_done() && !is_stuck {
                match up.poll(cx, front, back, self.buffers) {
                    Poll::Ready(Err(Broke::Source(_))) => return Poll::Ready(Err(Incomplete::Client)),
                    Poll::Ready(Err(Broke::Sink)) => is_stuck = true,
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            match down.poll(cx, back, front, self.buffers) {
                Poll::Ready(Err(Broke::Source(_))) => return Poll::Ready(Err(Incomplete::Target)),
                Poll::Ready(Err(Broke::Sink)) => return Poll::Ready(Err(Incomplete::Client)),
                // An answer that is whole ends the exchange; a tunnel ends when both ways do.
                Poll::Ready(Ok(())) if !is_tunnel || up.is_done() || is_stuck => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            self.note(up.moved() + down.moved(), &mut seen);
            self.poll_late(cx).map(|is_cut| Err(if is_cut { Incomplete::Cut } else { Incomplete::TimedOut }))
        })
        .await
    }

    /// Whenever bytes move the time begins anew.
    fn note(&self, moved: u64, seen: &mut u64) {
        if moved != *seen {
            *seen = moved;
            self.watched.within(self.idle_for);
        }
    }

    /// Ready with whether it is that the target was cut.
    fn poll_late(&self, cx: &Context<'_>) -> Poll<bool> {
        match self.watched.poll_due(cx) {
            true => Poll::Ready(self.watched.watch.is_cut()),
            false => Poll::Pending,
        }
    }
}
