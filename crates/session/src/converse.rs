//! One session on the agent's side: a web socket, the state machine, and the program.

use std::time::Duration;

use base::clock;
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use runtime::{Exec, ExecPlan};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::program::{Happened, Program, terminal_size};
use crate::protocol::{Agent, Effect, Size};
use crate::seams::{Pending, Programs, Target};
use crate::words;

/// Frames that may wait for a slow client before it is not read any more.
const BACKLOG: usize = 1_024;
/// How long streams may stay silent once their program has ended: what it left running holds them.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// AWS: what a killed program exits with, for one.
const KILLED: i32 = 137;
/// How long a host may take to notice that a container has ended.
const NOTICE: Duration = Duration::from_millis(500);

/// AWS: whoever runs a command in a container is root there, whatever the container's user.
const USER: &str = "0:0";
/// AWS: what a shell gets that was given no command.
const SHELL: &str = "sh";
/// AWS: what the agent tells programs of their terminal.
const ENVIRONMENT: [&str; 2] = ["TERM=xterm-256color", "LANG=C.UTF-8"];
/// As large as a terminal is whose size nobody has told.
const UNTOLD: Size = Size { cols: 80, rows: 24 };

/// A session's program, in time.
enum Stage<'a> {
    Before,
    Starting(Pending<'a, Result<Exec, String>>),
    Running(Program),
    After,
}

/// What ends the wait in a conversation.
enum Event {
    Started(Result<Exec, String>),
    Program(Happened),
    /// Its streams have been silent for long enough.
    Silent,
}

/// Carries a session on until it is over. Frames go out through `frames`, bounded.
pub struct Conversation<'a> {
    pub agent: Agent,
    pub target: &'a Target,
    pub programs: &'a dyn Programs,
    pub is_terminal: bool,
}

impl Conversation<'_> {
    /// Runs the session; returns once it is over or its client gone.
    pub async fn run<S>(
        mut self,
        socket: &mut S,
        frames: mpsc::Sender<Message>,
        mut stop: watch::Receiver<bool>,
    ) where
        S: Stream<Item = Result<Message, SocketError>> + Unpin,
    {
        let (mut stage, mut size) = (Stage::Before, UNTOLD);
        let (programs, target, is_terminal) = (self.programs, self.target, self.is_terminal);
        loop {
            let now = clock::wall();
            self.agent.tick(now);
            while stage.is_hungry()
                && let Some(effect) = self.agent.next_effect(now)
            {
                match effect {
                    Effect::Start => stage = self.start(size),
                    Effect::Resize(told) => {
                        size = told;
                        stage.resize(told);
                    }
                    Effect::Input(input) => stage.feed(input),
                    Effect::EndOfInput => stage.end_input(),
                }
            }
            if self.agent.is_ending() {
                stage.hang_up();
            }
            if self.agent.is_over() && self.agent.backlog() == 0 {
                return;
            }
            let wakes = self.agent.wake_at().map(|at| at.since(now));
            let is_heard = self.agent.has_room();
            tokio::select! {
                place = frames.reserve(), if self.agent.backlog() > 0 => {
                    // Without a writer there is no client.
                    let Ok(place) = place else { break };
                    if let Some(frame) = self.agent.next_frame() {
                        place.send(Message::Binary(frame));
                    }
                }
                read = socket.next(), if self.agent.backlog() < BACKLOG => match read {
                    Some(Ok(Message::Binary(frame))) => self.agent.receive(&frame, clock::wall()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
                event = stage.happens(is_heard) => match event {
                    Event::Started(Ok(exec)) => stage = Stage::Running(Program::new(exec, is_terminal)),
                    Event::Started(Err(error)) => {
                        stage = Stage::After;
                        self.not_started(&error);
                    }
                    Event::Program(Happened::Said(payload_type, payload)) => {
                        self.agent.output(payload_type, payload, clock::wall());
                    }
                    Event::Program(Happened::Heard | Happened::Exited) => {}
                    Event::Silent => stage.silence(),
                },
                () = sleep(wakes) => {}
                _ = stop.wait_for(|stop| *stop), if !self.agent.is_ending() => {
                    self.agent.fail("Boxship is shutting down.", clock::wall());
                }
            }
            if let Some(code) = stage.is_done() {
                stage = Stage::After;
                let why = why(programs, target, code).await;
                self.agent.exited(code, why, clock::wall());
            }
        }
        stage.hang_up();
    }
}

impl<'a> Conversation<'a> {
    fn start(&mut self, size: Size) -> Stage<'a> {
        let mut command = match words::split(&self.target.command) {
            Ok(command) => command,
            Err(error) => {
                self.not_started(&format!("Failed to parse commands input: {error}"));
                return Stage::After;
            }
        };
        if command.is_empty() {
            command.push(SHELL.to_owned());
        }
        let plan = ExecPlan {
            command,
            user: Some(USER.to_owned()),
            terminal: self.is_terminal.then(|| terminal_size(size)),
            has_input: true,
            environment: if self.is_terminal { ENVIRONMENT.map(str::to_owned).to_vec() } else { Vec::new() },
        };
        Stage::Starting(self.programs.start(self.target, plan))
    }

    /// AWS: these lines around the cause.
    fn not_started(&mut self, error: &str) {
        let text = format!("----------ERROR-------\nUnable to start command: {error}");
        self.agent.fail(text, clock::wall());
    }
}

