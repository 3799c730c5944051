//! What people see while they wait.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::{OptionalActions, Termios};

/// Steps with a spinner on a terminal, and plain lines elsewhere. Clones share the line.
#[derive(Clone)]
pub struct Steps {
    bar: Option<ProgressBar>,
    is_quiet: bool,
}

impl Steps {
    pub fn new(is_quiet: bool) -> Self {
        let is_live = !is_quiet && std::io::stderr().is_terminal();
        let bar = is_live.then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        Steps { bar, is_quiet }
    }

    /// Shows what goes on now.
    pub fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Keeps a line about what is done.
    pub fn done(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("\u{2713} {what}")),
            None if self.is_quiet => {}
            None => eprintln!("{what}"),
        }
    }

    /// Takes the spinner away, so that other output can follow.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The terminal in raw mode: every key goes to whoever reads it. Gives it back when dropped.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// `None` where the input is no terminal.
    pub fn enter() -> Option<RawTerminal> {
        let stdin = std::io::stdin();
        let before = rustix::termios::tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(RawTerminal { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that has gone is nobody's.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Prints rows under their headings, columns as wide as needed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(headings.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}
