//! A container's output: from its pipes into its spool.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::clock;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::plan::Output as Plan;
use crate::record::TaskDir;
use crate::spool::{Appended, Lines, Position, Stream, Writer};

/// Read at once from a pipe: what a pipe holds by default, so one read empties it.
const CHUNK: usize = 64 * 1024;

pub(super) struct Output {
    writer: Writer,
    pipes: [Option<Pipe>; 2],
    may_wait: bool,
    /// Lines that the disk has not taken yet; nothing more is read before it has.
    backlog: VecDeque<Line>,
    /// Lines dropped because nobody read, since the container's start.
    dropped: u64,
    is_paused: bool,
}

struct Pipe {
    fd: OwnedFd,
    stream: Stream,
    lines: Lines,
}

struct Line {
    stream: Stream,
    millis: i64,
    text: Vec<u8>,
    goes_on: bool,
}

/// The ends of the pipes that the container writes to.
pub(super) struct Ends {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

impl Output {
    /// `None` where output is discarded.
    pub fn open(dir: &TaskDir, name: &str, plan: Plan) -> io::Result<Option<(Output, Ends)>> {
        let (limit, may_wait) = match plan {
            Plan::Discard => return Ok(None),
            Plan::Blocking { limit_bytes } => (limit_bytes, true),
            Plan::Dropping { limit_bytes } => (limit_bytes, false),
        };
        let writer = Writer::open(&dir.spool(name), limit)?;
        let (stdout, stdout_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, stderr_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        for fd in [&stdout, &stderr] {
            // Only our end: the container expects ordinary, blocking writes.
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let pipe = |fd, stream| Some(Pipe { fd, stream, lines: Lines::default() });
        let pipes = [pipe(stdout, Stream::Stdout), pipe(stderr, Stream::Stderr)];
        let output =
            Output { writer, pipes, may_wait, backlog: VecDeque::new(), dropped: 0, is_paused: false };
        Ok(Some((output, Ends { stdout: stdout_end, stderr: stderr_end })))
    }

    pub fn end(&self) -> Position {
        self.writer.end()
    }

    /// Nothing more will come into the spool.
    pub fn is_closed(&self) -> bool {
        self.pipes.iter().all(Option::is_none) && self.backlog.is_empty()
    }

    /// Looks whether the container's writers must wait; `true` if so.
    pub fn update_paused(&mut self) -> bool {
        self.write_backlog();
        let is_full = !self.is_closed() && !self.writer.has_room(CHUNK).unwrap_or(true);
        self.is_paused = self.may_wait && (is_full || !self.backlog.is_empty());
        self.is_paused
    }

    fn write_backlog(&mut self) {
        while let Some(Line { stream, millis, text, goes_on }) = self.backlog.front() {
            if self.writer.append_unbounded(*stream, *millis, text, *goes_on).is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    pub fn readable(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let pipes = if self.is_paused { &[] } else { &self.pipes[..] };
        pipes.iter().enumerate().filter_map(|(index, pipe)| Some((index, pipe.as_ref()?.fd.as_fd())))
    }

    /// Takes what the pipe holds, at most one chunk, so that no container starves another.
    /// `false` once there is nothing more to take for now.
    pub fn read(&mut self, index: usize) -> bool {
        let Some(pipe) = &self.pipes[index] else { return false };
        let mut chunk = vec![0; CHUNK];
        let got = match rustix::io::read(&pipe.fd, &mut chunk[..]) {
            Ok(got) => got,
            Err(Errno::AGAIN) => return false,
            Err(Errno::INTR) => return true,
            Err(_) => 0,
        };
        let millis = clock::wall().as_millis();
        let stream = pipe.stream;
        let Output { writer, backlog, dropped, may_wait, .. } = self;
        let append = |text: &[u8], goes_on: bool| {
            if !*may_wait {
                // A disk that takes nothing costs lines here, never the container.
                let appended = writer.append(stream, millis, text, goes_on);
                *dropped += u64::from(!matches!(appended, Ok(Appended::Written)));
            } else if !backlog.is_empty() || writer.append_unbounded(stream, millis, text, goes_on).is_err() {
                backlog.push_back(Line { stream, millis, text: text.to_vec(), goes_on });
            }
        };
        let Some(pipe) = &mut self.pipes[index] else { return false };
        if got == 0 {
            pipe.lines.finish(append);
            self.pipes[index] = None;
            return false;
        }
        pipe.lines.push(&chunk[..got], append);
        true
    }

    /// After the container's end: takes what is left and closes.
    pub fn finish(&mut self) {
        for index in 0..self.pipes.len() {
            while self.read(index) {}
            // A process outside the container may hold the pipe: not our output any more.
            if let Some(mut pipe) = self.pipes[index].take() {
                let (backlog, stream) = (&mut self.backlog, pipe.stream);
                let millis = clock::wall().as_millis();
                pipe.lines.finish(|text, goes_on| {
                    backlog.push_back(Line { stream, millis, text: text.to_vec(), goes_on });
                });
            }
        }
        self.write_backlog();
        if self.dropped > 0 {
            eprintln!("{} shim: {} lines of output were dropped", clock::wall(), self.dropped);
        }
    }
}
