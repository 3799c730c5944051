//! A client's stream as one side of an exchange.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use core_routing::Fields;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Response, StatusCode};

use super::fields;
use crate::exchange::{AnswerHead, Fill, Front, Length, Piece, Sink, Source};

/// One request's stream.
pub struct Stream {
    body: Incoming,
    length: Length,
    outgoing: Outgoing,
    awaits_invitation: bool,
}

impl Stream {
    /// `length`: what the head says of the body. `awaits_invitation`: the client expects
    /// `100 Continue`.
    pub fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        length: Length,
        awaits_invitation: bool,
    ) -> Self {
        Stream { body: Incoming::new(body), length, outgoing: Outgoing::new(respond), awaits_invitation }
    }

    /// Whether the client took the stream back.
    pub fn is_reset(&self) -> bool {
        self.body.is_reset || self.outgoing.is_reset
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        self.body.poll_fill(cx, into)
    }

    fn trailers(&self) -> Option<&Fields> {
        self.body.trailers.as_ref()
    }
}

impl Sink for Stream {
    fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>> {
        self.outgoing.poll_push(cx, piece)
    }

    /// Also where a pump that waits for the target learns that the client took the stream back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.flush()?;
        match self.outgoing.poll_gone(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<io::Result<()>> {
        Poll::Ready(self.outgoing.finish(trailers))
    }
}

/// Closing the connection after an answer is never necessary: a stream is reset by itself.
impl Front for Stream {
    fn length(&self) -> Length {
        self.length
    }

    fn answer(&mut self, head: &AnswerHead, length: Length) {
        self.outgoing.stage(head, length);
    }

    fn invite(&mut self) {
        if !std::mem::take(&mut self.awaits_invitation) {
            return;
        }
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::CONTINUE;
        if let State::Before { respond, .. } = &mut self.outgoing.state {
            // A stream that is gone says so where the body is read.
            let _ = respond.send_informational(head);
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.outgoing.poll_gone(cx)
    }

    fn abort(&mut self) {
        self.outgoing.reset(Reason::INTERNAL_ERROR);
    }
}

/// A body that comes over a stream, whichever side the stream belongs to.
pub(super) struct Incoming {
    stream: RecvStream,
    /// Came and is not handed on yet; its part of the window is still taken.
    rest: Bytes,
    trailers: Option<Fields>,
    is_whole: bool,
    is_reset: bool,
}

impl Incoming {
    pub fn new(stream: RecvStream) -> Self {
        Incoming { stream, rest: Bytes::new(), trailers: None, is_whole: false, is_reset: false }
    }

    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Nothing follows the head.
    pub fn is_empty(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        let before = into.len();
        loop {
            self.hand_on(into)?;
            if !self.rest.is_empty() {
                return Poll::Ready(Ok(Fill::More));
            }
            if self.is_whole || self.stream.is_end_stream() {
                return Poll::Ready(Ok(Fill::End));
            }
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broken(&error))),
                Poll::Ready(None) => {
                    let trailers =
                        ready!(self.stream.poll_trailers(cx)).map_err(|error| self.broken(&error))?;
                    self.trailers = trailers.map(|map| fields::trailers(&map));
                    self.is_whole = true;
                }
                Poll::Pending if into.len() > before => return Poll::Ready(Ok(Fill::More)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn hand_on(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let count = self.rest.len().min(into.capacity() - into.len());
        if count == 0 {
            return Ok(());
        }
        into.extend_from_slice(&self.rest.split_to(count));
        self.stream.flow_control().release_capacity(count).map_err(|error| self.broken(&error))
    }

    fn broken(&mut self, error: &h2::Error) -> io::Error {
        self.is_reset = error.is_reset() && error.is_remote();
        broken(error)
    }
}

/// What comes of a stream's error for whoever reads a body.
pub(super) fn broken(error: &h2::Error) -> io::Error {
    let kind = match error.reason() {
        Some(Reason::PROTOCOL_ERROR) if error.is_library() => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::UnexpectedEof,
    };
    io::Error::new(kind, error.to_string())
}

/// The answer's side of a client's stream.
struct Outgoing {
    state: State,
    is_reset: bool,
}

enum State {
    /// No head has left. It is staged with what is known of the body, to leave together with it.
    Before {
        respond: SendResponse<Bytes>,
        staged: Option<(Response<()>, Length)>,
    },
    Body(Body),
    Over,
}

impl Outgoing {
    fn new(respond: SendResponse<Bytes>) -> Self {
        Outgoing { state: State::Before { respond, staged: None }, is_reset: false }
    }

