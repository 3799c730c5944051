//! One message on the data channel, as bytes.
//!
//! ```text
//!   0  4  length of the header up to the payload's length: 116
//!   4 32  kind, in ASCII, padded
//!  36  4  schema version: 1
//!  40  8  created at, in milliseconds
//!  48  8  sequence number
//!  56  8  flags: 1 the first of its stream, 2 the last
//!  64 16  id: a UUID whose halves are swapped
//!  80 32  SHA-256 of the payload
//! 112  4  what the payload is
//! 116  4  length of the payload
//! 120     payload
//! ```
//!
//! Integers are big-endian. AWS: its service stands between client and agent and makes messages
//! anew, so that clients are served whose digests are wrong (npm's ssm-session): nobody looks at
//! them here, TCP sees to what they are for. Deliberately ignores what payloads say.

use base::{Chance, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Bytes before the payload.
pub const HEADER: usize = 120;
/// Bytes of the header before the payload's length, which the first field counts.
const COUNTED: u32 = 116;
const KIND_AT: usize = 4;
const KIND: usize = 32;
const CREATED_AT: usize = 40;
const SEQUENCE_AT: usize = 48;
const FLAGS_AT: usize = 56;
const ID_AT: usize = 64;
const TYPE_AT: usize = 112;
const LENGTH_AT: usize = 116;
const SCHEMA_VERSION: u32 = 1;

/// The first message of a stream.
pub const SYN: u64 = 1;
/// The last message of a stream.
pub const FIN: u64 = 2;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the client: part of a stream in order.
    Input,
    /// To the client: part of a stream in order.
    Output,
    Acknowledge,
    ChannelClosed,
    StartPublication,
    PausePublication,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Input => "input_stream_data",
            Kind::Output => "output_stream_data",
            Kind::Acknowledge => "acknowledge",
            Kind::ChannelClosed => "channel_closed",
            Kind::StartPublication => "start_publication",
            Kind::PausePublication => "pause_publication",
        }
    }

    /// AWS: padded with spaces at the end; clients have been seen that pad with zeros in front.
    fn parse(field: &[u8]) -> Option<Kind> {
        let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
        let start = field.iter().position(|byte| !is_padding(byte))?;
        let end = field.iter().rposition(|byte| !is_padding(byte))?;
        let name = &field[start..=end];
        let kinds = [
            Kind::Input,
            Kind::Output,
            Kind::Acknowledge,
            Kind::ChannelClosed,
            Kind::StartPublication,
            Kind::PausePublication,
        ];
        kinds.into_iter().find(|kind| kind.name().as_bytes() == name)
    }
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadType {
    /// None: acknowledgements and the end of a channel.
    None,
    /// What a terminal or standard output shows; from the client, what is typed.
    Output,
    Error,
    Size,
    Parameter,
    HandshakeRequest,
    HandshakeResponse,
    HandshakeComplete,
    ChallengeRequest,
    ChallengeResponse,
    Flag,
    StandardError,
    ExitCode,
    Other(u32),
}

impl PayloadType {
    pub fn number(self) -> u32 {
        match self {
            PayloadType::None => 0,
            PayloadType::Output => 1,
            PayloadType::Error => 2,
            PayloadType::Size => 3,
            PayloadType::Parameter => 4,
            PayloadType::HandshakeRequest => 5,
            PayloadType::HandshakeResponse => 6,
            PayloadType::HandshakeComplete => 7,
            PayloadType::ChallengeRequest => 8,
            PayloadType::ChallengeResponse => 9,
            PayloadType::Flag => 10,
            PayloadType::StandardError => 11,
            PayloadType::ExitCode => 12,
            PayloadType::Other(number) => number,
        }
    }

    pub fn from_number(number: u32) -> Self {
        match number {
            0 => PayloadType::None,
            1 => PayloadType::Output,
            2 => PayloadType::Error,
            3 => PayloadType::Size,
            4 => PayloadType::Parameter,
            5 => PayloadType::HandshakeRequest,
            6 => PayloadType::HandshakeResponse,
            7 => PayloadType::HandshakeComplete,
            8 => PayloadType::ChallengeRequest,
            9 => PayloadType::ChallengeResponse,
            10 => PayloadType::Flag,
            11 => PayloadType::StandardError,
            12 => PayloadType::ExitCode,
            other => PayloadType::Other(other),
        }
    }
}

/// A message's UUID, in the order in which it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    pub fn draw(chance: &mut Chance) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&chance.next().to_be_bytes());
        bytes[8..].copy_from_slice(&chance.next().to_be_bytes());
        // Version 4, variant 1.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        MessageId(bytes)
    }

    fn swapped(self) -> [u8; 16] {
        let mut bytes = self.0;
        bytes.rotate_left(8);
        bytes
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub created_at: Timestamp,
    /// Counts the messages of a stream from 0, each direction by itself.
    pub sequence: i64,
    pub flags: u64,
    pub id: MessageId,
    pub payload_type: PayloadType,
    pub payload: Bytes,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a message is shorter than its header")]
    Short,
    #[error("a message of no known kind")]
    Kind,
    #[error("a message's lengths contradict each other")]
    Length,
}

