//! What a connection may make us hold, and for how long.

use std::time::Duration;

/// A client's stream may send this much of a body before the target has taken any of it.
pub const STREAM_WINDOW: u32 = 256 * 1024;
/// All streams of a connection together.
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is kept of answers that a client does not read, per stream.
pub const SEND_BUFFER: usize = 128 * 1024;
/// AWS: 64 KiB of headers; the rest is for the 32 bytes that HTTP/2 counts on top of each field.
pub const HEADER_LIST: u32 = 64 * 1024 + 16 * 1024;

/// Streams that a client may have taken back on one connection before more than half of all of them
/// being so means an attack ("rapid reset").
pub const RESETS: u32 = 200;

/// How long a client may take from the end of the handshake to the end of its preface.
pub const PREFACE_FOR: Duration = Duration::from_secs(10);
/// How long a client without a stream may take to leave once it was told to.
pub const LAST_WORD_FOR: Duration = Duration::from_secs(5);

/// Towards targets: answers are taken as fast as clients read them, and these bound what is held.
pub const TARGET_STREAM_WINDOW: u32 = 1024 * 1024;
pub const TARGET_CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Streams on a connection to a target before its settings have come.
pub const TARGET_STREAMS_AT_FIRST: usize = 100;
/// Connections to one target from one worker: where a target allows few streams, or none more.
pub const TARGET_CONNECTIONS: usize = 32;
