//! Payloads that are JSON, and the first words of a client.

use base::Secret;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The first thing a client says, as text: who it is, and the token that proves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    pub message_schema_version: String,
    #[serde(default)]
    pub request_id: String,
    pub token_value: Secret,
    #[serde(default)]
    pub client_id: String,
    #[serde(default)]
    pub client_version: String,
    /// What only our own client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxship: Option<Extension>,
}

/// What our own client can ask for beyond the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Extension {
    /// Otherwise standard output, standard error and the end of the input stay apart.
    pub is_terminal: bool,
}

/// Which message has arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Acknowledge {
    #[serde(rename = "AcknowledgedMessageType")]
    pub kind: String,
    #[serde(rename = "AcknowledgedMessageId")]
    pub id: String,
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    #[serde(rename = "IsSequentialMessage", default)]
    pub is_sequential: bool,
}

/// The channel's last message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosed {
    pub message_id: String,
    pub created_date: String,
    pub destination_id: String,
    pub session_id: String,
    pub message_type: String,
    pub schema_version: i32,
    /// Why, for the user; empty where the program has ended.
    pub output: String,
}

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cols: u32,
    pub rows: u32,
}

/// What the agent asks of a client before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    pub agent_version: String,
    pub requested_client_actions: Vec<RequestedAction>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    pub action_type: String,
    pub action_parameters: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    #[serde(default)]
    pub client_version: String,
    /// AWS: `null` where there was none.
    #[serde(default)]
    pub processed_client_actions: Option<Vec<ProcessedAction>>,
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    pub action_type: String,
    /// 1 done, 2 failed, 3 not supported.
    pub action_status: u32,
    #[serde(default)]
    pub action_result: serde_json::Value,
    #[serde(default)]
    pub error: String,
}

pub const DONE: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// In nanoseconds.
    pub handshake_time_to_complete: i64,
    #[serde(default)]
    pub customer_message: String,
}

/// A flag's number, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Our own client without a terminal: the end of its input. AWS: the end of a forwarded
    /// connection, which no shell session has.
    EndOfInput,
    Terminate,
}

impl Flag {
    pub fn parse(payload: &[u8]) -> Option<Flag> {
        match payload.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) {
            Some(1) => Some(Flag::EndOfInput),
            Some(2) => Some(Flag::Terminate),
            _ => None,
        }
    }

    pub fn bytes(self) -> Bytes {
        let number: u32 = match self {
            Flag::EndOfInput => 1,
            Flag::Terminate => 2,
        };
        Bytes::copy_from_slice(&number.to_be_bytes())
    }
}

/// AWS: what stands before the number.
const EXIT_CODE: &str = "EXIT_CODE: ";

pub fn exit_code(code: i32) -> Bytes {
    Bytes::from(format!("{EXIT_CODE}{code}"))
}

pub fn parse_exit_code(payload: &[u8]) -> Option<i32> {
    std::str::from_utf8(payload).ok()?.strip_prefix(EXIT_CODE)?.trim().parse().ok()
}

/// These shapes have string keys only, and are always JSON.
pub fn json(payload: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(payload).expect("a payload is JSON"))
}