impl Message {
    pub fn encode(&self) -> Bytes {
        let mut frame = BytesMut::with_capacity(HEADER + self.payload.len());
        frame.put_u32(COUNTED);
        frame.put_slice(self.kind.name().as_bytes());
        frame.put_bytes(b' ', KIND - self.kind.name().len());
        frame.put_u32(SCHEMA_VERSION);
        frame.put_u64(self.created_at.as_millis().max(0) as u64);
        frame.put_i64(self.sequence);
        frame.put_u64(self.flags);
        frame.put_slice(&self.id.swapped());
        frame.put_slice(&Sha256::digest(&self.payload));
        frame.put_u32(self.payload_type.number());
        frame.put_u32(self.payload.len() as u32);
        frame.put_slice(&self.payload);
        frame.freeze()
    }

    pub fn decode(frame: &Bytes) -> Result<Message, Malformed> {
        if frame.len() < HEADER {
            return Err(Malformed::Short);
        }
        let kind = Kind::parse(&frame[KIND_AT..KIND_AT + KIND]).ok_or(Malformed::Kind)?;
        if word(frame, 0) != COUNTED || word(frame, LENGTH_AT) as usize != frame.len() - HEADER {
            return Err(Malformed::Length);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&frame[ID_AT..ID_AT + 16]);
        let created = i64::try_from(long(frame, CREATED_AT)).unwrap_or(i64::MAX);
        Ok(Message {
            kind,
            created_at: Timestamp::from_millis(created),
            sequence: long(frame, SEQUENCE_AT) as i64,
            flags: long(frame, FLAGS_AT),
            id: MessageId(MessageId(id).swapped()),
            payload_type: PayloadType::from_number(word(frame, TYPE_AT)),
            payload: frame.slice(HEADER..),
        })
    }
}

fn word(frame: &[u8], at: usize) -> u32 {
    frame[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn long(frame: &[u8], at: usize) -> u64 {
    frame[at..at + 8].iter().fold(0, |long, byte| long << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Message {
        Message {
            kind: Kind::Output,
            created_at: Timestamp::from_millis(1_700_000_000_123),
            sequence: 7,
            flags: SYN,
            id: MessageId(*b"\x01\x02\x03\x04\x05\x06\x47\x08\x89\x0a\x0b\x0c\x0d\x0e\x0f\x10"),
            payload_type: PayloadType::Output,
            payload: Bytes::from_static(b"hello"),
        }
    }

    #[test]
    fn every_field_has_its_place() {
        let frame = sample().encode();
        assert_eq!(&frame[..4], [0, 0, 0, 116]);
        assert_eq!(&frame[4..36], b"output_stream_data              ");
        assert_eq!(&frame[36..40], [0, 0, 0, 1]);
        assert_eq!(&frame[40..48], 1_700_000_000_123_u64.to_be_bytes());
        assert_eq!(&frame[48..56], 7_u64.to_be_bytes());
        assert_eq!(&frame[56..64], 1_u64.to_be_bytes());
        assert_eq!(&frame[64..80], b"\x89\x0a\x0b\x0c\x0d\x0e\x0f\x10\x01\x02\x03\x04\x05\x06\x47\x08");
        assert_eq!(&frame[112..120], [0, 0, 0, 1, 0, 0, 0, 5]);
        assert_eq!(&frame[120..], b"hello");
        assert_eq!(sample().id.to_string(), "01020304-0506-4708-890a-0b0c0d0e0f10");
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Message::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn other_clients_habits_are_understood() {
        let mut frame = BytesMut::from(&sample().encode()[..]);
        frame[4..36].fill(0);
        frame[18..36].copy_from_slice(b"output_stream_data");
        // Half of a digest, in hexadecimal digits.
        frame[80..112].copy_from_slice(b"2cf24dba5fb0a30e26e83b2ac5b9e29e");
        assert_eq!(Message::decode(&frame.freeze()), Ok(sample()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |change: &dyn Fn(&mut BytesMut), expected| {
            let mut frame = BytesMut::from(&sample().encode()[..]);
            change(&mut frame);
            assert_eq!(Message::decode(&frame.freeze()), Err(expected));
        };
        check(&|frame| frame.truncate(119), Malformed::Short);
        check(&|frame| frame.truncate(124), Malformed::Length);
        check(&|frame| frame[3] = 0, Malformed::Length);
        check(&|frame| frame[4] = b'x', Malformed::Kind);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(frame in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::decode(&Bytes::from(frame));
        }

        #[test]
        fn a_message_with_any_flaw_never_panics(at in 0usize..125, byte: u8) {
            let mut frame = BytesMut::from(&sample().encode()[..]);
            frame[at] = byte;
            let _ = Message::decode(&frame.freeze());
        }
    }
}
