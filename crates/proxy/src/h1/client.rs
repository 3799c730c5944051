//! A target's side in HTTP/1.1.

use std::io;
use std::task::{Context, Poll, ready};

use core_routing::Fields;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer;
use super::wire::{Framing, Wire};
use crate::exchange::{AnswerHead, Back, Fill, Length, Piece, Refusal, Sink, Source};

/// A connection to a target, one request at a time.
pub struct Client<S> {
    pub wire: Wire<S>,
    /// It has served before: that it is closed before an answer says nothing about the target.
    pub is_reused: bool,
    is_head: bool,
    keeps: bool,
    has_answered: bool,
    is_tunnel: bool,
    /// Bytes of a head under way that are known not to hold its end.
    scanned: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(wire: Wire<S>) -> Self {
        Client {
            wire,
            is_reused: false,
            is_head: false,
            keeps: false,
            has_answered: false,
            is_tunnel: false,
            scanned: 0,
        }
    }

    /// Where the request's head is written before [`Client::begin`].
    pub fn head(&mut self) -> &mut Vec<u8> {
        self.wire.staged()
    }

    /// The head is staged; `framing` is the request body's.
    pub fn begin(&mut self, is_head: bool, framing: Framing) {
        (self.is_head, self.keeps, self.has_answered, self.scanned) = (is_head, false, false, 0);
        self.is_tunnel = false;
        self.wire.begin_body(framing, false);
        self.wire.expect_body(Framing::None);
    }

    /// Whether another request may follow: all was read and written, and neither side closes.
    pub fn is_reusable(&self) -> bool {
        self.keeps
            && self.has_answered
            && !self.is_tunnel
            && self.wire.has_read_body()
            && self.wire.has_written()
            && self.wire.input().is_empty()
    }

    /// An idle connection is usable while nothing has come in on it.
    pub fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.poll_read(cx).is_pending()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Source for Client<S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        self.wire.poll_fill(cx, into)
    }

    fn trailers(&self) -> Option<&Fields> {
        self.wire.trailers()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink for Client<S> {
    fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>> {
        self.wire.poll_push(cx, piece)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<io::Result<()>> {
        ready!(self.wire.poll_finish(cx, trailers))?;
        if self.is_tunnel {
            return self.wire.poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Back for Client<S> {
    fn poll_answer(&mut self, cx: &mut Context<'_>, head: &mut AnswerHead) -> Poll<Result<Length, Refusal>> {
        loop {
            if let Some(read) = self.read_head(head).map_err(Refusal::Malformed)? {
                self.wire.consume(read.length);
                self.scanned = 0;
                if head.status == 101 {
                    self.has_answered = true;
                    return Poll::Ready(Ok(Length::None));
                }
                if head.status >= 200 {
                    (self.keeps, self.has_answered) = (read.keeps, true);
                    self.wire.expect_body(read.framing);
                }
                return Poll::Ready(Ok(self.wire.incoming_length()));
            }
            let has_begun = !self.wire.input().is_empty();
            match ready!(self.wire.poll_read(cx)) {
                Ok(0) if !has_begun => return Poll::Ready(Err(Refusal::ClosedEarly)),
                Ok(0) => return Poll::Ready(Err(Refusal::Broken(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(_) if !has_begun && self.is_reused => return Poll::Ready(Err(Refusal::ClosedEarly)),
                Err(error) => return Poll::Ready(Err(Refusal::Broken(error))),
            }
        }
    }

    fn tunnel(&mut self) {
        self.is_tunnel = true;
        self.wire.expect_body(Framing::UntilClose);
        self.wire.begin_body(Framing::UntilClose, false);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn read_head(&mut self, head: &mut AnswerHead) -> Result<Option<answer::Read>, &'static str> {
        let input = self.wire.input();
        if input.is_empty() {
            return Ok(None);
        }
        // A head that comes byte by byte is parsed once, when its end is there.
        if self.scanned > 0 && !super::has_head_end(input, self.scanned) {
            self.scanned = input.len();
            let is_large = input.len() > core_routing::limits::RESPONSE_HEADERS_BYTES;
            return if is_large { Err("the head is too large") } else { Ok(None) };
        }
        let read = answer::read(input, head, self.is_head)?;
        self.scanned = input.len();
        Ok(read)
    }
}
