//! What a client's side and a target's side of an exchange look like, whatever protocol they speak.
//!
//! Polled, not awaited: both directions of an exchange run in one task without a box or a lock.
//! A body is handed on as plain bytes in buffers that the pump owns; framing is each side's own.

use std::io;
use std::task::{Context, Poll};

use core_routing::Fields;

/// Where a body comes from.
pub trait Source {
    /// Appends what is there of the body to `into`, at most up to its capacity (which is never
    /// zero). Nothing is appended with `Pending`; something is with `More`; with `End`, something
    /// may be.
    ///
    /// # Errors
    /// The body breaks off (`UnexpectedEof`), or is malformed (`InvalidData`).
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>>;

    /// The fields after the body, known once it has ended.
    fn trailers(&self) -> Option<&Fields>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    More,
    /// The body is whole; [`Source::poll_fill`] is not called again.
    End,
}

/// Where a body goes.
pub trait Sink {
    /// Takes all of `piece` in: written, or kept to be written together with what follows. Bytes
    /// that are taken are counted off by [`Piece::take`].
    ///
    /// # Errors
    /// The other end is gone.
    fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>>;

    /// Writes out what was kept. Called where the source has nothing more for now.
    ///
    /// # Errors
    /// The other end is gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The body is whole. Flushes.
    ///
    /// # Errors
    /// The other end is gone.
    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<io::Result<()>>;
}

/// A client's side of one request. The request's head was handed over before.
pub trait Front: Source + Sink {
    /// What is known of the request's body.
    fn length(&self) -> Length;

    /// Stages the answer's head; it leaves with what is pushed or flushed next. `length` says what
    /// will be pushed. Called once per request, but for informational answers.
    fn answer(&mut self, head: &AnswerHead, length: Length);

    /// Stages `100 Continue`, where the protocol and the request want one.
    fn invite(&mut self);

    /// Whether the client has gone away, as far as can be told without reading its bytes.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The connection is to be closed after this answer; called before it is staged.
    fn close_after(&mut self) {}

    /// The answer cannot be ended properly: connection or stream are to be reset.
    fn abort(&mut self) {}

    /// After a staged answer with status 101: from now on both ways are bytes without a frame,
    /// until each is finished. Only called where the request asked for an upgrade.
    fn tunnel(&mut self) {}
}

/// A target's side of one request.
pub trait Back: Source + Sink {
    /// The final or an informational answer's head, into `head`. After a final one (not 1xx) the
    /// body follows from [`Source`].
    ///
    /// # Errors
    /// See [`Refusal`].
    fn poll_answer(&mut self, cx: &mut Context<'_>, head: &mut AnswerHead) -> Poll<Result<Length, Refusal>>;

    /// After an answer with status 101: see [`Front::tunnel`].
    fn tunnel(&mut self) {}
}

/// What is known of a body's length before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    Known(u64),
    Unknown,
}

/// Why there is no answer of a target.
#[derive(Debug)]
pub enum Refusal {
    /// Closed before the first byte: may be repeated elsewhere if the connection was an old one.
    ClosedEarly,
    /// Reset, or closed in the middle of the head.
    Broken(io::Error),
    /// No HTTP, or a head that is too large.
    Malformed(&'static str),
}

/// An answer's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerHead {
    pub status: u16,
    /// Empty: the usual one.
    pub reason: String,
    pub fields: Fields,
}

impl AnswerHead {
    pub fn clear(&mut self) {
        self.status = 0;
        self.reason.clear();
        self.fields.clear();
    }
}

/// Bytes of a body between a source and a sink.
#[derive(Debug, Default)]
pub struct Piece {
    bytes: Vec<u8>,
    taken: usize,
    /// Of all that was ever in it.
    total: u64,
}

impl Piece {
    pub fn new(bytes: Vec<u8>) -> Self {
        Piece { bytes, taken: 0, total: 0 }
    }

    /// What is not yet taken.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// The first `count` bytes of the rest are done with.
    pub fn take(&mut self, count: usize) {
        let count = count.min(self.bytes.len() - self.taken);
        self.taken += count;
        self.total += count as u64;
    }

    /// How many bytes were ever taken.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The emptied buffer, to be filled again.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        }
        &mut self.bytes
    }

    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}
