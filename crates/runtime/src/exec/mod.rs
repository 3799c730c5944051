//! Processes in containers, as the server has them: their streams are the server's own pipes or terminal,
//! the shim starts and reaps them.
//!
//! Invariant: a process whose caller went away before it was told of it is killed.

mod terminal;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use tokio::net::unix::pipe;

use crate::contract::{Exec, ExecControl, Pending, RuntimeError};
use crate::linux::connection::{Code, Connection};
use crate::plan::{ExecPlan, Signal, TerminalSize};
use crate::protocol::Call;

use terminal::Terminal;

/// Starts a process over `connection`. Must not be dropped half-way: see [`Exec`].
pub(crate) async fn start(
    connection: &Arc<Connection>,
    container: &str,
    plan: ExecPlan,
) -> Result<Exec, RuntimeError> {
    let has_input = plan.has_input;
    let has_terminal = plan.terminal.is_some();
    let call = Call::Exec { container: container.to_owned(), plan };
    let host = |error: std::io::Error| RuntimeError::host("make the streams of a process", error);
    if has_terminal {
        let (ours, theirs) = socket().map_err(|e| host(e.into()))?;
        let (id, code) = connection.exec(call, vec![theirs]).await?;
        let control = Control { connection: Arc::downgrade(connection), id, code, terminal: None };
        // It was sent before the answer.
        let master = crate::descriptors::receive(&ours).map_err(|e| host(e.into()));
        let terminal = master.and_then(|master| {
            let none = || host(std::io::Error::other("no terminal came"));
            Terminal::new(master.ok_or_else(none)?).map_err(host)
        });
        let terminal = terminal.inspect_err(|_| control.signal(Signal::KILL))?;
        return Ok(Exec {
            input: has_input.then(|| Box::new(terminal.clone()) as _),
            output: Box::new(terminal.clone()),
            errors: None,
            control: Box::new(Control { terminal: Some(terminal), ..control }),
        });
    }
    let (input, theirs_in) = if has_input { writer().map(unzip).map_err(host)? } else { (None, None) };
    let (output, theirs_out) = reader().map_err(host)?;
    let (errors, theirs_err) = reader().map_err(host)?;
    let theirs = theirs_in.into_iter().chain([theirs_out, theirs_err]).collect();
    let (id, code) = connection.exec(call, theirs).await?;
    let control = Control { connection: Arc::downgrade(connection), id, code, terminal: None };
    Ok(Exec {
        input: input.map(|input| Box::new(input) as _),
        output: Box::new(output),
        errors: Some(Box::new(errors)),
        control: Box::new(control),
    })
}

fn unzip<A, B>((a, b): (A, B)) -> (Option<A>, Option<B>) {
    (Some(a), Some(b))
}

fn socket() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// A pipe that we read, and the end for the process.
fn reader() -> std::io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // Only our end: programs expect ordinary, blocking streams.
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((pipe::Receiver::from_owned_fd(ours)?, theirs))
}

/// A pipe that we write, and the end for the process.
fn writer() -> std::io::Result<(pipe::Sender, OwnedFd)> {
    let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((pipe::Sender::from_owned_fd(ours)?, theirs))
}

struct Control {
    connection: Weak<Connection>,
    /// The request that started it.
    id: u64,
    code: Code,
    terminal: Option<Terminal>,
}

impl ExecControl for Control {
    fn resize(&self, size: TerminalSize) {
        if let Some(terminal) = &self.terminal {
            terminal.resize(size);
        }
    }

    fn signal(&self, signal: Signal) {
        let Some(connection) = self.connection.upgrade() else { return };
        if self.code.borrow().is_some() {
            return;
        }
        let call = Call::SignalExec { exec: self.id, signal };
        connection.tell(call);
    }

    fn wait(&self) -> Pending<'_, Result<i32, RuntimeError>> {
        let mut code = self.code.clone();
        Box::pin(async move {
            let ended = code.wait_for(Option::is_some).await;
            let lost = |_| RuntimeError::ShimLost("its socket closed".to_owned());
            ended.map_err(lost).map(|code| code.expect("it was waited for"))
        })
    }
}