    fn stage(&mut self, head: &AnswerHead, length: Length) {
        let State::Before { respond, staged } = &mut self.state else { return };
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
        response.headers_mut().reserve(head.fields.len() + 1);
        let known = match length {
            Length::Known(length) => Some(length),
            Length::None | Length::Unknown => None,
        };
        fields::append(response.headers_mut(), &head.fields, |name| {
            known.is_some() && name.eq_ignore_ascii_case(b"content-length")
        });
        if let Some(length) = known {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if response.status().is_informational() {
            // Hints; a stream that is gone says so later.
            let _ = respond.send_informational(response);
        } else {
            *staged = Some((response, length));
        }
    }

    /// Sends the staged head. `ends`: nothing follows it.
    fn leave(&mut self, ends: bool) -> io::Result<()> {
        let State::Before { respond, staged } = &mut self.state else { return Ok(()) };
        let Some((response, length)) = staged.take() else { return Ok(()) };
        let ends = ends || length == Length::None;
        match respond.send_response(response, ends) {
            Ok(_) if ends => self.state = State::Over,
            Ok(stream) => self.state = State::Body(Body::new(stream, length)),
            Err(error) => return Err(self.gone(&error)),
        }
        Ok(())
    }

    fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>> {
        self.leave(false)?;
        match &mut self.state {
            State::Body(body) => {
                let pushed = ready!(body.poll_push(cx, piece));
                Poll::Ready(pushed.map_err(|error| self.gone(&error)))
            }
            // The answer has no body: what a target sends all the same is dropped.
            State::Before { .. } | State::Over => {
                piece.take(piece.rest().len());
                Poll::Ready(Ok(()))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.leave(false)?;
        match &mut self.state {
            State::Body(body) => body.flush().map_err(|error| self.gone(&error)),
            State::Before { .. } | State::Over => Ok(()),
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        self.leave(trailers.is_none())?;
        let State::Body(body) = &mut self.state else { return Ok(()) };
        body.finish(trailers).map_err(|error| self.gone(&error))?;
        self.state = State::Over;
        Ok(())
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.state {
            State::Before { respond, .. } => ready!(respond.poll_reset(cx)),
            State::Body(body) => ready!(body.stream.poll_reset(cx)),
            State::Over => return Poll::Pending,
        };
        self.is_reset |= reset.is_ok();
        Poll::Ready(())
    }

    fn reset(&mut self, reason: Reason) {
        match &mut self.state {
            State::Before { respond, .. } => respond.send_reset(reason),
            State::Body(body) => body.stream.send_reset(reason),
            State::Over => return,
        }
        self.state = State::Over;
    }

    fn gone(&mut self, error: &h2::Error) -> io::Error {
        self.is_reset |= error.is_reset() && error.is_remote();
        io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
    }
}

/// A body that leaves over a stream, whichever side the stream belongs to.
pub(super) struct Body {
    pub stream: SendStream<Bytes>,
    /// What is still to come, where it is known: the last frame then ends the stream.
    left: Option<u64>,
    /// The newest piece where it is not, so that it can end the stream if nothing follows.
    held: Bytes,
    is_over: bool,
}

impl Body {
    pub fn new(stream: SendStream<Bytes>, length: Length) -> Self {
        let left = match length {
            Length::Known(length) => Some(length),
            Length::None | Length::Unknown => None,
        };
        Body { stream, left, held: Bytes::new(), is_over: false }
    }

    /// Takes as much as the windows of stream and connection let leave at once, and waits for more
    /// where that is not all.
    pub fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<Result<(), h2::Error>> {
        while !piece.is_empty() {
            self.flush()?;
            let wanted = piece.rest().len();
            self.stream.reserve_capacity(wanted);
            let mut room = self.stream.capacity();
            if room == 0 {
                room = match ready!(self.stream.poll_capacity(cx)) {
                    Some(room) => room?,
                    None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
                };
            }
            let count = room.min(wanted);
            let bytes = Bytes::copy_from_slice(&piece.rest()[..count]);
            match &mut self.left {
                Some(left) => {
                    *left = left.saturating_sub(count as u64);
                    self.is_over = *left == 0;
                    self.stream.send_data(bytes, self.is_over)?;
                }
                None => self.held = bytes,
            }
            piece.take(count);
        }
        Poll::Ready(Ok(()))
    }

    pub fn flush(&mut self) -> Result<(), h2::Error> {
        match self.held.is_empty() {
            true => Ok(()),
            false => self.stream.send_data(std::mem::take(&mut self.held), false),
        }
    }

    pub fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), h2::Error> {
        if self.is_over {
            return Ok(());
        }
        self.is_over = true;
        let Some(trailers) = trailers else {
            return self.stream.send_data(std::mem::take(&mut self.held), true);
        };
        self.flush()?;
        let mut map = http::HeaderMap::with_capacity(trailers.len());
        fields::append(&mut map, trailers, |_| false);
        self.stream.send_trailers(map)
    }
}
