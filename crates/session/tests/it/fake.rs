//! Programs that run nowhere, and sessions that nobody made.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::Secret;
use runtime::{Exec, ExecControl, ExecPlan, Pending as RuntimePending, RuntimeError, Signal, TerminalSize};
use session::{Pending, Programs, Sessions, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;

/// Every session has the token `token`, and runs the command that it is named after.
#[derive(Default)]
pub struct FakeSessions {
    pub commands: BTreeMap<String, String>,
}

impl Sessions for FakeSessions {
    fn open<'a>(&'a self, session: &'a str, token: &'a Secret) -> Pending<'a, Result<Target, String>> {
        Box::pin(async move {
            match self.commands.get(session) {
                Some(command) if token.matches("token") => Ok(Target {
                    task: String::from("0123"),
                    container: String::from("app"),
                    command: command.clone(),
                }),
                _ => Err(String::from("no such session")),
            }
        })
    }
}

/// What the programs were told, and what they did.
#[derive(Default)]
pub struct FakePrograms {
    pub plans: Mutex<Vec<ExecPlan>>,
    pub signals: watch::Sender<Vec<i32>>,
    /// Bytes that were written.
    pub written: Arc<AtomicUsize>,
    pub ended: Mutex<Option<String>>,
}

struct Control {
    exit: watch::Receiver<Option<i32>>,
    sizes: watch::Sender<Option<TerminalSize>>,
    signals: watch::Sender<Vec<i32>>,
}

impl ExecControl for Control {
    fn resize(&self, size: TerminalSize) {
        self.sizes.send_replace(Some(size));
    }

    fn signal(&self, signal: Signal) {
        self.signals.send_modify(|signals| signals.push(signal.0));
    }

    fn wait(&self) -> RuntimePending<'_, Result<i32, RuntimeError>> {
        Box::pin(async move {
            let mut exit = self.exit.clone();
            let code = exit.wait_for(Option::is_some).await.ok().and_then(|code| *code);
            code.ok_or_else(|| RuntimeError::ShimLost(String::from("gone")))
        })
    }
}

/// A program's ends of its streams.
struct Inside {
    input: DuplexStream,
    output: DuplexStream,
    errors: DuplexStream,
    sizes: watch::Receiver<Option<TerminalSize>>,
    signals: watch::Receiver<Vec<i32>>,
    written: Arc<AtomicUsize>,
}

impl Programs for FakePrograms {
    fn start<'a>(&'a self, _target: &'a Target, plan: ExecPlan) -> Pending<'a, Result<Exec, String>> {
        self.plans.lock().unwrap().push(plan.clone());
        Box::pin(async move {
            if plan.command[0] == "missing" {
                return Err(String::from("missing: no such file"));
            }
            let ((input, its_input), (output, its_output)) = (duplex(4_096), duplex(4_096));
            let (errors, its_errors) = duplex(4_096);
            let (exit, exited) = watch::channel(None);
            let (sizes, its_sizes) = watch::channel(plan.terminal);
            let inside = Inside {
                input: its_input,
                output: its_output,
                errors: its_errors,
                sizes: its_sizes,
                signals: self.signals.subscribe(),
                written: self.written.clone(),
            };
            let is_terminal = plan.terminal.is_some();
            tokio::spawn(async move {
                let code = inside.run(&plan.command).await;
                exit.send_replace(Some(code));
                // Kept until then, as a terminal is.
                exit.closed().await;
            });
            Ok(Exec {
                input: Some(Box::new(input)),
                output: Box::new(output),
                errors: (!is_terminal).then(|| Box::new(errors) as _),
                control: Box::new(Control { exit: exited, sizes, signals: self.signals.clone() }),
            })
        })
    }

    fn ended<'a>(&'a self, _target: &'a Target) -> Pending<'a, Option<String>> {
        Box::pin(async move { self.ended.lock().unwrap().clone() })
    }
}

impl Inside {
    async fn run(mut self, command: &[String]) -> i32 {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words[..] {
            ["exit", code] => code.parse().unwrap(),
            ["say", output, errors] => {
                let _ = self.output.write_all(output.as_bytes()).await;
                let _ = self.errors.write_all(errors.as_bytes()).await;
                0
            }
            ["cat"] => self.cat().await,
            ["yes"] => loop {
                if self.output.write_all(&[b'y'; 512]).await.is_err() {
                    return 141;
                }
                self.written.fetch_add(512, Ordering::SeqCst);
            },
            ["sizes"] => self.tell_sizes().await,
            ["wait"] => {
                let _ = self.signals.wait_for(|signals| !signals.is_empty()).await;
                129
            }
            _ => 127,
        }
    }

    async fn cat(&mut self) -> i32 {
        let mut piece = [0; 300];
        loop {
            match self.input.read(&mut piece).await {
                Ok(0) | Err(_) => return 0,
                Ok(length) => {
                    if self.output.write_all(&piece[..length]).await.is_err() {
                        return 141;
                    }
                }
            }
        }
    }

    /// Shows its size as it starts and as it changes, until it is told anything.
    async fn tell_sizes(&mut self) -> i32 {
        loop {
            let size = *self.sizes.borrow_and_update();
            let size = size.map_or_else(String::new, |size| format!("{}x{};", size.columns, size.rows));
            let _ = self.output.write_all(size.as_bytes()).await;
            let mut byte = [0; 1];
            tokio::select! {
                changed = self.sizes.changed() => if changed.is_err() { return 1 },
                _ = self.input.read(&mut byte) => return i32::from(byte[0]),
            }
        }
    }
}
