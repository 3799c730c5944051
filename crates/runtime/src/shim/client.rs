//! The server's connection, as the shim sees it: never blocks, bounded in both directions.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::protocol::{Message, Request, encode, take_frame};

/// A client that lets more than this pile up is dropped; it reads the record when it comes back.
const MAX_PENDING: usize = 1024 * 1024;

pub(super) struct Client {
    stream: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    is_gone: bool,
}

impl Client {
    pub fn new(stream: OwnedFd) -> Self {
        Client { stream, input: Vec::new(), output: Vec::new(), is_gone: false }
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

    /// The requests that have arrived.
    pub fn read(&mut self) -> Vec<Request> {
        let mut chunk = [0; 8192];
        loop {
            match rustix::net::recv(&self.stream, &mut chunk, RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.is_gone = true;
                    break;
                }
                Ok((got, _)) => self.input.extend_from_slice(&chunk[..got]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        let mut requests = Vec::new();
        loop {
            match take_frame(&mut self.input) {
                Ok(Some(frame)) => match serde_json::from_slice(&frame) {
                    Ok(request) => requests.push(request),
                    Err(_) => self.is_gone = true,
                },
                Ok(None) => break,
                Err(_) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        requests
    }
}
