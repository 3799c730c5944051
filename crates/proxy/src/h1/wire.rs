//! One HTTP/1.1 connection, whichever end: bytes in, bytes out, and how the body under way is framed.
//!
//! Invariant: bytes behind the end of a body are never handed out as part of it; nothing is read
//! past the end of a body of known length but into the connection's own buffer.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use core_routing::Fields;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::chunked::{self, Decoder, Step};
use crate::buffers::Buffers;
use crate::exchange::{Fill, Length, Piece};

/// A connection with what was read and not used, and what is to be written.
pub struct Wire<S> {
    pub io: S,
    buffers: Rc<Buffers>,
    input: Vec<u8>,
    used: usize,
    out: Vec<u8>,
    written: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    trailers: Option<Box<Fields>>,
    is_ended: bool,
}

/// What is asked of a client's connection itself, whatever is spoken on it.
pub trait Line {
    /// Ends it so that its peer does not take that for a proper end.
    fn cut(&self);

    /// Whether the peer has ended its side, though what it sent before may be unread. Nobody is woken
    /// when that changes.
    fn is_left(&self, cx: &mut Context<'_>) -> bool;
}

impl Line for TcpStream {
    fn cut(&self) {
        // Where it cannot be set the peer sees a plain end, as it would without.
        let _ = self.set_zero_linger();
    }

    fn is_left(&self, cx: &mut Context<'_>) -> bool {
        let ready = pin!(self.ready(Interest::READABLE));
        match ready.poll(cx) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

impl Line for TlsStream<TcpStream> {
    /// Without a last word of TLS, and with a reset.
    fn cut(&self) {
        self.get_ref().0.cut();
    }

    fn is_left(&self, cx: &mut Context<'_>) -> bool {
        self.get_ref().0.is_left(cx)
    }
}

/// How the body that is read is framed.
enum Incoming {
    None,
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
}

/// How the body that is written is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outgoing {
    /// Nothing is to be written, whatever is pushed: answers to HEAD.
    Nothing,
    Length(u64),
    /// Whether a chunk has begun whose last line end is not staged.
    Chunked {
        is_open: bool,
    },
    UntilClose,
    Finished,
}

/// How a body's end is told to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(io: S, buffers: Rc<Buffers>, input: Vec<u8>) -> Self {
        Wire {
            io,
            buffers,
            input,
            used: 0,
            out: Vec::new(),
            written: 0,
            incoming: Incoming::None,
            outgoing: Outgoing::Finished,
            trailers: None,
            is_ended: false,
        }
    }

    /// What was read and is not used.
    pub fn input(&self) -> &[u8] {
        &self.input[self.used..]
    }

