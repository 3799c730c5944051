//! The agent-message protocol of AWS's session manager, without sockets and clocks: frames and the
//! time go in, frames and effects come out.
//!
//! AWS: learnt from the published sources of amazon-ssm-agent and session-manager-plugin.

mod agent;
mod client;
mod incoming;
mod line;
mod message;
mod outgoing;
mod payload;

pub use agent::{Agent, CHUNK, Effect, IDLE, LINGER, Settings, refusal};
pub use client::{Client, Said, opening};
pub use line::{Line, Received};
pub use message::{Kind, Malformed, Message, MessageId, PayloadType};
pub use outgoing::WINDOW;
pub use payload::{
    Acknowledge, ChannelClosed, Extension, Flag, HandshakeRequest, HandshakeResponse, OpenDataChannel, Size,
};
