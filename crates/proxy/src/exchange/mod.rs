//! One request and its answer: who answers, what the target is asked, what the client is told.
//!
//! Owns the course of an exchange from a complete request head to the last byte of the answer, for
//! every pair of protocols. Invariant: a target sees exactly one request per exchange, in a framing
//! that this module wrote. Ignores how heads and bodies look on a wire.

mod seam;

use core_routing::Head;

pub use seam::{AnswerHead, Back, Fill, Front, Length, Piece, Refusal, Sink, Source};

use crate::arrival::Arrival;

/// What an exchange works on, reused from one to the next.
#[derive(Default)]
pub struct Desk {
    pub request: Head,
    pub answer: AnswerHead,
}

/// How an exchange ended for the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may come.
    Keep,
    /// The answer is complete; nothing more is read.
    Close,
    /// The answer is not complete, or the client is gone.
    Abort,
}

/// Runs one exchange whose head is in `desk.request`.
pub async fn exchange<F: Front>(_front: &mut F, _desk: &mut Desk, _arrival: &Arrival) -> After {
    After::Abort
}
