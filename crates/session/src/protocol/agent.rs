//! The agent's side of a session: handshake, terminal, exit, end.
//!
//! ```text
//! Shaking ─answer─► Waiting ─size, input or a moment─► Running ─exit, failure, hang-up─► Draining ─► Over
//!    └──────────── failed or no answer ──────────────────────────────────────────────────────┘
//! ```
//!
//! Invariant: the channel's last message leaves after everything before it was acknowledged, or
//! after [`LINGER`]. Invariant: without a stir for [`IDLE`] a terminal's
//! session ends.

use std::time::Duration;

use base::{Chance, Timestamp};
use bytes::Bytes;
use serde_json::json as value;

use crate::protocol::line::{Line, Received};
use crate::protocol::message::{Kind, PayloadType};
use crate::protocol::payload::{
    ChannelClosed, DONE, Extension, Flag, HandshakeComplete, HandshakeRequest, HandshakeResponse,
    RequestedAction, Size, exit_code, json,
};

/// AWS: a version of the agent whose clients we serve as it does.
const AGENT_VERSION: &str = "3.3.0.0";
/// AWS: how long a client may take to answer the handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// AWS: ECS Exec ends a session that has been idle for 20 minutes.
pub const IDLE: Duration = Duration::from_mins(20);
/// How long the last words wait for acknowledgement.
pub const LINGER: Duration = Duration::from_secs(5);
/// How long the program waits for the client to say how large its terminal is.
const SIZE_WAIT: Duration = Duration::from_millis(200);
/// A payload's bytes at most. AWS: the agent's.
pub const CHUNK: usize = 1_024;

/// Whom the session is with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub session: String,
    /// What our own client asked for; `None` for any other.
    pub extension: Option<Extension>,
}

impl Settings {
    pub fn is_terminal(&self) -> bool {
        self.extension.is_none_or(|extension| extension.is_terminal)
    }
}

/// What is to be done about the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start it, its terminal as large as the last [`Effect::Resize`] said.
    Start,
    Input(Bytes),
    EndOfInput,
    Resize(Size),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Shaking { since: Timestamp },
    Waiting { until: Timestamp },
    Running,
    Draining { until: Timestamp, output: String },
    Over,
}

/// The agent's end of one session.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    line: Line,
    phase: Phase,
    stirred_at: Timestamp,
    /// An effect that follows the one just given out.
    next: Option<Effect>,
}

impl Agent {
    pub fn new(settings: Settings, now: Timestamp, chance: Chance) -> Self {
        let mut line = Line::new(Kind::Output, chance);
        // AWS: without a terminal the agent has another plugin, whose streams stay apart.
        let session_type =
            if settings.is_terminal() { "InteractiveCommands" } else { "NonInteractiveCommands" };
        let request = HandshakeRequest {
            agent_version: AGENT_VERSION.to_owned(),
            requested_client_actions: vec![RequestedAction {
                action_type: String::from("SessionType"),
                action_parameters: value!({ "SessionType": session_type, "Properties": null }),
            }],
        };
        line.send(PayloadType::HandshakeRequest, json(&request), now);
        Agent { settings, line, phase: Phase::Shaking { since: now }, stirred_at: now, next: None }
    }

    /// Takes a frame in. Anything at all may come.
    pub fn receive(&mut self, frame: &Bytes, now: Timestamp) {
        match self.line.receive(frame, now) {
            Received::Data => self.stirred_at = now,
            Received::Closed(_) => self.hang_up(now),
            Received::Acknowledgement | Received::Nothing => {}
        }
    }

    /// What to do next. Call again until there is nothing; input that is not asked for waits here.
    pub fn next_effect(&mut self, now: Timestamp) -> Option<Effect> {
        if let Some(effect) = self.next.take() {
            return Some(effect);
        }
        loop {
            match self.phase {
                Phase::Waiting { until } if until <= now => {
                    self.phase = Phase::Running;
                    return Some(Effect::Start);
                }
                Phase::Draining { .. } | Phase::Over => return None,
                Phase::Shaking { .. } | Phase::Waiting { .. } | Phase::Running => {}
            }
            let (payload_type, payload) = self.line.take()?;
            if let Some(effect) = self.effect(payload_type, payload, now) {
                return Some(effect);
            }
        }
    }

    fn effect(&mut self, payload_type: PayloadType, payload: Bytes, now: Timestamp) -> Option<Effect> {
        let effect = match payload_type {
            PayloadType::HandshakeResponse => {
                self.shaken(&payload, now);
                return None;
            }
            PayloadType::Output => Effect::Input(payload),
            PayloadType::Size => {
                // A size that makes no sense resizes nothing.
                Effect::Resize(serde_json::from_slice(&payload).ok().filter(is_sensible)?)
            }
            PayloadType::Flag => match Flag::parse(&payload)? {
                Flag::EndOfInput if !self.settings.is_terminal() => Effect::EndOfInput,
                Flag::EndOfInput => return None,
                Flag::Terminate => {
                    self.hang_up(now);
                    return None;
                }
            },
            _ => return None,
        };
        match self.phase {
            // A client that speaks without having answered knows no handshake.
            Phase::Shaking { .. } | Phase::Waiting { .. } => {
                self.phase = Phase::Running;
                // The size comes before the program, anything else behind it.
                let (first, second) = match effect {
                    Effect::Resize(_) => (effect, Effect::Start),
                    other => (Effect::Start, other),
                };
                self.next = Some(second);
                Some(first)
            }
            Phase::Running | Phase::Draining { .. } | Phase::Over => Some(effect),
        }
    }

