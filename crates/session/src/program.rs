//! A program that a session runs, and what there is to wait for about it.

use bytes::{Buf, Bytes, BytesMut};
use runtime::{Exec, ExecControl, Signal, TerminalSize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::characters::whole;
use crate::protocol::{CHUNK, PayloadType, Size};

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What became of a program.
pub enum Happened {
    /// To be sent on.
    Said(PayloadType, Bytes),
    /// More of the input can follow.
    Heard,
    /// Output may still come.
    Exited,
}

/// One stream of its output.
struct Stream {
    from: Option<Reader>,
    /// Whether characters are kept whole.
    is_text: bool,
    /// The beginning of a character whose end has not come yet.
    begun: BytesMut,
}

impl Stream {
    fn new(from: Option<Reader>, is_text: bool) -> Self {
        Stream { from, is_text, begun: BytesMut::new() }
    }

    fn is_open(&self) -> bool {
        self.from.is_some()
    }

    /// The next piece, perhaps empty; the last one closes the stream. Loses nothing when dropped.
    async fn read(&mut self) -> Bytes {
        let Some(from) = &mut self.from else { return Bytes::new() };
        let mut piece = [0; CHUNK];
        // A terminal whose program has ended answers with an error.
        let room = CHUNK - self.begun.len();
        let length = from.read(&mut piece[..room]).await.unwrap_or(0);
        self.begun.extend_from_slice(&piece[..length]);
        if length == 0 {
            self.from = None;
            return self.begun.split().freeze();
        }
        let whole = if self.is_text { whole(&self.begun) } else { self.begun.len() };
        self.begun.split_to(whole).freeze()
    }
}

/// A program that was started.
pub struct Program {
    control: Box<dyn ExecControl>,
    output: Stream,
    errors: Stream,
    /// Writes through: nothing waits in it.
    to: Option<Writer>,
    /// Input that it has not read yet.
    input: Bytes,
    is_input_over: bool,
    exit: Option<i32>,
}

impl Program {
    pub fn new(exec: Exec, is_terminal: bool) -> Self {
        Program {
            control: exec.control,
            output: Stream::new(Some(exec.output), is_terminal),
            errors: Stream::new(exec.errors, is_terminal),
            to: exec.input,
            input: Bytes::new(),
            is_input_over: false,
            exit: None,
        }
    }

    /// Whether it takes more input.
    pub fn is_hungry(&self) -> bool {
        self.input.is_empty()
    }

    /// Gives it input. One that has closed its input takes it silently.
    pub fn feed(&mut self, input: Bytes) {
        if self.to.is_some() {
            self.input = input;
        }
    }

    pub fn end_input(&mut self) {
        self.is_input_over = true;
        self.close_input();
    }

    fn close_input(&mut self) {
        if self.is_input_over && self.input.is_empty() {
            self.to = None;
        }
    }

    pub fn resize(&self, size: Size) {
        self.control.resize(terminal_size(size));
    }

    /// AWS: closing a session's terminal hangs its program up.
    pub fn hang_up(&self) {
        self.control.signal(Signal::HANG_UP);
    }

    /// Its exit code, once it has ended and said all.
    pub fn is_done(&self) -> Option<i32> {
        if self.output.is_open() || self.errors.is_open() { None } else { self.exit }
    }

    /// Its exit code, once it has ended.
    pub fn exit(&self) -> Option<i32> {
        self.exit
    }

    /// Hears nothing more of it.
    pub fn close_output(&mut self) {
        self.output.from = None;
        self.errors.from = None;
    }

    /// Waits for something to happen; output only where it `is_heard`. Loses nothing when dropped.
    pub async fn happens(&mut self, is_heard: bool) -> Happened {
        let Program { control, output, errors, to, input, exit, .. } = self;
        tokio::select! {
            piece = output.read(), if is_heard && output.is_open() => {
                Happened::Said(PayloadType::Output, piece)
            }
            piece = errors.read(), if is_heard && errors.is_open() => {
                Happened::Said(PayloadType::StandardError, piece)
            }
            length = write(to, input), if !input.is_empty() => {
                input.advance(length);
                self.close_input();
                Happened::Heard
            }
            code = control.wait(), if exit.is_none() => {
                // A program that nobody can tell about has ended for us.
                let code = code.unwrap_or(255);
                *exit = Some(code);
                Happened::Exited
            }
            // Where nothing else can happen, nothing does.
            never = std::future::pending() => never,
        }
    }
}

/// Writes some of `input`; all of it to a program that reads no more. Loses nothing when dropped.
async fn write(to: &mut Option<Writer>, input: &Bytes) -> usize {
    let Some(open) = to else { return input.len() };
    match open.write(input).await {
        Ok(length) if length > 0 => length,
        Ok(_) | Err(_) => {
            *to = None;
            input.len()
        }
    }
}

pub fn terminal_size(size: Size) -> TerminalSize {
    let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    TerminalSize { columns: narrow(size.cols), rows: narrow(size.rows) }
}
