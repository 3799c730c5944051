//! Both directions of a data channel: streams in order over messages that may be lost, doubled or
//! swapped on their way.

use std::collections::VecDeque;

use base::{Chance, Timestamp};
use bytes::Bytes;

use crate::protocol::incoming::Incoming;
use crate::protocol::message::{FIN, Kind, Message, MessageId, PayloadType, SYN};
use crate::protocol::outgoing::Outgoing;
use crate::protocol::payload::{Acknowledge, ChannelClosed, json};

/// What a frame was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Part of the other side's stream: see [`Line::take`].
    Data,
    Acknowledgement,
    Closed(ChannelClosed),
    /// Nothing that concerns us, or no message at all.
    Nothing,
}

/// One end of a data channel.
#[derive(Debug)]
pub struct Line {
    sends: Kind,
    outgoing: Outgoing,
    incoming: Incoming,
    frames: VecDeque<Bytes>,
    chance: Chance,
}

impl Line {
    /// An end that sends messages of the kind `sends` and takes the other stream's.
    pub fn new(sends: Kind, chance: Chance) -> Self {
        Line {
            sends,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            frames: VecDeque::new(),
            chance,
        }
    }

    /// Whether another message may be sent now.
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Whether everything sent has arrived.
    pub fn is_acknowledged(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Frames that wait to be written.
    pub fn backlog(&self) -> usize {
        self.frames.len()
    }

    /// Sends a payload as the next of our stream. For what is not under flow control, such as a
    /// handshake, there is always room.
    pub fn send(&mut self, payload_type: PayloadType, payload: Bytes, now: Timestamp) {
        let sequence = self.outgoing.next();
        let flags = if sequence == 0 { SYN } else { 0 };
        let frame = self.frame(self.sends, sequence, flags, payload_type, payload, now);
        self.outgoing.keep(frame.clone(), now);
        self.frames.push_back(frame);
    }

    /// Sends a message outside of the stream.
    pub fn tell(&mut self, kind: Kind, payload: Bytes, now: Timestamp) {
        let frame = self.frame(kind, 0, SYN | FIN, PayloadType::None, payload, now);
        self.frames.push_back(frame);
    }

    /// Takes a frame in. One that makes no sense is ignored.
    pub fn receive(&mut self, frame: &Bytes, now: Timestamp) -> Received {
        let message = match Message::decode(frame) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, "a frame of a session is ignored");
                return Received::Nothing;
            }
        };
        match message.kind {
            Kind::Acknowledge => {
                let Ok(content) = serde_json::from_slice::<Acknowledge>(&message.payload) else {
                    return Received::Nothing;
                };
                self.outgoing.acknowledged(content.sequence, now);
                Received::Acknowledgement
            }
            Kind::ChannelClosed => {
                Received::Closed(serde_json::from_slice(&message.payload).unwrap_or_default())
            }
            // One end's own kind, come back, is nobody's data.
            Kind::Input | Kind::Output if message.kind != self.sends => self.receive_data(message, now),
            Kind::Input | Kind::Output | Kind::StartPublication | Kind::PausePublication => Received::Nothing,
        }
    }

    fn receive_data(&mut self, message: Message, now: Timestamp) -> Received {
        let (kind, id, sequence) = (message.kind, message.id, message.sequence);
        if !self.incoming.receive(sequence, message.payload_type, message.payload) {
            return Received::Nothing;
        }
        let content =
            Acknowledge { kind: kind.name().to_owned(), id: id.to_string(), sequence, is_sequential: true };
        self.tell(Kind::Acknowledge, json(&content), now);
        Received::Data
    }

    /// The next payload of the other side's stream.
    pub fn take(&mut self) -> Option<(PayloadType, Bytes)> {
        self.incoming.take()
    }

    /// Sends again what is due; while frames wait to be written, more would not help.
    pub fn tick(&mut self, now: Timestamp) {
        if self.frames.is_empty()
            && let Some(frame) = self.outgoing.due(now)
        {
            self.frames.push_back(frame);
        }
    }

    /// The next frame to write.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        self.frames.pop_front()
    }

    /// When [`Line::tick`] may have something to do.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.frames.is_empty() { self.outgoing.wake_at() } else { None }
    }

    /// An id for a message that is made elsewhere.
    pub fn draw_id(&mut self) -> MessageId {
        MessageId::draw(&mut self.chance)
    }

    fn frame(
        &mut self,
        kind: Kind,
        sequence: i64,
        flags: u64,
        payload_type: PayloadType,
        payload: Bytes,
        now: Timestamp,
    ) -> Bytes {
        let id = self.draw_id();
        Message { kind, created_at: now, sequence, flags, id, payload_type, payload }.encode()
    }
}
