//! One direction of an exchange: from a source to a sink until both have had enough.

use std::io;
use std::task::{Context, Poll, ready};

use super::seam::{Fill, Length, Piece, Sink, Source};
use crate::buffers::{Buffers, LARGE, SMALL};

/// A body of known length beyond this moves in large pieces from the start.
const LONG: u64 = 4 * SMALL as u64;

/// A body on its way.
pub struct Pump {
    piece: Piece,
    state: State,
    is_last: bool,
    wants_large: bool,
    /// What came before it broke off is handed on.
    hands_on: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fill,
    Push,
    Finish,
    Done,
}

/// Which end broke.
#[derive(Debug)]
pub enum Broke {
    Source(io::Error),
    Sink,
}

impl Pump {
    pub fn new(length: Length) -> Self {
        Pump {
            piece: Piece::default(),
            state: if length == Length::None { State::Finish } else { State::Fill },
            is_last: false,
            wants_large: matches!(length, Length::Known(length) if length > LONG),
            hands_on: false,
        }
    }

    /// Of an answer: the client gets as much of it as came. Of a request that breaks off, a target
    /// had better see nothing.
    pub fn of_answer(length: Length) -> Self {
        Pump { hands_on: true, ..Pump::new(length) }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the source is what it waits for.
    pub fn awaits_source(&self) -> bool {
        self.state == State::Fill
    }

    /// Bytes that the sink has taken.
    pub fn moved(&self) -> u64 {
        self.piece.total()
    }

    /// Moves what can be moved now.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        sink: &mut impl Sink,
        buffers: &Buffers,
    ) -> Poll<Result<(), Broke>> {
        loop {
            match self.state {
                State::Fill => match self.poll_fill(cx, source, buffers) {
                    Poll::Ready(Ok(fill)) => {
                        self.is_last = fill == Fill::End;
                        self.state = State::Push;
                    }
                    Poll::Ready(Err(error)) => {
                        if self.hands_on {
                            // As far as it goes at once.
                            let _ = sink.poll_flush(cx);
                        }
                        return Poll::Ready(Err(Broke::Source(error)));
                    }
                    Poll::Pending => {
                        // What was kept to leave together with more leaves now. Where it cannot, the
                        // sink will wake us as the source does.
                        if let Poll::Ready(Err(_)) = sink.poll_flush(cx) {
                            return Poll::Ready(Err(Broke::Sink));
                        }
                        return Poll::Pending;
                    }
                },
                State::Push => {
                    ready!(sink.poll_push(cx, &mut self.piece)).map_err(|_| Broke::Sink)?;
                    self.state = if self.is_last { State::Finish } else { State::Fill };
                }
                State::Finish => {
                    ready!(sink.poll_finish(cx, source.trailers())).map_err(|_| Broke::Sink)?;
                    self.state = State::Done;
                    self.give_back(buffers);
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        buffers: &Buffers,
    ) -> Poll<io::Result<Fill>> {
        let wanted = if self.wants_large { LARGE } else { SMALL };
        let buffer = self.piece.buffer();
        if buffer.capacity() < wanted {
            let fresh = if self.wants_large { buffers.large() } else { buffers.small() };
            buffers.give(std::mem::replace(buffer, fresh));
        }
        let polled = source.poll_fill(cx, buffer);
        match polled {
            // A full buffer says that there is more where it came from.
            Poll::Ready(_) => self.wants_large |= buffer.len() >= SMALL,
            // A connection that waits holds no buffer.
            Poll::Pending => self.give_back(buffers),
        }
        polled
    }

    /// Only while nothing is in it.
    fn give_back(&mut self, buffers: &Buffers) {
        if self.piece.is_empty() {
            buffers.give(std::mem::take(self.piece.buffer()));
        }
    }

    /// To be called when it is dropped half-way.
    pub fn abandon(&mut self, buffers: &Buffers) {
        let piece = std::mem::take(&mut self.piece);
        buffers.give(piece.into_buffer());
    }
}
