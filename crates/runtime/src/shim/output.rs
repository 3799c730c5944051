//! A container's output: from its pipes, or its terminal, into its spool.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::clock;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::time::{ClockId, clock_gettime};

use crate::plan::Output as Plan;
use crate::protocol::Start;
use crate::record::TaskDir;
use crate::spool::{HEADER, Lines, Position, Stream, Writer};

/// Read at once from a pipe: what a pipe holds by default, so one read empties it.
const CHUNK: usize = 64 * 1024;

/// A container that writes line by line would have us wake for each: after a small read that followed
/// another within this time, its pipe is left alone for as long. The pipe takes up what comes meanwhile.
const LULL_NS: u64 = 2_000_000;

pub(super) struct Output {
    /// `None`: what comes is thrown away. A terminal must be read all the same.
    writer: Option<Writer>,
    pipes: [Option<Pipe>; 2],
    may_wait: bool,
    /// Lines dropped because nobody read, or the disk took nothing, since the container's start.
    dropped: u64,
    is_paused: bool,
}

struct Pipe {
    fd: OwnedFd,
    stream: Stream,
    lines: Lines,
    last_read_ns: u64,
    /// Not read before this instant.
    rests_until_ns: u64,
}

/// What a container gets as its streams.
pub(super) struct Wires {
    pub stdio: launch::Stdio,
    /// The writing end of its standard input, where that is to stay open.
    pub input: Option<OwnedFd>,
}

impl Output {
    /// No output where it is discarded, unless there is a terminal: see [`Output::attach`].
    pub fn open(dir: &TaskDir, start: &Start) -> io::Result<(Option<Output>, Wires)> {
        let mut wires = Wires { stdio: launch::Stdio::null().map_err(io::Error::other)?, input: None };
        if start.is_interactive && !start.has_terminal {
            let (input, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            wires.stdio.stdin = input;
            wires.input = Some(end);
        }
        let (limit, may_wait) = match start.output {
            Plan::Discard if !start.has_terminal => return Ok((None, wires)),
            Plan::Discard => (None, false),
            Plan::Blocking { limit_bytes } => (Some(limit_bytes), true),
            Plan::Dropping { limit_bytes } => (Some(limit_bytes), false),
        };
        let writer = limit.map(|limit| Writer::open(&dir.spool(&start.name), limit)).transpose()?;
        let mut output = Output { writer, pipes: [None, None], may_wait, dropped: 0, is_paused: false };
        if !start.has_terminal {
            let (stdout, stdout_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            let (stderr, stderr_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            output.pipes =
                [Some(Pipe::new(stdout, Stream::Stdout)?), Some(Pipe::new(stderr, Stream::Stderr)?)];
            wires.stdio.stdout = stdout_end;
            wires.stdio.stderr = stderr_end;
        }
        Ok((Some(output), wires))
    }

    /// Takes the container's terminal, on which everything appears as standard output.
    pub fn attach(&mut self, console: OwnedFd) -> io::Result<()> {
        self.pipes[0] = Some(Pipe::new(console, Stream::Stdout)?);
        Ok(())
    }

    pub fn end(&self) -> Position {
        self.writer.as_ref().map_or(Position::END, Writer::end)
    }

    fn has_pending(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::has_pending)
    }

    /// Nothing more will come into the spool.
    pub fn is_closed(&self) -> bool {
        self.writer.is_none() || (self.pipes.iter().all(Option::is_none) && !self.has_pending())
    }

    /// Looks whether the container's writers must wait; `true` if so.
    pub fn update_paused(&mut self) -> bool {
        self.flush();
        let is_closed = self.is_closed();
        let Some(writer) = &mut self.writer else { return false };
        let is_full = !is_closed && !writer.has_room(CHUNK).unwrap_or(true);
        self.is_paused = self.may_wait && (is_full || writer.has_pending());
        self.is_paused
    }

    /// What was read goes to the disk in one write. Where writers may wait, lines that the disk does not
    /// take stay, and nothing more is read before it has; where they may not, they are dropped.
    fn flush(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if writer.flush().is_err() && !self.may_wait {
            self.dropped += writer.drop_pending();
        }
    }

    /// The pipes to poll at `now_ns`; or else when one ends its rest.
    pub fn readable(&self, now_ns: u64) -> impl Iterator<Item = (usize, Result<BorrowedFd<'_>, u64>)> {
        let pipes = if self.is_paused { &[] } else { &self.pipes[..] };
        pipes.iter().enumerate().filter_map(move |(index, pipe)| {
            let pipe = pipe.as_ref()?;
            let rests = pipe.rests_until_ns > now_ns;
            Some((index, if rests { Err(pipe.rests_until_ns) } else { Ok(pipe.fd.as_fd()) }))
        })
    }

    /// Takes what the pipe holds, at most one chunk, so that no container starves another.
    /// `false` once there is nothing more to take for now.
    pub fn read(&mut self, index: usize) -> bool {
        let Some(pipe) = &mut self.pipes[index] else { return false };
        let mut chunk = vec![0; CHUNK];
        let got = match rustix::io::read(&pipe.fd, &mut chunk[..]) {
            Ok(got) => got,
            Err(Errno::AGAIN) => return false,
            Err(Errno::INTR) => return true,
            // Nobody has the other end of a terminal any more.
            Err(_) => 0,
        };
        pipe.note_read(got);
        if let Some(writer) = &mut self.writer {
            let (millis, stream) = (clock::wall().as_millis(), pipe.stream);
            // Looked at once for all lines: what is full stays so for as long as they take.
            let mut room = if self.may_wait { usize::MAX } else { writer.room(2 * CHUNK) };
            let emit = |text: &[u8], goes_on: bool| match room.checked_sub(HEADER + text.len()) {
                Some(left) => {
                    room = left;
                    writer.push(stream, millis, text, goes_on);
                }
                None => self.dropped += 1,
            };
            if got == 0 { pipe.lines.finish(emit) } else { pipe.lines.push(&chunk[..got], emit) }
        }
        if got == 0 {
            self.pipes[index] = None;
        }
        self.flush();
        got > 0
    }

    /// After the container's end: takes what is left and closes. A process outside the container may hold
    /// the pipe: what it says is not the container's output any more.
    pub fn finish(&mut self) {
        for index in 0..self.pipes.len() {
            // Bounded by what such a process writes meanwhile.
            let mut reads = 0;
            while reads < MOST_LAST_READS && self.read(index) {
                reads += 1;
            }
            if let (Some(mut pipe), Some(writer)) = (self.pipes[index].take(), &mut self.writer) {
                let millis = clock::wall().as_millis();
                pipe.lines.finish(|text, goes_on| writer.push(pipe.stream, millis, text, goes_on));
            }
        }
        self.flush();
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A pipe holds at most 1 MiB, whatever its owner asked for.
const MOST_LAST_READS: usize = 64;

impl Pipe {
    fn new(fd: OwnedFd, stream: Stream) -> io::Result<Self> {
        // Only our end: the container expects ordinary, blocking writes.
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Pipe { fd, stream, lines: Lines::default(), last_read_ns: 0, rests_until_ns: 0 })
    }

    fn note_read(&mut self, got: usize) {
        let now = monotonic_ns();
        let is_burst = now.saturating_sub(self.last_read_ns) < LULL_NS;
        self.rests_until_ns = if is_burst && got < CHUNK / 4 { now + LULL_NS } else { 0 };
        self.last_read_ns = now;
    }
}

/// Nanoseconds since some instant in the past.
pub(super) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
