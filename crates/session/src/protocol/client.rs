//! The client's side of a session, for `boxship exec`.
//!
//! Invariant: input is sent once the agent has finished the handshake, never before.

use base::{Chance, Secret, Timestamp};
use bytes::Bytes;

use crate::protocol::line::{Line, Received};
use crate::protocol::message::{Kind, PayloadType};
use crate::protocol::payload::{
    DONE, Extension, Flag, HandshakeRequest, HandshakeResponse, OpenDataChannel, ProcessedAction, Size, json,
    parse_exit_code,
};

const VERSION: &str = concat!("boxship/", env!("CARGO_PKG_VERSION"));

/// The text that opens a channel.
pub fn opening(session: &str, token: Secret, is_terminal: bool, chance: &mut Chance) -> String {
    let open = OpenDataChannel {
        message_schema_version: String::from("1.0"),
        request_id: chance.uuid(),
        token_value: token,
        client_id: session.to_owned(),
        client_version: VERSION.to_owned(),
        boxship: Some(Extension { is_terminal }),
    };
    serde_json::to_string(&open).expect("an opening is JSON")
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Output(Bytes),
    Errors(Bytes),
    /// The program has ended.
    Exit(i32),
    /// The channel has ended, and why; empty where the program has.
    Closed(String),
}

/// The client's end of one session.
#[derive(Debug)]
pub struct Client {
    line: Line,
    is_ready: bool,
    closed: Option<String>,
}

impl Client {
    pub fn new(chance: Chance) -> Self {
        Client { line: Line::new(Kind::Input, chance), is_ready: false, closed: None }
    }

    pub fn receive(&mut self, frame: &Bytes, now: Timestamp) {
        if let Received::Closed(closed) = self.line.receive(frame, now) {
            self.closed.get_or_insert(closed.output);
        }
    }

    /// What was said, in order; the end comes last.
    pub fn next_said(&mut self, now: Timestamp) -> Option<Said> {
        while let Some((payload_type, payload)) = self.line.take() {
            match payload_type {
                PayloadType::None | PayloadType::Output => return Some(Said::Output(payload)),
                PayloadType::Error | PayloadType::StandardError => return Some(Said::Errors(payload)),
                PayloadType::HandshakeRequest => self.answer(&payload, now),
                PayloadType::HandshakeComplete => self.is_ready = true,
                PayloadType::ExitCode => {
                    if let Some(code) = parse_exit_code(&payload) {
                        return Some(Said::Exit(code));
                    }
                }
                _ => {}
            }
        }
        self.closed.take().map(Said::Closed)
    }

    fn answer(&mut self, request: &[u8], now: Timestamp) {
        let request = serde_json::from_slice::<HandshakeRequest>(request);
        let asked = request.map(|request| request.requested_client_actions).unwrap_or_default();
        let done = asked.into_iter().map(|action| {
            let is_known = action.action_type == "SessionType";
            ProcessedAction {
                action_status: if is_known { DONE } else { 3 },
                error: if is_known { String::new() } else { format!("{} is not known", action.action_type) },
                action_type: action.action_type,
                action_result: serde_json::Value::Null,
            }
        });
        let response = HandshakeResponse {
            client_version: VERSION.to_owned(),
            processed_client_actions: Some(done.collect()),
            errors: Some(Vec::new()),
        };
        self.line.send(PayloadType::HandshakeResponse, json(&response), now);
    }

    /// Whether input may be sent now.
    pub fn has_room(&self) -> bool {
        self.is_ready && self.line.has_room()
    }

    /// Whether the agent listens.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub fn input(&mut self, payload: Bytes, now: Timestamp) {
        self.line.send(PayloadType::Output, payload, now);
    }

    pub fn end_of_input(&mut self, now: Timestamp) {
        self.line.send(PayloadType::Flag, Flag::EndOfInput.bytes(), now);
    }

    pub fn resize(&mut self, size: Size, now: Timestamp) {
        self.line.send(PayloadType::Size, json(&size), now);
    }

    /// Asks the agent to end the program and the session.
    pub fn terminate(&mut self, now: Timestamp) {
        self.line.send(PayloadType::Flag, Flag::Terminate.bytes(), now);
    }

    pub fn tick(&mut self, now: Timestamp) {
        self.line.tick(now);
    }

    pub fn next_frame(&mut self) -> Option<Bytes> {
        self.line.next_frame()
    }

    pub fn backlog(&self) -> usize {
        self.line.backlog()
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        self.line.wake_at()
    }
}
