//! Both ends' state machines against each other, in simulated time.

use std::time::Duration;

use base::{Chance, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use session::protocol::{
    Agent, Client, Effect, Extension, IDLE, Kind, Line, Message, PayloadType, Received, Said, Settings, Size,
    WINDOW,
};

use crate::network::{Network, Weather};

fn weather() -> impl Strategy<Value = Weather> {
    (0u64..60, 0u64..40, 1u64..80).prop_map(|(lost, doubled, delay)| Weather { lost, doubled, delay })
}

fn settings(extension: Option<Extension>) -> Settings {
    Settings { session: String::from("ecs-execute-command-1"), extension }
}

const PIPES: Option<Extension> = Some(Extension { is_terminal: false });

/// An agent whose program repeats its input, and its client.
struct World {
    now: Timestamp,
    agent: Agent,
    client: Client,
    down: Network,
    up: Network,
    to_send: Vec<u8>,
    is_input_over: bool,
    program: Vec<u8>,
    is_program_over: bool,
    said: Vec<u8>,
    exit: Option<i32>,
    closed: Option<String>,
    starts: usize,
}

impl World {
    fn new(weather: Weather, seed: u64, input: Vec<u8>) -> Self {
        let chance = Chance::new(seed);
        let now = Timestamp::from_secs(1_000);
        World {
            now,
            agent: Agent::new(settings(PIPES), now, chance.split("agent")),
            client: Client::new(chance.split("client")),
            down: Network::new(weather, chance.split("down")),
            up: Network::new(weather, chance.split("up")),
            to_send: input,
            is_input_over: false,
            program: Vec::new(),
            is_program_over: false,
            said: Vec::new(),
            exit: None,
            closed: None,
            starts: 0,
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for frame in self.down.arrived(now) {
            self.client.receive(&frame, now);
        }
        for frame in self.up.arrived(now) {
            self.agent.receive(&frame, now);
        }
        self.agent.tick(now);
        self.client.tick(now);
        while let Some(effect) = self.agent.next_effect(now) {
            match effect {
                Effect::Start => self.starts += 1,
                Effect::Input(input) => self.program.extend_from_slice(&input),
                Effect::EndOfInput => self.is_program_over = true,
                Effect::Resize(_) => {}
            }
        }
        while let Some(said) = self.client.next_said(now) {
            match said {
                Said::Output(bytes) => self.said.extend_from_slice(&bytes),
                Said::Errors(_) => {}
                Said::Exit(code) => self.exit = Some(code),
                Said::Closed(why) => self.closed = Some(why),
            }
        }
        while self.client.has_room() && !self.to_send.is_empty() {
            let piece: Vec<u8> = self.to_send.drain(..self.to_send.len().min(700)).collect();
            self.client.input(Bytes::from(piece), now);
        }
        if self.to_send.is_empty() && self.client.has_room() && !self.is_input_over {
            self.is_input_over = true;
            self.client.end_of_input(now);
        }
        while self.agent.has_room() && !self.program.is_empty() {
            let piece: Vec<u8> = self.program.drain(..self.program.len().min(1_024)).collect();
            self.agent.output(PayloadType::Output, Bytes::from(piece), now);
        }
        if self.is_program_over && self.program.is_empty() {
            self.agent.exited(3, String::new(), now);
        }
        while let Some(frame) = self.agent.next_frame() {
            self.down.send(frame, now);
        }
        while let Some(frame) = self.client.next_frame() {
            self.up.send(frame, now);
        }
        let wakes = [self.down.next_at(), self.up.next_at(), self.agent.wake_at(), self.client.wake_at()];
        let next = wakes.into_iter().flatten().min().unwrap_or(now);
        self.now = next.max(now + Duration::from_millis(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Neither direction loses, doubles or swaps a byte, and the handshake and the exit come through.
    #[test]
    fn bytes_arrive_once_and_in_order(weather in weather(), seed: u64, length in 0usize..40_000) {
        let mut chance = Chance::new(seed);
        let input: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
        let mut world = World::new(weather, seed, input.clone());
        for _ in 0..200_000 {
            if world.exit.is_some() {
                break;
            }
            world.step();
        }
        prop_assert_eq!(world.starts, 1);
        prop_assert_eq!(world.exit, Some(3));
        prop_assert!(world.said == input, "{} of {} bytes", world.said.len(), input.len());
    }

    /// Without loss the last message comes, too, after everything else.
    #[test]
    fn the_channel_is_closed_at_the_end(seed: u64, length in 0usize..5_000) {
        let weather = Weather { lost: 0, doubled: 30, delay: 20 };
        let mut world = World::new(weather, seed, vec![b'x'; length]);
        for _ in 0..20_000 {
            if world.closed.is_some() {
                break;
            }
            world.step();
        }
        prop_assert_eq!(world.closed.as_deref(), Some(""));
        prop_assert_eq!(world.said.len(), length);
        prop_assert!(world.agent.is_over());
    }

    /// Whatever comes, nothing panics, and what waits is bounded.
    #[test]
    fn garbage_is_survived(
        frames in proptest::collection::vec(frame(), 0..60),
        is_ours: bool,
    ) {
        let now = Timestamp::from_secs(1);
        let mut agent = Agent::new(settings(is_ours.then_some(Extension { is_terminal: false })), now, Chance::new(1));
        let mut client = Client::new(Chance::new(2));
        for (nth, frame) in frames.iter().enumerate() {
            let now = now + Duration::from_millis(nth as u64 * 50);
            agent.receive(frame, now);
            client.receive(frame, now);
            agent.tick(now);
            client.tick(now);
            while agent.next_effect(now).is_some() {}
            while client.next_said(now).is_some() {}
            let _ = (agent.wake_at(), client.wake_at());
        }
        prop_assert!(agent.backlog() <= frames.len() + WINDOW + 2);
    }
}

/// Frames of any bytes, and well-formed ones with senseless contents.
fn frame() -> impl Strategy<Value = Bytes> {
    let kinds = prop_oneof![
        Just(Kind::Input),
        Just(Kind::Output),
        Just(Kind::Acknowledge),
        Just(Kind::ChannelClosed),
        Just(Kind::PausePublication),
    ];
    let texts = prop_oneof![
        Just(String::from(r#"{"cols":80,"rows":24}"#)),
        Just(String::from(r#"{"cols":-1,"rows":99999999999}"#)),
        Just(String::from(r#"{"ProcessedClientActions":null}"#)),
        Just(String::from(
            r#"{"AcknowledgedMessageType":"","AcknowledgedMessageId":"","AcknowledgedMessageSequenceNumber":9223372036854775807}"#
        )),
        any::<String>(),
    ];
    let well_formed = (kinds, -2i64..6, 0u32..15, texts, any::<i64>(), any::<bool>()).prop_map(
        |(kind, sequence, payload_type, text, any_sequence, is_any)| {
            Message {
                kind,
                created_at: Timestamp::from_secs(1),
                sequence: if is_any { any_sequence } else { sequence },
                flags: 0,
                id: session::protocol::MessageId([7; 16]),
                payload_type: PayloadType::from_number(payload_type),
                payload: Bytes::from(text),
            }
            .encode()
        },
    );
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from), well_formed]
}

fn input(sequence: i64, payload_type: PayloadType, payload: &str) -> Bytes {
    let message = Message {
        kind: Kind::Input,
        created_at: Timestamp::from_secs(1),
        sequence,
        flags: 0,
        id: session::protocol::MessageId([1; 16]),
        payload_type,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    };
    message.encode()
}

fn agent(now: Timestamp) -> Agent {
    Agent::new(settings(None), now, Chance::new(1))
}

fn messages(agent: &mut Agent) -> Vec<Message> {
    std::iter::from_fn(|| agent.next_frame()).map(|frame| Message::decode(&frame).unwrap()).collect()
}

fn effects(agent: &mut Agent, now: Timestamp) -> Vec<Effect> {
    std::iter::from_fn(|| agent.next_effect(now)).collect()
}

const ANSWER: &str = r#"{"ClientVersion":"1.2.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#;

#[test]
fn a_session_by_the_book() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    let first = messages(&mut agent);
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].sequence, first[0].flags), (0, 1));
    assert_eq!(first[0].payload_type, PayloadType::HandshakeRequest);
    let request: serde_json::Value = serde_json::from_slice(&first[0].payload).unwrap();
    assert_eq!(
        request["RequestedClientActions"][0]["ActionParameters"]["SessionType"],
        "InteractiveCommands"
    );
    agent.receive(&input(0, PayloadType::HandshakeResponse, ANSWER), now);
    assert!(effects(&mut agent, now).is_empty());
    let complete = messages(&mut agent);
    assert_eq!(complete[0].kind, Kind::Acknowledge);
    assert_eq!(complete[1].payload_type, PayloadType::HandshakeComplete);
    agent.receive(&input(1, PayloadType::Size, r#"{"cols":120,"rows":40}"#), now);
    agent.receive(&input(2, PayloadType::Output, "ls\r"), now);
    let expected = [
        Effect::Resize(Size { cols: 120, rows: 40 }),
        Effect::Start,
        Effect::Input(Bytes::from_static(b"ls\r")),
    ];
    assert_eq!(effects(&mut agent, now), expected);
    agent.output(PayloadType::Output, Bytes::from_static(b"files"), now);
    agent.exited(3, String::new(), now);
    let kinds: Vec<_> = messages(&mut agent).iter().map(|message| message.payload_type).collect();
    // AWS: the plugin would print an exit code.
    assert_eq!(kinds, [PayloadType::None, PayloadType::None, PayloadType::Output]);
    for sequence in 0..3 {
        let text = format!(
            r#"{{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"","AcknowledgedMessageSequenceNumber":{sequence},"IsSequentialMessage":true}}"#
        );
        let mut acknowledge = Message::decode(&input(0, PayloadType::None, &text)).unwrap();
        acknowledge.kind = Kind::Acknowledge;
        agent.receive(&acknowledge.encode(), now);
    }
    agent.tick(now);
    let last = messages(&mut agent);
    assert_eq!(last[0].kind, Kind::ChannelClosed);
    let closed: serde_json::Value = serde_json::from_slice(&last[0].payload).unwrap();
    assert_eq!(
        (closed["Output"].as_str(), closed["SessionId"].as_str()),
        (Some(""), Some("ecs-execute-command-1"))
    );
    assert!(agent.is_over());
}

#[test]
fn a_client_without_a_handshake_is_served() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    agent.receive(&input(0, PayloadType::Output, "a"), now);
    assert_eq!(effects(&mut agent, now), [Effect::Start, Effect::Input(Bytes::from_static(b"a"))]);
}

#[test]
fn a_client_that_tells_no_size_waits_a_moment() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    agent.receive(&input(0, PayloadType::HandshakeResponse, ANSWER), now);
    assert!(effects(&mut agent, now).is_empty());
    let later = now + Duration::from_millis(200);
    assert_eq!(agent.wake_at().map(|at| at <= later), Some(true));
    assert_eq!(effects(&mut agent, later), [Effect::Start]);
}

fn closing(agent: &mut Agent) -> String {
    let closed = messages(agent).into_iter().find(|message| message.kind == Kind::ChannelClosed);
    let closed: serde_json::Value = serde_json::from_slice(&closed.expect("a last message").payload).unwrap();
    closed["Output"].as_str().unwrap().to_owned()
}

#[test]
fn nobody_answers_the_handshake() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    agent.tick(now + Duration::from_secs(15));
    assert!(agent.is_ending());
    agent.tick(now + Duration::from_secs(20));
    assert!(closing(&mut agent).starts_with("Handshake timed out."));
}

#[test]
fn a_failed_handshake_is_told() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    let answer = ANSWER
        .replace(r#""ActionStatus":1"#, r#""ActionStatus":2"#)
        .replace(r#""Error":"""#, r#""Error":"no""#);
    agent.receive(&input(0, PayloadType::HandshakeResponse, &answer), now);
    assert!(effects(&mut agent, now).is_empty());
    agent.tick(now + Duration::from_secs(5));
    assert_eq!(closing(&mut agent), "SessionType failed on client with status 2 error: no");
}

#[test]
fn an_idle_session_ends() {
    let now = Timestamp::from_secs(1);
    let mut idle = agent(now);
    idle.receive(&input(0, PayloadType::Output, "a"), now);
    assert_eq!(effects(&mut idle, now).len(), 2);
    idle.tick(now + IDLE - Duration::from_millis(1));
    assert!(!idle.is_ending());
    idle.tick(now + IDLE);
    assert!(idle.is_ending());
    idle.tick(now + IDLE + Duration::from_secs(5));
    assert!(closing(&mut idle).contains("idle"));
}

#[test]
fn a_client_can_end_its_session() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    agent.receive(&input(0, PayloadType::Output, "a"), now);
    agent.receive(&input(1, PayloadType::Flag, "\0\0\0\u{2}"), now);
    assert_eq!(effects(&mut agent, now).len(), 2);
    assert!(agent.is_ending());
}

#[test]
fn output_without_acknowledgement_is_bounded() {
    let now = Timestamp::from_secs(1);
    let mut agent = agent(now);
    agent.receive(&input(0, PayloadType::Output, "a"), now);
    assert_eq!(effects(&mut agent, now).len(), 2);
    let mut sent = 0;
    while agent.has_room() {
        agent.output(PayloadType::Output, Bytes::from_static(b"y\n"), now);
        sent += 1;
    }
    // The handshake's request takes a place, too.
    assert_eq!(sent, WINDOW - 1);
    assert!(agent.backlog() <= WINDOW + 1);
}

#[test]
fn an_end_does_not_take_its_own_kind() {
    let now = Timestamp::from_secs(1);
    let mut line = Line::new(Kind::Input, Chance::new(1));
    assert_eq!(line.receive(&input(0, PayloadType::Output, "x"), now), Received::Nothing);
    assert!(line.take().is_none());
}

#[test]
fn networks_end() {
    let mut network = Network::new(Weather { lost: 0, doubled: 100, delay: 5 }, Chance::new(1));
    let now = Timestamp::from_secs(1);
    network.send(Bytes::from_static(b"x"), now);
    assert_eq!(network.arrived(now + Duration::from_millis(5)).len(), 2);
    assert!(network.is_empty());
}