impl Stage<'_> {
    /// Whether there is anybody to take another effect.
    fn is_hungry(&self) -> bool {
        match self {
            Stage::Before | Stage::After => true,
            Stage::Starting(_) => false,
            Stage::Running(program) => program.is_hungry(),
        }
    }

    fn resize(&self, size: Size) {
        if let Stage::Running(program) = self {
            program.resize(size);
        }
    }

    fn feed(&mut self, input: Bytes) {
        if let Stage::Running(program) = self {
            program.feed(input);
        }
    }

    fn end_input(&mut self) {
        if let Stage::Running(program) = self {
            program.end_input();
        }
    }

    /// Ends the program, or what is left of it.
    fn hang_up(&mut self) {
        if let Stage::Running(program) = self
            && program.exit().is_none()
        {
            program.hang_up();
        }
        // A program that is only just starting finds its streams closed.
        *self = Stage::After;
    }

    fn silence(&mut self) {
        if let Stage::Running(program) = self {
            program.close_output();
        }
    }

    fn is_done(&self) -> Option<i32> {
        if let Stage::Running(program) = self { program.is_done() } else { None }
    }

    /// Waits for something about the program. Loses nothing when dropped.
    async fn happens(&mut self, is_heard: bool) -> Event {
        match self {
            Stage::Before | Stage::After => std::future::pending().await,
            Stage::Starting(starting) => Event::Started(starting.await),
            Stage::Running(program) => {
                let is_afterwards = is_heard && program.exit().is_some();
                tokio::select! {
                    happened = program.happens(is_heard) => Event::Program(happened),
                    () = tokio::time::sleep(AFTERWARDS), if is_afterwards => Event::Silent,
                }
            }
        }
    }
}

/// Sleeps for so long; for ever without a time.
pub async fn sleep(wakes: Option<Duration>) {
    match wakes {
        Some(wakes) => tokio::time::sleep(wakes).await,
        None => std::future::pending().await,
    }
}

/// Why a program ended, where that was not its own doing.
async fn why(programs: &dyn Programs, target: &Target, code: i32) -> String {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(why) = programs.ended(target).await {
            return why;
        }
        // A container that ends takes its programs with it, and is seen to have ended after them.
        if code != KILLED || waited >= NOTICE {
            return String::new();
        }
        waited += NOTICE / 10;
        tokio::time::sleep(NOTICE / 10).await;
    }
}

/// Writes frames until there are no more, or nobody takes them.
pub async fn write<S>(mut socket: S, mut frames: mpsc::Receiver<Message>)
where
    S: futures_util::Sink<Message> + Unpin,
{
    while let Some(frame) = frames.recv().await {
        // What waits goes together.
        let is_last = frames.is_empty();
        let written = if is_last { socket.send(frame).await } else { socket.feed(frame).await };
        if written.is_err() {
            return;
        }
    }
    // Whoever has gone needs no goodbye.
    let _ = socket.close().await;
}
