//! Whole sessions: our client against our endpoint, over TCP, with programs that run nowhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Chance, Secret};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use gateway::{Endpoint, Peer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use service::Origin;
use session::protocol::{CHUNK, Size};
use session::{AttachError, DataChannels, Ended, Grant, Local, PATH, attach};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use crate::fake::{FakePrograms, FakeSessions};

struct World {
    channels: Arc<DataChannels>,
    programs: Arc<FakePrograms>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

/// A server with a session `s0`, `s1` … for every command.
async fn world(commands: &[&str]) -> World {
    let commands =
        commands.iter().enumerate().map(|(nth, command)| (format!("s{nth}"), (*command).to_owned()));
    let sessions = Arc::new(FakeSessions { commands: commands.collect() });
    let programs = Arc::new(FakePrograms::default());
    let (stop, stopped) = watch::channel(false);
    let channels = Arc::new(DataChannels::new(sessions, programs.clone(), stopped, Chance::new(7)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = channels.clone();
    tokio::spawn(async move {
        while let Ok((stream, address)) = listener.accept().await {
            let channels = serving.clone();
            tokio::spawn(async move {
                let peer = Peer { address, origin: Origin::Operator };
                let (channels, peer) = (&channels, &peer);
                let service = service_fn(|request| async move {
                    Ok::<_, std::convert::Infallible>(channels.handle(request, peer).await)
                });
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = served.with_upgrades().await;
            });
        }
    });
    World { channels, programs, address, stop }
}

impl World {
    fn grant(&self, session: &str) -> Grant {
        Grant {
            session: session.to_owned(),
            stream_url: format!("ws://{}{PATH}{session}?role=publish_subscribe", self.address),
            token: Secret::new("token"),
        }
    }

    async fn run(
        &self,
        session: &str,
        local: Local<DuplexStream, DuplexStream>,
    ) -> Result<Ended, AttachError> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        attach(stream, self.grant(session), local, Chance::new(1)).await
    }

    /// Runs a session to its end; answers what it showed, too.
    async fn whole(&self, session: &str, input: &[u8], size: Option<Size>) -> (Ended, String, String) {
        let (output, mut shown) = duplex(64);
        let (errors, mut complained) = duplex(64);
        let (_sizes, size) = size.map(watch::channel).unzip();
        let local = Local { input: pieces(input), output, errors, size };
        let (mut said, mut complaints) = (String::new(), String::new());
        let (ended, ..) = tokio::join!(
            self.run(session, local),
            shown.read_to_string(&mut said),
            complained.read_to_string(&mut complaints)
        );
        (ended.unwrap(), said, complaints)
    }
}

/// Input in pieces, and its end.
fn pieces(input: &[u8]) -> mpsc::Receiver<Bytes> {
    let pieces: Vec<Bytes> = input.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
    let (sender, receiver) = mpsc::channel(pieces.len().max(1));
    for piece in pieces {
        sender.try_send(piece).unwrap();
    }
    receiver
}

fn ended(exit_code: i32) -> Ended {
    Ended { exit_code: Some(exit_code), why: String::new() }
}

const SIZE: Size = Size { cols: 120, rows: 40 };

#[tokio::test]
async fn streams_and_the_exit_code_come_through() {
    let world = world(&["say 'some output' errors", "exit 42"]).await;
    let (end, output, errors) = world.whole("s0", b"", None).await;
    assert_eq!((end, output.as_str(), errors.as_str()), (ended(0), "some output", "errors"));
    assert_eq!(world.whole("s1", b"", None).await.0, ended(42));
    let plan = world.programs.plans.lock().unwrap()[0].clone();
    assert_eq!(plan.command, ["say", "some output", "errors"]);
    assert_eq!((plan.terminal, plan.user.as_deref()), (None, Some("0:0")));
}

#[tokio::test]
async fn a_lot_of_input_comes_back() {
    let world = world(&["cat"]).await;
    let input: String = (0..100_000).map(|nth| format!("line {nth}\n")).collect();
    let (end, output, _) = world.whole("s0", input.as_bytes(), None).await;
    assert_eq!(end, ended(0));
    assert!(output == input, "{} of {} bytes", output.len(), input.len());
}

#[tokio::test]
async fn ten_at_a_time() {
    let world = world(&["cat"; 10]).await;
    let inputs: Vec<String> = (0..10).map(|nth| format!("{nth}").repeat(50_000)).collect();
    let sessions: Vec<String> = (0..10).map(|nth| format!("s{nth}")).collect();
    let all =
        sessions.iter().zip(&inputs).map(|(session, input)| world.whole(session, input.as_bytes(), None));
    for ((end, output, _), input) in futures_util::future::join_all(all).await.into_iter().zip(&inputs) {
        assert_eq!(end, ended(0));
        assert!(output == *input);
    }
}

#[tokio::test]
async fn a_terminal_is_as_large_as_it_is_told() {
    let world = world(&["sizes"]).await;
    let (output, mut shown) = duplex(64);
    let (errors, _complained) = duplex(64);
    let (sizes, size) = watch::channel(SIZE);
    let (input, typed) = mpsc::channel(1);
    let local = Local { input: typed, output, errors, size: Some(size) };
    let watching = async {
        let mut piece = [0; 7];
        shown.read_exact(&mut piece).await.unwrap();
        assert_eq!(&piece, b"120x40;");
        sizes.send_replace(Size { cols: 100, rows: 30 });
        shown.read_exact(&mut piece).await.unwrap();
        assert_eq!(&piece, b"100x30;");
        input.send(Bytes::from_static(b"\x07")).await.unwrap();
    };
    let (end, ()) = tokio::join!(world.run("s0", local), watching);
    assert_eq!(end.unwrap(), ended(7));
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_program() {
    let world = world(&["yes"]).await;
    let (output, mut shown) = duplex(64);
    let (errors, _complained) = duplex(64);
    let (_input, typed) = mpsc::channel(1);
    let local = Local { input: typed, output, errors, size: None };
    let watching = async {
        // While the client stands still, so does the program: it cannot be far ahead, ever.
        let mut read = 0;
        for _ in 0..200 {
            let mut piece = [0; 1_000];
            shown.read_exact(&mut piece).await.unwrap();
            read += piece.len();
            let ahead = world.programs.written.load(Ordering::SeqCst).saturating_sub(read);
            assert!(ahead < 2 << 20, "{ahead}");
        }
        drop(shown);
    };
    let (end, ()) = tokio::join!(world.run("s0", local), watching);
    assert!(matches!(end, Err(AttachError::Output(_))), "{end:?}");
}

#[tokio::test]
async fn refusals_say_why() {
    let world = world(&["missing", "cat 'open"]).await;
    let (end, ..) = world.whole("nobody", b"", None).await;
    assert_eq!(end, Ended { exit_code: None, why: String::from("no such session") });
    let (end, ..) = world.whole("s0", b"", Some(SIZE)).await;
    let text = "----------ERROR-------\nUnable to start command: missing: no such file";
    assert_eq!(end, Ended { exit_code: None, why: text.to_owned() });
    let (end, ..) = world.whole("s1", b"", Some(SIZE)).await;
    assert!(end.why.contains("Failed to parse commands input"), "{}", end.why);
}

#[tokio::test]
async fn a_session_ends_with_its_container() {
    let world = world(&["exit 137"]).await;
    *world.programs.ended.lock().unwrap() = Some(String::from("The container app has stopped."));
    let (end, ..) = world.whole("s0", b"", Some(SIZE)).await;
    assert_eq!(end, Ended { exit_code: Some(137), why: String::from("The container app has stopped.") });
}

#[tokio::test]
async fn a_server_that_ends_says_so() {
    let world = world(&["sizes"]).await;
    let (output, mut shown) = duplex(64);
    let (errors, _complained) = duplex(64);
    let (_input, typed) = mpsc::channel(1);
    let (_sizes, size) = watch::channel(SIZE);
    let local = Local { input: typed, output, errors, size: Some(size) };
    let stopping = async {
        let mut piece = [0; 7];
        shown.read_exact(&mut piece).await.unwrap();
        world.stop.send_replace(true);
        world.channels.close().await;
    };
    let (end, ()) = tokio::join!(world.run("s0", local), stopping);
    assert_eq!(end.unwrap(), Ended { exit_code: None, why: String::from("Boxship is shutting down.") });
    assert_eq!(*world.programs.signals.borrow(), [1]);
}

#[tokio::test]
async fn a_client_that_goes_hangs_its_program_up() {
    let world = world(&["sizes"]).await;
    let (output, mut shown) = duplex(64);
    let (errors, _complained) = duplex(64);
    let (_input, typed) = mpsc::channel(1);
    let (_sizes, size) = watch::channel(SIZE);
    let local = Local { input: typed, output, errors, size: Some(size) };
    let mut piece = [0; 7];
    tokio::select! {
        end = world.run("s0", local) => panic!("{end:?}"),
        read = shown.read_exact(&mut piece) => { read.unwrap(); }
    }
    let mut signals = world.programs.signals.subscribe();
    signals.wait_for(|signals| *signals == [1]).await.unwrap();
}

/// A web socket whose client has said nothing yet.
async fn socket(world: &World) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let url = format!("ws://{}{PATH}s0", world.address);
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

#[tokio::test]
async fn strange_words_end_a_session_and_nothing_else() {
    let world = world(&["cat"]).await;
    let long = "x".repeat(2 << 20);
    for first in ["", "{}", "null", "[1]", r#"{"TokenValue":5}"#, "\u{0}", &long] {
        let mut socket = socket(&world).await;
        // One that is too long may be cut off while it is sent.
        let _ = socket.send(Message::text(first)).await;
        let closed = socket.next().await;
        assert!(matches!(closed, None | Some(Ok(Message::Close(_)) | Err(_))), "{closed:?}");
    }
    let mut guessing = socket(&world).await;
    let open = r#"{"MessageSchemaVersion":"1.0","RequestId":"1","TokenValue":"guessed"}"#;
    guessing.send(Message::text(open)).await.unwrap();
    let Some(Ok(Message::Binary(last))) = guessing.next().await else { panic!("no last message") };
    assert!(String::from_utf8_lossy(&last).contains("no such session"));
    let mut strange = socket(&world).await;
    strange.send(Message::text(open.replace("guessed", "token"))).await.unwrap();
    for frame in [&b""[..], b"x", &[0; 119], &[0xff; 200]] {
        strange.send(Message::binary(frame.to_vec())).await.unwrap();
    }
    strange.send(Message::text("text")).await.unwrap();
    // It is served all the same.
    assert!(matches!(strange.next().await, Some(Ok(Message::Binary(_)))));
    drop(strange);
    assert_eq!(world.whole("s0", b"still here", None).await.1, "still here");
}

/// Sends a request and reads its answer's first bytes.
async fn answer(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = [0; 12];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test]
async fn other_requests_are_answered_in_plain_http() {
    let world = world(&["cat"]).await;
    let check = async |request: &str, expected: &str| {
        assert_eq!(answer(&world, request).await, format!("HTTP/1.1 {expected}"), "{request}");
    };
    check("GET /v1/data-channel/s0 HTTP/1.1\r\nhost: localhost\r\n\r\n", "426").await;
    check("GET /v1/data-channel/ HTTP/1.1\r\nhost: localhost\r\n\r\n", "404").await;
    check("GET /v1/data-channel/a/b HTTP/1.1\r\nhost: localhost\r\n\r\n", "404").await;
    let upgrade = "host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    check(&format!("GET /v1/data-channel/s0 HTTP/1.1\r\n{upgrade}"), "400").await;
    check(&format!("POST /v1/data-channel/s0 HTTP/1.1\r\n{upgrade}"), "426").await;
}