    fn shaken(&mut self, payload: &[u8], now: Timestamp) {
        let Phase::Shaking { since } = self.phase else { return };
        let failure = match serde_json::from_slice::<HandshakeResponse>(payload) {
            Err(_) => Some(String::from("The client's answer to the handshake cannot be read.")),
            Ok(response) => response
                .processed_client_actions
                .into_iter()
                .flatten()
                .find(|action| action.action_status != DONE)
                .map(|action| {
                    let (kind, status) = (action.action_type, action.action_status);
                    format!("{kind} failed on client with status {status} error: {}", action.error)
                }),
        };
        if let Some(output) = failure {
            self.drain(output, now);
            return;
        }
        let complete = HandshakeComplete {
            handshake_time_to_complete: i64::try_from(now.since(since).as_nanos()).unwrap_or(i64::MAX),
            customer_message: String::new(),
        };
        self.line.send(PayloadType::HandshakeComplete, json(&complete), now);
        self.phase = Phase::Waiting { until: now + SIZE_WAIT };
    }

    /// Whether the program's output may be sent now.
    pub fn has_room(&self) -> bool {
        self.phase == Phase::Running && self.line.has_room()
    }

    /// Sends output of at most [`CHUNK`] bytes; only while there is room.
    pub fn output(&mut self, payload_type: PayloadType, payload: Bytes, now: Timestamp) {
        if payload.is_empty() || self.phase != Phase::Running {
            return;
        }
        self.stirred_at = now;
        self.line.send(payload_type, payload, now);
    }

    /// The program has ended, and all of its output is sent. `why` is empty where it ended by itself.
    pub fn exited(&mut self, code: i32, why: String, now: Timestamp) {
        if self.phase != Phase::Running {
            return;
        }
        // AWS: an interactive session tells no exit code; the plugin would show it as output.
        if self.settings.extension.is_some() {
            self.line.send(PayloadType::ExitCode, exit_code(code), now);
        }
        self.drain(why, now);
    }

    /// Ends the session for a reason that the user is told.
    pub fn fail(&mut self, output: impl Into<String>, now: Timestamp) {
        self.drain(output.into(), now);
    }

    fn hang_up(&mut self, now: Timestamp) {
        self.drain(String::new(), now);
    }

    fn drain(&mut self, output: String, now: Timestamp) {
        if !matches!(self.phase, Phase::Draining { .. } | Phase::Over) {
            self.phase = Phase::Draining { until: now + LINGER, output };
        }
    }

    /// What time brings: resends, an idle session's end, the last message.
    pub fn tick(&mut self, now: Timestamp) {
        self.line.tick(now);
        match &self.phase {
            Phase::Shaking { since } if *since + HANDSHAKE <= now => {
                self.fail(
                    "Handshake timed out. Please ensure that you have the latest version of the session \
                     manager plugin.",
                    now,
                );
            }
            Phase::Shaking { .. } | Phase::Waiting { .. } | Phase::Running => {
                if self.idle_at() <= now {
                    self.fail("The session has been idle for 20 minutes.", now);
                }
            }
            Phase::Draining { until, output } => {
                if self.line.is_acknowledged() || *until <= now {
                    let output = output.clone();
                    self.close(output, now);
                }
            }
            Phase::Over => {}
        }
    }

    fn close(&mut self, output: String, now: Timestamp) {
        close(&mut self.line, &self.settings.session, output, now);
        self.phase = Phase::Over;
    }

    /// When the session has been idle for too long. A program in a pipe may be silent as it likes.
    fn idle_at(&self) -> Timestamp {
        if self.settings.is_terminal() { self.stirred_at + IDLE } else { Timestamp::NEVER }
    }

    /// When to call [`Agent::tick`] and [`Agent::next_effect`] again.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let own = match &self.phase {
            Phase::Shaking { since } => *since + HANDSHAKE,
            Phase::Waiting { until } => *until,
            Phase::Running => self.idle_at(),
            Phase::Draining { .. } if self.line.is_acknowledged() => Timestamp::EPOCH,
            Phase::Draining { until, .. } => *until,
            Phase::Over => return None,
        };
        Some(self.line.wake_at().map_or(own, |line| own.min(line)))
    }

    /// The next frame to write.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        self.line.next_frame()
    }

    /// Frames that wait to be written.
    pub fn backlog(&self) -> usize {
        self.line.backlog()
    }

    /// Whether the session ends: a program that still runs is to go.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Over)
    }

    /// Whether nothing more will come than the frames that wait.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

/// A terminal has columns and rows, and no more than the kernel can count.
fn is_sensible(size: &Size) -> bool {
    let is_sensible = |number: u32| (1..=u32::from(u16::MAX)).contains(&number);
    is_sensible(size.cols) && is_sensible(size.rows)
}

fn close(line: &mut Line, session: &str, output: String, now: Timestamp) {
    let closed = ChannelClosed {
        message_id: line.draw_id().to_string(),
        created_date: now.as_millis().to_string(),
        destination_id: String::new(),
        session_id: session.to_owned(),
        message_type: Kind::ChannelClosed.name().to_owned(),
        schema_version: 1,
        output,
    };
    line.tell(Kind::ChannelClosed, json(&closed), now);
}

/// The one frame of a session that is not to be.
pub fn refusal(session: &str, why: String, now: Timestamp, chance: Chance) -> Bytes {
    let mut line = Line::new(Kind::Output, chance);
    close(&mut line, session, why, now);
    line.next_frame().expect("a frame was just made")
}
