//! A client of HTTP/2 that writes frames as it is told, right or wrong, over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const COMPRESSION_ERROR: u32 = 9;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No answer takes longer than this, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The usual statuses, which stand in the static table.
    pub fn status(&self) -> u16 {
        match self.payload.first() {
            // An update of the table's size may come first.
            Some(0x20..=0x3f) => Frame { payload: self.payload[1..].to_vec(), ..self.clone() }.status(),
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8b) => 304,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            _ => 0,
        }
    }
}

/// What a server did at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// HEADERS with this status came on the stream.
    Answered(u16),
    Reset(u32),
    GoneAway(u32),
    /// The connection was closed without a word.
    Closed,
}

pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
}

impl Client {
    /// Over TLS with `h2` agreed on; nothing sent yet.
    pub fn connect(at: SocketAddrV4) -> Self {
        let tcp = TcpStream::connect(at).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let config = crate::tls::trusting(&["h2"]);
        let name = ServerName::try_from("a.example.com").unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        Client { stream: StreamOwned::new(connection, tcp), input: Vec::new() }
    }

    /// With preface and settings exchanged.
    pub fn ready(at: SocketAddrV4) -> Self {
        let mut client = Self::connect(at);
        client.write(PREFACE);
        client.send(&Frame::new(SETTINGS, 0, 0, []));
        client.send(&Frame::new(SETTINGS, ACK, 0, []));
        client
    }

    /// What cannot be written because the server has closed is not written.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    pub fn send(&mut self, frame: &Frame) {
        self.write(&frame.bytes());
    }

    /// A request without a body.
    pub fn get(&mut self, stream: u32, path: &str) {
        let block = block(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "a.example.com"),
            (":path", path),
        ]);
        self.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, block));
    }

    /// The next frame; `None`: closed.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut more = [0; 16 * 1024];
            match self.stream.read(&mut more) {
                Ok(0) => return None,
                Ok(count) => self.input.extend(&more[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the server neither answered nor closed")
                }
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let [a, b, c, kind, flags, s1, s2, s3, s4] = *self.input.first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.input.get(9..9 + length)?.to_vec();
        self.input.drain(..9 + length);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s1, s2, s3, s4]), payload })
    }

    /// Reads until something is said of that stream, or of the connection.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            match self.next() {
                None => return Outcome::Closed,
                Some(frame) if frame.kind == GOAWAY => return Outcome::GoneAway(frame.code()),
                Some(frame) if frame.stream != stream => {}
                Some(frame) if frame.kind == RST_STREAM => return Outcome::Reset(frame.code()),
                Some(frame) if frame.kind == HEADERS => return Outcome::Answered(frame.status()),
                Some(_) => {}
            }
        }
    }

    /// Reads an answer to its end: status and body.
    pub fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.next().expect("the connection stays open");
            if frame.stream != stream {
                assert_ne!(frame.kind, GOAWAY, "the server goes away with {}", frame.code());
                continue;
            }
            match frame.kind {
                HEADERS if status == 0 => status = frame.status(),
                DATA => body.extend(&frame.payload),
                RST_STREAM => panic!("the stream was reset with {}", frame.code()),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
    }
}

/// A block of fields, each as a literal that is not indexed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let raw: Vec<(&[u8], &[u8])> =
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    raw_block(&raw)
}

pub fn raw_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// With a prefix of seven bits.
fn integer(mut number: usize, block: &mut Vec<u8>) {
    if number < 127 {
        block.push(number as u8);
        return;
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(number as u8 | 128);
        number >>= 7;
    }
    block.push(number as u8);
}
