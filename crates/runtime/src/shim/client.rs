//! The server's connection, as the shim sees it: never blocks, bounded in both directions.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};

use crate::protocol::{Message, Request, encode, take_frame};

/// A client that lets more than this pile up is dropped; it reads the record when it comes back.
const MAX_PENDING: usize = 1024 * 1024;

/// No request has more descriptors, and no client sends those of many requests ahead.
const MAX_DESCRIPTORS: usize = 64;

/// What the client said cannot be understood.
struct NotTheProtocol;

pub(super) struct Client {
    stream: OwnedFd,
    input: Vec<u8>,
    /// Descriptors of requests that have not been read whole.
    descriptors: VecDeque<OwnedFd>,
    output: Vec<u8>,
    is_gone: bool,
}

impl Client {
    pub fn new(stream: OwnedFd) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Client { stream, input, descriptors: VecDeque::new(), output, is_gone: false }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub fn has_pending(&self) -> bool {
        !self.output.is_empty()
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub fn send(&mut self, message: &Message) {
        self.output.extend_from_slice(&encode(message));
        self.flush();
        self.is_gone |= self.output.len() > MAX_PENDING;
    }

    pub fn flush(&mut self) {
        while !self.output.is_empty() && !self.is_gone {
            match rustix::net::send(&self.stream, &self.output, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.is_gone = true,
            }
        }
        if self.output.capacity() > 16 * 1024 {
            self.output.shrink_to_fit();
        }
    }

    /// The last answer must leave before the process ends; a client that does not read for a
    /// second does without.
    pub fn flush_blocking(&mut self) {
        self.flush();
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        while self.has_pending() && !self.is_gone {
            let mut fds = [PollFd::new(&self.stream, PollFlags::OUT)];
            match rustix::event::poll(&mut fds, Some(&second)) {
                Ok(1) | Err(Errno::INTR) => self.flush(),
                _ => return,
            }
        }
    }

    /// The requests that have arrived, with their descriptors: as many as [`crate::protocol::Call`] says, or
    /// the client is gone.
    pub fn read(&mut self) -> Vec<(Request, Vec<OwnedFd>)> {
        while !self.is_gone && self.receive() {}
        let mut requests = Vec::new();
        loop {
            match self.next() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(NotTheProtocol) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        if self.input.is_empty() && self.input.capacity() > 16 * 1024 {
            self.input = Vec::new();
        }
        requests
    }

    /// The first request that has arrived whole.
    fn next(&mut self) -> Result<Option<(Request, Vec<OwnedFd>)>, NotTheProtocol> {
        let Some(frame) = take_frame(&mut self.input).map_err(|_| NotTheProtocol)? else { return Ok(None) };
        let request: Request = serde_json::from_slice(&frame).map_err(|_| NotTheProtocol)?;
        let wanted = request.call.descriptors();
        if wanted > self.descriptors.len() {
            return Err(NotTheProtocol);
        }
        Ok(Some((request, self.descriptors.drain(..wanted).collect())))
    }

    /// Takes what the socket holds, up to a chunk. `false` once there is nothing for now.
    fn receive(&mut self) -> bool {
        let mut chunk = [0; 8192];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut parts = [IoSliceMut::new(&mut chunk)];
        let got = match rustix::net::recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        {
            Ok(received) => received.bytes,
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => return false,
            Err(_) => 0,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.is_gone |= got == 0 || self.descriptors.len() > MAX_DESCRIPTORS;
        self.input.extend_from_slice(&chunk[..got]);
        got > 0
    }
}
