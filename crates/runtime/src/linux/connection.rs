//! The socket to one shim: requests out, answers and events in.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::lock;
use crate::contract::{Event, RuntimeError};
use crate::protocol::{Answer, Call, Message, Request, encode, take_frame};
use crate::record::TaskDir;

type Reply = oneshot::Sender<Result<Answer, RuntimeError>>;

/// The exit code of a process that entered a container, once it has ended.
pub(crate) type Code = watch::Receiver<Option<i32>>;

/// The sending half, and who waits for which answer.
pub(crate) struct Connection {
    outbox: tokio::sync::Mutex<Outbox>,
    /// `None` once the shim is gone: nobody will answer.
    waiting: Mutex<Option<Awaited>>,
    next: AtomicU64,
    /// Calls of those who cannot wait, and their way to whoever receives.
    later: mpsc::Sender<Call>,
    told: Mutex<Option<mpsc::Receiver<Call>>>,
}

/// More signals than anybody sends at once.
const LATER: usize = 256;

/// What the shim has yet to say.
#[derive(Default)]
struct Awaited {
    replies: HashMap<u64, Reply>,
    codes: HashMap<u64, watch::Sender<Option<i32>>>,
}

/// A caller that gives up half-way leaves the rest of its frame to the next.
struct Outbox {
    half: OwnedWriteHalf,
    unsent: Vec<u8>,
}

impl Connection {
    /// `Ok(None)`: nobody listens there, so the shim is dead.
    pub async fn open(dir: &TaskDir) -> std::io::Result<Option<(Self, OwnedReadHalf)>> {
        let (_open, path) = dir.socket()?;
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Connection::over(stream))),
            Err(error) => match error.kind() {
                std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => Ok(None),
                _ => Err(error),
            },
        }
    }

    pub fn over(stream: UnixStream) -> (Self, OwnedReadHalf) {
        let (reader, writer) = stream.into_split();
        let (later, told) = mpsc::channel(LATER);
        let connection = Connection {
            outbox: tokio::sync::Mutex::new(Outbox { half: writer, unsent: Vec::new() }),
            waiting: Mutex::new(Some(Awaited::default())),
            next: AtomicU64::new(1),
            later,
            told: Mutex::new(Some(told)),
        };
        (connection, reader)
    }

    /// Whether the shim is there, as far as is known.
    pub fn is_open(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    /// Asks, and waits for the answer.
    pub async fn call(&self, call: Call) -> Result<Answer, RuntimeError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.request(Request { id, call }, Vec::new()).await
    }

    /// Says something and waits for no answer.
    pub fn tell(&self, call: Call) {
        if let Err(error) = self.later.try_send(call) {
            tracing::warn!(%error, "a shim was not told something");
        }
    }

    /// A request for a process, with the descriptors that belong to it: its number, and its exit to come.
    pub async fn exec(&self, call: Call, descriptors: Vec<OwnedFd>) -> Result<(u64, Code), RuntimeError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, code) = watch::channel(None);
        // It may end before we are told that it began.
        lock(&self.waiting).as_mut().ok_or_else(lost)?.codes.insert(id, sender);
        let entry = Awaiting { connection: self, id, is_exec: true };
        let answer = self.request(Request { id, call }, descriptors).await?;
        std::mem::forget(entry);
        match answer {
            Answer::Done => Ok((id, code)),
            _ => Err(RuntimeError::ShimLost("it gave an answer to another question".to_owned())),
        }
    }

    async fn request(&self, request: Request, descriptors: Vec<OwnedFd>) -> Result<Answer, RuntimeError> {
        let id = request.id;
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).as_mut().ok_or_else(lost)?.replies.insert(id, reply);
        let _entry = Awaiting { connection: self, id, is_exec: false };
        let frame = encode(&request);
        self.outbox.lock().await.send(&frame, descriptors).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?
    }

    /// Hands answers to those who wait, until the shim is gone. Before that, `on_answer` and
    /// `on_event` hear everything in the order in which the shim said it: a container may have
    /// ended before whoever started it is told that it started.
    pub async fn receive(
        &self,
        mut reader: OwnedReadHalf,
        on_answer: impl Fn(&Answer),
        on_event: impl Fn(Event),
    ) {
        let mut buffer = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        let Some(mut told) = lock(&self.told).take() else { return };
        'reading: loop {
            let got = tokio::select! {
                got = reader.read(&mut chunk) => got,
                Some(call) = told.recv() => {
                    let id = self.next.fetch_add(1, Ordering::Relaxed);
                    // A shim that is gone is noticed by the next read.
                    let _ = self.outbox.lock().await.send(&encode(&Request { id, call }), Vec::new()).await;
                    continue;
                }
            };
            let Ok(got @ 1..) = got else { break };
            buffer.extend_from_slice(&chunk[..got]);
            loop {
                match take_frame(&mut buffer) {
                    Ok(Some(frame)) => match serde_json::from_slice(&frame) {
                        Ok(Message::Answer { id, result }) => {
                            if let Ok(answer) = &result {
                                on_answer(answer);
                            }
                            self.reply(id, result);
                        }
                        Ok(Message::Event(event)) => on_event(event),
                        Ok(Message::ExecEnded { id, code }) => self.end(id, code),
                        Err(error) => {
                            tracing::warn!(%error, "a shim said something that is not the protocol");
                            break 'reading;
                        }
                    },
                    Ok(None) => break,
                    Err(_) => break 'reading,
                }
            }
        }
        lock(&self.waiting).take();
    }

    fn reply(&self, id: u64, result: Result<Answer, RuntimeError>) {
        let reply = lock(&self.waiting).as_mut().and_then(|waiting| waiting.replies.remove(&id));
        if let Some(reply) = reply {
            // Nobody waits any more: the call was dropped.
            let _ = reply.send(result);
        }
    }

    fn end(&self, id: u64, code: i32) {
        let sender = lock(&self.waiting).as_mut().and_then(|waiting| waiting.codes.remove(&id));
        if let Some(sender) = sender {
            sender.send_replace(Some(code));
        }
    }
}

fn lost() -> RuntimeError {
    RuntimeError::ShimLost("its socket closed".to_owned())
}

impl Outbox {
    async fn send(&mut self, frame: &[u8], descriptors: Vec<OwnedFd>) -> std::io::Result<()> {
        self.flush().await?;
        if descriptors.is_empty() {
            self.unsent.extend_from_slice(frame);
            return self.flush().await;
        }
        // They travel with the frame's first bytes.
        let fds: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let sent = loop {
            self.half.writable().await?;
            let send = || crate::descriptors::send(self.half.as_ref(), frame, &fds).map_err(Into::into);
            match self.half.as_ref().try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                sent => break sent?,
            }
        };
        self.unsent.extend_from_slice(&frame[sent..]);
        self.flush().await
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = self.half.write(&self.unsent).await?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}

/// Forgets a call whose future is dropped.
struct Awaiting<'a> {
    connection: &'a Connection,
    id: u64,
    is_exec: bool,
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.connection.waiting).as_mut() {
            match self.is_exec {
                true => drop(waiting.codes.remove(&self.id)),
                false => drop(waiting.replies.remove(&self.id)),
            }
        }
    }
}
