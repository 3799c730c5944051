//! The client's end over a socket: what `boxship exec` does.

use base::{Chance, Secret, clock};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::converse::{sleep, write};
use crate::protocol::{Client, Said, Size, opening};

/// Frames between a session and its socket.
const FRAMES: usize = 32;
/// Frames that may wait before the socket is not read any more.
const BACKLOG: usize = 1_024;

/// What ExecuteCommand answered.
#[derive(Debug, Clone)]
pub struct Grant {
    pub session: String,
    /// `ws://…`
    pub stream_url: String,
    pub token: Secret,
}

/// The user's end.
pub struct Local<O, E> {
    /// Pieces of at most [`crate::protocol::CHUNK`] bytes; closed at the end of the input.
    pub input: mpsc::Receiver<Bytes>,
    pub output: O,
    pub errors: E,
    /// The terminal's size, as it changes; `None` without a terminal.
    pub size: Option<watch::Receiver<Size>>,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The program's, where it ran to its end.
    pub exit_code: Option<i32>,
    /// Why else the session is over; empty where the program has ended by itself.
    pub why: String,
}

/// Why a session was not carried on.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("the session's address {0} cannot be used")]
    Address(String, #[source] Box<SocketError>),
    #[error("the session could not be opened")]
    Open(#[source] Box<SocketError>),
    #[error("the connection to the session broke")]
    Broken,
    /// Whoever reads our output has gone.
    #[error("the output cannot be written")]
    Output(#[source] std::io::Error),
}

/// Speaks a session over `stream`, a connection to the server, until it is over.
pub async fn attach<S, O, E>(
    stream: S,
    grant: Grant,
    mut local: Local<O, E>,
    mut chance: Chance,
) -> Result<Ended, AttachError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let request = grant
        .stream_url
        .as_str()
        .into_client_request()
        .map_err(|error| AttachError::Address(grant.stream_url.clone(), Box::new(error)))?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .map_err(|error| AttachError::Open(Box::new(error)))?;
    let (mut sink, mut stream) = socket.split();
    let text = opening(&grant.session, grant.token, local.size.is_some(), &mut chance);
    sink.send(Message::text(text)).await.map_err(|error| AttachError::Open(Box::new(error)))?;
    let (frames, queue) = mpsc::channel(FRAMES);
    let (ended, ()) = tokio::join!(
        async {
            let ended = converse(Client::new(chance), &mut stream, &frames, &mut local).await;
            drop(frames);
            ended
        },
        write(sink, queue)
    );
    ended
}

/// What the wait in a conversation ends with.
enum Event {
    Input(Option<Bytes>),
    Size(Option<Size>),
}

async fn converse<S, O, E>(
    mut client: Client,
    socket: &mut S,
    frames: &mpsc::Sender<Message>,
    local: &mut Local<O, E>,
) -> Result<Ended, AttachError>
where
    S: StreamExt<Item = Result<Message, SocketError>> + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let (mut exit_code, mut is_input_over, mut is_sized) = (None, false, false);
    loop {
        let now = clock::wall();
        client.tick(now);
        while let Some(said) = client.next_said(now) {
            match said {
                Said::Output(bytes) => put(&mut local.output, &bytes).await?,
                Said::Errors(bytes) => put(&mut local.errors, &bytes).await?,
                Said::Exit(code) => exit_code = Some(code),
                Said::Closed(why) => return Ok(Ended { exit_code, why }),
            }
        }
        if client.is_ready() && !is_sized {
            is_sized = true;
            if let Some(size) = &local.size {
                client.resize(*size.borrow(), now);
            }
        }
        let wakes = client.wake_at().map(|at| at.since(now));
        let (has_room, is_ready) = (client.has_room(), client.is_ready());
        tokio::select! {
            place = frames.reserve(), if client.backlog() > 0 => {
                let place = place.map_err(|_| AttachError::Broken)?;
                if let Some(frame) = client.next_frame() {
                    place.send(Message::Binary(frame));
                }
            }
            read = socket.next(), if client.backlog() < BACKLOG => match read {
                Some(Ok(Message::Binary(frame))) => client.receive(&frame, clock::wall()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(AttachError::Broken),
                Some(Ok(_)) => {}
            },
            event = local.happens(has_room && !is_input_over, is_ready) => match event {
                Event::Input(Some(bytes)) => client.input(bytes, clock::wall()),
                Event::Input(None) => {
                    is_input_over = true;
                    client.end_of_input(clock::wall());
                }
                Event::Size(Some(size)) => client.resize(size, clock::wall()),
                // Nobody will tell another.
                Event::Size(None) => local.size = None,
            },
            () = sleep(wakes) => {}
        }
    }
}

impl<O, E> Local<O, E> {
    async fn happens(&mut self, is_read: bool, is_sized: bool) -> Event {
        let Local { input, size, .. } = self;
        let resized = async {
            match size {
                Some(size) if is_sized => match size.changed().await {
                    Ok(()) => Some(*size.borrow_and_update()),
                    Err(_) => None,
                },
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            bytes = input.recv(), if is_read => Event::Input(bytes),
            size = resized => Event::Size(size),
        }
    }
}

async fn put<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8]) -> Result<(), AttachError> {
    to.write_all(bytes).await.map_err(AttachError::Output)?;
    to.flush().await.map_err(AttachError::Output)
}
