//! A netlink socket and its framing. It stays in the namespace in which it was opened, whatever
//! thread uses it later.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
    sockopt,
};

/// Answers of the kernel come in datagrams of at most this size.
const DATAGRAM: usize = 64 * 1024;
/// What every machine's buffers have room for.
const SMALL: usize = 64 * 1024;
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// One message of an answer.
pub enum Frame<'a> {
    /// The request with this sequence number succeeded.
    Done,
    /// The request was refused with this error number.
    Refused(i32),
    /// Anything else: a whole message with its header.
    Message(&'a [u8]),
}

pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    pub fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Socket { fd, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Reserves `count` consecutive sequence numbers and gives the first.
    pub fn sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count);
        first
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.fd, bytes, SendFlags::empty())?;
        Ok(())
    }

    /// As [`Socket::send`], however long.
    pub fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > SMALL {
            // The kernel takes a message only whole, and counts its own overhead as well.
            sockopt::set_socket_send_buffer_size_force(&self.fd, 2 * bytes.len())?;
        }
        self.send(bytes)
    }

    /// Reads one datagram and hands each frame with its sequence number to `each`.
    pub fn receive(&mut self, mut each: impl FnMut(u32, Frame<'_>) -> io::Result<()>) -> io::Result<()> {
        let (length, _) = recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &self.buffer[..length.min(DATAGRAM)];
        while rest.len() >= HEADER {
            let length = u32_at(rest, 0) as usize;
            if length < HEADER || length > rest.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "truncated netlink message"));
            }
            let (message, _) = rest.split_at(length);
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            let frame = match kind {
                ERROR if length >= HEADER + 4 => match u32_at(message, HEADER) as i32 {
                    0 => Frame::Done,
                    code => Frame::Refused(-code),
                },
                DONE => Frame::Done,
                _ => Frame::Message(message),
            };
            each(u32_at(message, 8), frame)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
