//! Messages with descriptors over a Unix socket: a length, a count of descriptors, JSON.
//!
//! Invariant: a message is bounded in bytes and descriptors, and descriptors that nobody takes are
//! closed.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes of one message. A table of a balancer with every quota used is far smaller.
const LIMIT: usize = 64 << 20;
/// Descriptors of one message: the kernel takes 253.
pub const DESCRIPTORS: usize = 128;
const HEADER: usize = 8;
const CHUNK: usize = 64 << 10;

/// One end of a connection. Receiving is safe to cancel, sending is not.
pub struct Channel {
    receiving: Receiving,
    sending: Sending,
}

/// What comes.
pub struct Receiving {
    stream: Arc<UnixStream>,
    read: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// What goes.
pub struct Sending {
    stream: Arc<UnixStream>,
}

impl Channel {
    pub fn new(stream: UnixStream) -> Self {
        let stream = Arc::new(stream);
        let sending = Sending { stream: stream.clone() };
        Channel { receiving: Receiving { stream, read: Vec::new(), descriptors: VecDeque::new() }, sending }
    }

    /// The user whose process is at the other end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn peer(&self) -> io::Result<u32> {
        Ok(self.sending.stream.peer_cred()?.uid())
    }

    /// Both directions apart.
    pub fn split(self) -> (Receiving, Sending) {
        (self.receiving, self.sending)
    }

    /// As [`Sending::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send<T: Serialize>(&self, message: &T, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.sending.send(message, with).await
    }

    /// As [`Receiving::receive`].
    ///
    /// # Errors
    /// As there.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.receiving.receive().await
    }
}

impl Sending {
    /// Sends a message with descriptors, which stay open here.
    ///
    /// # Errors
    /// The connection is broken; more than [`DESCRIPTORS`] or a message too long.
    pub async fn send<T: Serialize>(&self, message: &T, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        if body.len() > LIMIT || with.len() > DESCRIPTORS {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend((with.len() as u32).to_le_bytes());
        bytes.extend(body);
        let mut sent = 0;
        while sent < bytes.len() {
            self.stream.writable().await?;
            // They go with the first bytes.
            let with = if sent == 0 { with } else { &[] };
            match self.stream.try_io(Interest::WRITABLE, || write(&self.stream, &bytes[sent..], with)) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Receiving {
    /// The next message with its descriptors; `None` once the other end has closed.
    ///
    /// # Errors
    /// The connection is broken, or what came is no message.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            if let Some(whole) = self.whole()? {
                return Ok(Some(whole));
            }
            self.stream.readable().await?;
            let (stream, read, descriptors) = (&self.stream, &mut self.read, &mut self.descriptors);
            match stream.try_io(Interest::READABLE, || fill(stream, read, descriptors)) {
                Ok(0) if self.read.is_empty() => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn whole<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(header) = self.read.first_chunk::<HEADER>() else { return Ok(None) };
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (length, count) = (word(0) as usize, word(4) as usize);
        if length > LIMIT || count > DESCRIPTORS {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let Some(body) = self.read.get(HEADER..HEADER + length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        if self.descriptors.len() < count {
            // The kernel had no room for them.
            return Err(io::Error::other("descriptors were lost on their way"));
        }
        let with = self.descriptors.drain(..count).collect();
        self.read.drain(..HEADER + length);
        Ok(Some((message, with)))
    }
}

fn write(stream: &UnixStream, bytes: &[u8], with: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(with));
    }
    Ok(sendmsg(stream.as_fd(), &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

fn fill(stream: &UnixStream, into: &mut Vec<u8>, descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let at = into.len();
    into.resize(at + CHUNK, 0);
    let received = recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut into[at..])],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    let length = received.as_ref().map_or(0, |received| received.bytes);
    into.truncate(at + length);
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    received?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn messages_come_whole_in_order_and_with_their_sockets() {
        let (one, other) = UnixStream::pair().unwrap();
        let (near, mut far) = (Channel::new(one), Channel::new(other));
        assert_eq!(near.peer().unwrap(), rustix::process::getuid().as_raw());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let long = "x".repeat(1 << 20);
        let sending = async {
            near.send(&"first", &[]).await.unwrap();
            near.send(&long, &[listener.as_fd(), listener.as_fd()]).await.unwrap();
            near.send(&"last", &[listener.as_fd()]).await.unwrap();
        };
        let receiving = async {
            let mut came = Vec::new();
            for _ in 0..3 {
                came.push(far.receive::<String>().await.unwrap().unwrap());
            }
            came
        };
        let ((), mut came) = tokio::join!(sending, receiving);
        drop(near);
        assert!(far.receive::<String>().await.unwrap().is_none());
        let shape: Vec<_> = came.iter().map(|(text, with)| (text.len(), with.len())).collect();
        assert_eq!(shape, [(5, 0), (1 << 20, 2), (4, 1)]);
        drop(listener);
        let passed = TcpListener::from(came.remove(2).1.remove(0));
        let mut client = TcpStream::connect(at).unwrap();
        passed.accept().unwrap().0.write_all(b"hello").unwrap();
        drop((passed, came));
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        for bytes in
            [&[0xff; 8][..], &[1, 0, 0, 0, 0xff, 0, 0, 0, b'1'], &[1, 0, 0, 0, 1, 0, 0, 0, b'1'], b"\x09"]
        {
            let (mut one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            other.set_nonblocking(true).unwrap();
            one.write_all(bytes).unwrap();
            drop(one);
            let mut far = Channel::new(UnixStream::from_std(other).unwrap());
            assert!(far.receive::<u32>().await.is_err(), "{bytes:?}");
        }
    }
}
