//! The socket to one shim: requests out, answers and events in.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::lock;
use crate::contract::{Event, RuntimeError};
use crate::protocol::{Answer, Call, Message, Request, encode, take_frame};
use crate::record::TaskDir;

type Reply = oneshot::Sender<Result<Answer, RuntimeError>>;

/// The sending half, and who waits for which answer.
pub(super) struct Connection {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    /// `None` once the shim is gone: nobody will answer.
    waiting: Mutex<Option<HashMap<u64, Reply>>>,
    next: AtomicU64,
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
        let connection = Connection {
            writer: tokio::sync::Mutex::new(writer),
            waiting: Mutex::new(Some(HashMap::new())),
            next: AtomicU64::new(1),
        };
        (connection, reader)
    }

    pub async fn call(&self, call: Call) -> Result<Answer, RuntimeError> {
        let lost = || RuntimeError::ShimLost("its socket closed".to_owned());
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).as_mut().ok_or_else(lost)?.insert(id, reply);
        let entry = Waiting { connection: self, id };
        let frame = encode(&Request { id, call });
        self.writer.lock().await.write_all(&frame).await.map_err(|_| lost())?;
        let result = answer.await.map_err(|_| lost())?;
        drop(entry);
        result
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
        'reading: while let Ok(got @ 1..) = reader.read(&mut chunk).await {
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
        let reply = lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(reply) = reply {
            // Nobody waits any more: the call was dropped.
            let _ = reply.send(result);
        }
    }
}

/// Forgets a call whose future is dropped.
struct Waiting<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.connection.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}