    pub fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.input.len() {
            self.buffers.give(std::mem::take(&mut self.input));
            self.used = 0;
        }
    }

    /// Reads what is there behind what was read; the count, zero at the end. While nothing is there
    /// an empty buffer goes back to where it came from.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = self.buffers.small();
        }
        if self.input.len() == self.input.capacity() {
            if self.used > 0 {
                self.input.drain(..self.used);
                self.used = 0;
            } else {
                self.input.reserve(self.input.len());
            }
        }
        let polled = poll_read_into(&mut self.io, cx, &mut self.input, usize::MAX);
        if self.input.is_empty() {
            self.buffers.give(std::mem::take(&mut self.input));
        }
        if matches!(polled, Poll::Ready(Ok(0))) {
            self.is_ended = true;
        }
        polled
    }

    /// The peer has closed its side, as far as was read.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// What is written next is put behind what is staged.
    pub fn staged(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.buffers.small();
        }
        &mut self.out
    }

    /// The body that follows in what is read.
    pub fn expect_body(&mut self, framing: Framing) {
        self.trailers = None;
        self.incoming = match framing {
            Framing::None | Framing::Length(0) => Incoming::None,
            Framing::Length(length) => Incoming::Length(length),
            Framing::Chunked => Incoming::Chunked(Box::default()),
            Framing::UntilClose => Incoming::UntilClose,
        };
    }

    /// The body that follows in what is written. `is_silent`: none is written, whatever is pushed.
    pub fn begin_body(&mut self, framing: Framing, is_silent: bool) {
        self.outgoing = match framing {
            _ if is_silent => Outgoing::Nothing,
            Framing::None => Outgoing::Length(0),
            Framing::Length(length) => Outgoing::Length(length),
            Framing::Chunked => Outgoing::Chunked { is_open: false },
            Framing::UntilClose => Outgoing::UntilClose,
        };
    }

    /// Whether the body that is read has ended.
    pub fn has_read_body(&self) -> bool {
        matches!(self.incoming, Incoming::None)
    }

    /// Whether only the connection's end says where the body ends that is being written.
    pub fn is_open_ended(&self) -> bool {
        self.outgoing == Outgoing::UntilClose
    }

    /// Whether the body that is written is whole and all of it has left.
    pub fn has_written(&self) -> bool {
        self.outgoing == Outgoing::Finished && self.out.is_empty()
    }

    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    pub fn incoming_length(&self) -> Length {
        match &self.incoming {
            Incoming::None => Length::None,
            Incoming::Length(length) => Length::Known(*length),
            Incoming::Chunked(_) | Incoming::UntilClose => Length::Unknown,
        }
    }

    /// See [`crate::exchange::Source::poll_fill`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        match &mut self.incoming {
            Incoming::None => Poll::Ready(Ok(Fill::End)),
            Incoming::Length(_) => self.poll_fill_length(cx, into),
            Incoming::UntilClose => self.poll_fill_open(cx, into),
            Incoming::Chunked(_) => self.poll_fill_chunked(cx, into),
        }
    }

    fn poll_fill_length(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        let Incoming::Length(left) = self.incoming else { return Poll::Ready(Ok(Fill::End)) };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let count = match self.copy_input(into, most) {
            0 => ready!(poll_read_into(&mut self.io, cx, into, most))?,
            count => count,
        };
        if count == 0 {
            self.is_ended = true;
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let left = left - count as u64;
        self.incoming = if left == 0 { Incoming::None } else { Incoming::Length(left) };
        Poll::Ready(Ok(if left == 0 { Fill::End } else { Fill::More }))
    }

    fn poll_fill_open(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        if self.copy_input(into, usize::MAX) > 0 {
            return Poll::Ready(Ok(Fill::More));
        }
        if ready!(poll_read_into(&mut self.io, cx, into, usize::MAX))? > 0 {
            return Poll::Ready(Ok(Fill::More));
        }
        (self.is_ended, self.incoming) = (true, Incoming::None);
        Poll::Ready(Ok(Fill::End))
    }

    fn poll_fill_chunked(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        let before = into.len();
        loop {
            if self.input().is_empty() {
                if into.len() > before {
                    return Poll::Ready(Ok(Fill::More));
                }
                if ready!(self.poll_read(cx))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            let Incoming::Chunked(decoder) = &mut self.incoming else { return Poll::Ready(Ok(Fill::End)) };
            match decoder.step(&self.input[self.used..]).map_err(|_| malformed())? {
                Step::Skip(count) => self.consume(count),
                Step::Copy(most) => {
                    let count = most.min(into.capacity() - into.len());
                    if count == 0 {
                        return Poll::Ready(Ok(Fill::More));
                    }
                    decoder.copied(count);
                    self.copy_input(into, count);
                }
                Step::End(count) => {
                    self.trailers = decoder.trailers().map_err(|_| malformed())?.map(Box::new);
                    self.incoming = Incoming::None;
                    self.consume(count);
                    return Poll::Ready(Ok(Fill::End));
                }
            }
        }
    }

    fn copy_input(&mut self, into: &mut Vec<u8>, most: usize) -> usize {
        let room = into.capacity() - into.len();
        let count = self.input().len().min(most).min(room);
        if count > 0 {
            into.extend_from_slice(&self.input[self.used..self.used + count]);
            self.consume(count);
        }
        count
    }

    /// See [`crate::exchange::Sink::poll_push`].
    pub fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>> {
        match self.outgoing {
            _ if piece.is_empty() && self.outgoing != (Outgoing::Chunked { is_open: true }) => {
                return Poll::Ready(Ok(()));
            }
            Outgoing::Nothing => {
                piece.take(usize::MAX);
                return Poll::Ready(Ok(()));
            }
            Outgoing::Length(left) if (piece.rest().len() as u64) > left => {
                return Poll::Ready(Err(malformed()));
            }
            Outgoing::Finished => return Poll::Ready(Err(malformed())),
            Outgoing::Chunked { is_open: false } => {
                let size = piece.rest().len();
                chunked::write_size(size, self.staged());
                self.outgoing = Outgoing::Chunked { is_open: true };
            }
            Outgoing::Chunked { .. } | Outgoing::Length(_) | Outgoing::UntilClose => {}
        }
        while !piece.is_empty() {
            let count = ready!(self.poll_take(cx, piece.rest()))?;
            piece.take(count);
            if let Outgoing::Length(left) = &mut self.outgoing {
                *left -= count as u64;
            }
        }
        if self.outgoing == (Outgoing::Chunked { is_open: true }) {
            self.staged().extend_from_slice(b"\r\n");
            self.outgoing = Outgoing::Chunked { is_open: false };
        }
        Poll::Ready(Ok(()))
    }

    /// Stages or writes some of `bytes`: small ones go out together with what is staged.
    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let staged = self.out.len() - self.written;
        if staged > 0 && self.out.len() + bytes.len() + 8 <= self.out.capacity() {
            self.out.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if staged == 0 {
            return Pin::new(&mut self.io).poll_write(cx, bytes).map(no_zero);
        }
        let both = [io::IoSlice::new(&self.out[self.written..]), io::IoSlice::new(bytes)];
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &both).map(no_zero))?;
        let of_staged = count.min(staged);
        self.count_off(of_staged);
        if count == of_staged {
            // Nothing of the bytes has left: the rest of what is staged comes first.
            return self.poll_take(cx, bytes);
        }
        Poll::Ready(Ok(count - of_staged))
    }

    /// Writes out what is staged.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest).map(no_zero))?;
            self.count_off(count);
        }
        // TLS keeps records of its own; for a socket this is nothing.
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// See [`crate::exchange::Sink::poll_finish`].
    pub fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<io::Result<()>> {
        match self.outgoing {
            Outgoing::Length(left) if left > 0 => return Poll::Ready(Err(malformed())),
            Outgoing::Chunked { .. } => {
                let out = self.staged();
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
                    write_field(out, name, value);
                }
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        self.outgoing = Outgoing::Finished;
        self.poll_flush(cx)
    }

    /// Tells the peer that nothing more comes.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn count_off(&mut self, count: usize) {
        self.written += count;
        if self.written == self.out.len() {
            self.buffers.give(std::mem::take(&mut self.out));
            self.written = 0;
        }
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.input));
        self.buffers.give(std::mem::take(&mut self.out));
    }
}

/// `name: value` and its line end.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// At most `most` bytes, at most up to the capacity.
pub fn poll_read_into<S: AsyncRead + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    into: &mut Vec<u8>,
    most: usize,
) -> Poll<io::Result<usize>> {
    let room = into.capacity() - into.len();
    let mut limited = into.limit(most.min(room));
    // The future holds nothing between two polls: it may be made anew for each.
    let read = std::pin::pin!(io.read_buf(&mut limited));
    std::future::Future::poll(read, cx)
}

fn no_zero(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        other => other,
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
