//! What server and shim say to each other: length-prefixed JSON over a UNIX stream socket.
//!
//! ```text
//! frame: length u32 LE · JSON
//! server → shim   Request { id, call }
//! shim → server   Message::Answer { id, .. } once per request, in any order; Message::Event at any time;
//!                 Message::ExecEnded { id, .. } once for each `Exec` that was answered
//! ```
//!
//! Descriptors travel with the first byte of the request that they belong to ([`Call::descriptors`] of
//! them): the streams of a process to be executed are the server's own pipes, and the shim never sees what
//! flows in them.
//!
//! One client at a time: a newer connection replaces the older, whose requests stay unanswered.
//! The first connection is the socket pair with which the shim was executed; a shim whose server
//! goes before it was told of a task ends.
//! Sandbox first: the shim exists before the first container, and containers come and go in it.

use std::path::PathBuf;

use core_lifecycle::{LinuxSettings, Ulimit};
use serde::{Deserialize, Serialize};

use crate::contract::{ContainerRecord, Event, OutputState, RuntimeError, SandboxRecord};
use crate::plan::{ExecPlan, MountPlan, Output, Signal};
use crate::spool::Position;

/// No frame is larger: a specification with its seccomp profile takes some 100 KiB.
pub(crate) const MAX_FRAME: usize = 4 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub id: u64,
    pub call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// The first call, once: make the sandbox that the task's directory describes. Answered with
    /// the state.
    Create {
        dir: PathBuf,
    },
    Start(Box<Start>),
    /// Start a container that has ended again. Answered with its record.
    Restart {
        container: String,
    },
    /// Run a process more in a container; it is killed when this connection ends. With a terminal, the one
    /// descriptor is a socket that gets the terminal's; without, they are what it reads (where it has
    /// input), writes, and complains to. Answered when the program runs.
    Exec {
        container: String,
        plan: ExecPlan,
    },
    /// Signal the process that the request `exec` of this connection started.
    SignalExec {
        exec: u64,
        signal: Signal,
    },
    Signal {
        container: String,
        signal: Signal,
    },
    State,
    /// Answered once there is output after `from`, or none will come.
    Output {
        container: String,
        from: Position,
    },
    /// Kill everything, remove mounts and cgroups, record it, answer, exit.
    Shutdown,
}

/// A container to start. Its specification lies in `config.json` in its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub name: String,
    pub runtime_id: String,
    pub layers: Vec<PathBuf>,
    pub user: Option<String>,
    pub output: Output,
    /// Limits of open files and the like, with whether they were asked for.
    pub ulimits: Vec<Ulimit>,
    /// Its standard streams are a terminal.
    #[serde(default)]
    pub has_terminal: bool,
    /// Its standard input stays open.
    #[serde(default)]
    pub is_interactive: bool,
    #[serde(default)]
    pub mounts: Vec<MountPlan>,
    /// The image's own volumes, by path.
    #[serde(default)]
    pub volumes: Vec<String>,
    #[serde(default)]
    pub linux: LinuxSettings,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Answer {
        id: u64,
        result: Result<Answer, RuntimeError>,
    },
    Event(Event),
    /// The process that the request `id` started has ended.
    ExecEnded {
        id: u64,
        code: i32,
    },
}

impl Call {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        match self {
            Call::Exec { plan, .. } if plan.terminal.is_some() => 1,
            Call::Exec { plan, .. } => 2 + usize::from(plan.has_input),
            _ => 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Container(ContainerRecord),
    State(SandboxRecord),
    Output(OutputState),
}

/// Frames `value` for the wire.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value).expect("protocol messages have string keys only");
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Takes the first whole frame out of `buffer`. `Err` for a length beyond [`MAX_FRAME`].
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, usize> {
    let Some(prefix) = buffer.get(..4) else { return Ok(None) };
    let length = u32::from_le_bytes(prefix.try_into().expect("four bytes")) as usize;
    if length > MAX_FRAME {
        return Err(length);
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let frame = buffer[4..4 + length].to_vec();
    buffer.drain(..4 + length);
    Ok(Some(frame))
}
