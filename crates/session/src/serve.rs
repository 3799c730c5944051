//! The endpoint below `/v1/data-channel/`: an upgrade to a web socket, then a session.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Chance, clock};
use futures_util::StreamExt;
use gateway::{Body, Endpoint, Peer, empty, text};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::converse::{Conversation, write};
use crate::protocol::{Agent, OpenDataChannel, Settings, refusal};
use crate::seams::{Programs, Sessions};

/// Where sessions are served. The rest of the path is the session's id.
pub const PATH: &str = "/v1/data-channel/";
/// Sessions at a time.
const SESSIONS: usize = 256;
/// How long a client may take to say who it is.
const OPENING: Duration = Duration::from_secs(20);
/// How long a client may take to hang up in turn.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of a client's message.
const MESSAGE: usize = 1 << 20;
/// Frames between a session and its socket.
const FRAMES: usize = 32;

/// The endpoint, and the sessions that it carries.
pub struct DataChannels {
    inner: Arc<Inner>,
    places: Arc<Semaphore>,
    scope: Mutex<JoinSet<()>>,
}

struct Inner {
    sessions: Arc<dyn Sessions>,
    programs: Arc<dyn Programs>,
    stop: watch::Receiver<bool>,
    chance: Mutex<Chance>,
}

impl DataChannels {
    /// Serves until `stop` turns true; sessions are told so, then.
    pub fn new(
        sessions: Arc<dyn Sessions>,
        programs: Arc<dyn Programs>,
        stop: watch::Receiver<bool>,
        chance: Chance,
    ) -> Self {
        DataChannels {
            inner: Arc::new(Inner { sessions, programs, stop, chance: Mutex::new(chance) }),
            places: Arc::new(Semaphore::new(SESSIONS)),
            scope: Mutex::default(),
        }
    }

    /// Waits for the last session's end, once they are told to stop.
    pub async fn close(&self) {
        let mut scope = std::mem::take(&mut *self.scope.lock().unwrap_or_else(PoisonError::into_inner));
        while scope.join_next().await.is_some() {}
    }

    fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let session = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
        if !is_session(&session) {
            return text(StatusCode::NOT_FOUND, "This is no session's path.\n");
        }
        if request.method() != Method::GET || !request.headers().contains_key(http::header::UPGRADE) {
            let mut response = text(
                StatusCode::UPGRADE_REQUIRED,
                "A session is spoken over a web socket, after ExecuteCommand.\n",
            );
            let web_socket = http::HeaderValue::from_static("websocket");
            response.headers_mut().insert(http::header::UPGRADE, web_socket);
            return response;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, format!("{SESSIONS} sessions are open already.\n"));
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let response = match create_response_with_body(&request, empty) {
            Ok(response) => response,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("This is no web socket: {error}.\n")),
        };
        let inner = Arc::clone(&self.inner);
        let mut scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        while scope.try_join_next().is_some() {}
        scope.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => inner.serve(&session, upgraded, place).await,
                Err(error) => tracing::debug!(%error, "a web socket was not opened"),
            }
        });
        response
    }
}

impl Endpoint for DataChannels {
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        _peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>> {
        Box::pin(async move { self.answer(request) })
    }
}

/// Letters, digits and hyphens.
fn is_session(id: &str) -> bool {
    let is_fine = |character: char| character.is_ascii_alphanumeric() || character == '-';
    !id.is_empty() && id.len() <= 96 && id.chars().all(is_fine)
}

impl Inner {
    async fn serve(&self, session: &str, upgraded: Upgraded, place: OwnedSemaphorePermit) {
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let (sink, mut stream) = socket.split();
        let (frames, queue) = mpsc::channel(FRAMES);
        let spoken = async {
            self.speak(session, &mut stream, frames).await;
        };
        tokio::join!(write(sink, queue), spoken);
        // Closing on a client that still speaks would take from it what it has not read.
        let gone = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = tokio::time::timeout(GOODBYE, gone).await;
        drop(place);
    }

    async fn speak<S>(&self, session: &str, socket: &mut S, frames: mpsc::Sender<Message>)
    where
        S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
    {
        let mut stop = self.stop.clone();
        let open = tokio::select! {
            opening = tokio::time::timeout(OPENING, opening(socket)) => opening.ok().flatten(),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(open) = open else {
            tracing::debug!(session, "a client opened no session");
            return;
        };
        let settings = Settings { session: session.to_owned(), extension: open.boxship };
        let is_terminal = settings.is_terminal();
        let target = match self.sessions.open(session, &open.token_value).await {
            Ok(target) => target,
            Err(why) => {
                tracing::info!(session, why, "a session was not opened");
                let frame = refusal(&settings.session, why, clock::wall(), self.chance());
                // A client that has gone needs no answer.
                let _ = frames.send(Message::Binary(frame)).await;
                return;
            }
        };
        let (task, container) = (target.task.as_str(), target.container.as_str());
        tracing::info!(session, task, container, "a session begins");
        let agent = Agent::new(settings, clock::wall(), self.chance());
        let programs = &*self.programs;
        let conversation = Conversation { agent, target: &target, programs, is_terminal };
        conversation.run(socket, frames, stop).await;
        tracing::info!(session, task, container, "a session has ended");
    }

    fn chance(&self) -> Chance {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        Chance::new(chance.next())
    }
}

/// The client's first words.
async fn opening<S>(socket: &mut S) -> Option<OpenDataChannel>
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Binary(bytes) => return serde_json::from_slice(&bytes).ok(),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) | Message::Frame(_) => return None,
        }
    }
}
