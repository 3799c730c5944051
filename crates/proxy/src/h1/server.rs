//! A client's side in HTTP/1.1.

use std::io;
use std::task::{Context, Poll, ready};

use core_routing::{Fields, Form, Head};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{bodiless, write_number, write_status};
use super::wire::{Framing, Line, Wire, write_field};
use crate::exchange::{AnswerHead, Fill, Front, Length, Piece, Sink, Source};

/// One request of a client and the answer to it.
pub struct Server<'a, S> {
    pub wire: &'a mut Wire<S>,
    /// The connection may serve another request, as far as request and answer say.
    pub keeps: bool,
    form: Form,
    is_head: bool,
    expects: bool,
    is_tunnel: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Server<'a, S> {
    /// For the head that was read; the body's framing is told to the wire already.
    pub fn new(wire: &'a mut Wire<S>, head: &Head) -> Self {
        let mut server = Server {
            wire,
            keeps: head.form == Form::Http11,
            form: head.form,
            is_head: head.method() == b"HEAD",
            expects: false,
            is_tunnel: false,
        };
        for (name, value) in head.fields.iter() {
            match name.len() {
                10 if name.eq_ignore_ascii_case(b"connection") => server.see_connection(value),
                6 if name.eq_ignore_ascii_case(b"expect") => {
                    server.expects = head.form == Form::Http11 && value.eq_ignore_ascii_case(b"100-continue");
                }
                _ => {}
            }
        }
        server
    }

    fn see_connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match () {
                () if token.eq_ignore_ascii_case(b"close") => self.keeps = false,
                () if token.eq_ignore_ascii_case(b"keep-alive") => self.keeps = true,
                () => {}
            }
        }
    }

    fn framing(&self, length: Length) -> Framing {
        match (length, self.form) {
            (Length::None, _) => Framing::None,
            (Length::Known(length), _) => Framing::Length(length),
            (Length::Unknown, Form::Http10) => Framing::UntilClose,
            (Length::Unknown, _) => Framing::Chunked,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Source for Server<'_, S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        self.wire.poll_fill(cx, into)
    }

    fn trailers(&self) -> Option<&Fields> {
        self.wire.trailers()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink for Server<'_, S> {
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

impl<S: AsyncRead + AsyncWrite + Unpin + Line> Front for Server<'_, S> {
    fn length(&self) -> Length {
        self.wire.incoming_length()
    }

    fn answer(&mut self, head: &AnswerHead, length: Length) {
        let framing = self.framing(length);
        if framing == Framing::UntilClose {
            self.keeps = false;
        }
        let (keeps, form, is_head) = (self.keeps, self.form, self.is_head);
        let out = self.wire.staged();
        write_status(out, head.status, &head.reason);
        for (name, value) in head.fields.iter() {
            write_field(out, name, value);
        }
        if head.status < 200 {
            return out.extend_from_slice(b"\r\n");
        }
        let is_silent = is_head || bodiless(head.status);
        if !is_silent {
            match framing {
                Framing::None => out.extend_from_slice(b"Content-Length: 0\r\n"),
                Framing::Length(length) => {
                    out.extend_from_slice(b"Content-Length: ");
                    write_number(out, length);
                    out.extend_from_slice(b"\r\n");
                }
                Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
                Framing::UntilClose => {}
            }
        }
        match (keeps, form) {
            (true, _) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
            (false, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        }
        self.wire.begin_body(framing, is_silent);
    }

    fn invite(&mut self) {
        if std::mem::take(&mut self.expects) && !self.wire.has_read_body() && self.wire.input().is_empty() {
            self.wire.staged().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A body waits where it is.
        if !self.wire.has_read_body() {
            return if self.wire.io.is_left(cx) { Poll::Ready(()) } else { Poll::Pending };
        }
        // So do bytes of a next request: a client that sends them is there.
        if !self.wire.input().is_empty() {
            return Poll::Pending;
        }
        match ready!(self.wire.poll_read(cx)) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    fn close_after(&mut self) {
        self.keeps = false;
    }

    fn tunnel(&mut self) {
        (self.is_tunnel, self.keeps) = (true, false);
        self.wire.expect_body(Framing::UntilClose);
        self.wire.begin_body(Framing::UntilClose, false);
    }
}
