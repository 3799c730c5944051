//! What people see while they wait.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

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

    /// Shows `bars` now on a terminal; elsewhere keeps `line`.
    pub fn look(&self, bars: &str, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(bars.to_owned()),
            None => self.done(line),
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

/// The terminal without line editing and echo: a key is there once it is pressed. Ctrl-C and the
/// like stay signals; whoever takes this waits for them, so that the terminal is given back.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// `None` where the input is no terminal.
    pub fn listen() -> Option<Keys> {
        let stdin = std::io::stdin();
        let before = rustix::termios::tcgetattr(&stdin).ok()?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read takes what is there, and does not wait.
        keys.special_codes[SpecialCodeIndex::VMIN] = 0;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(&stdin, OptionalActions::Now, &keys).ok()?;
        Some(Keys { before })
    }

    /// The next key, if one was pressed.
    pub fn pressed(&self) -> Option<u8> {
        let mut key = [0];
        matches!(rustix::io::read(std::io::stdin(), &mut key), Ok(1)).then_some(key[0])
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that has gone is nobody's.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Lines that the output's terminal shows.
pub fn height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Prints rows under their headings, columns as wide as needed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    print!("{}", table_text(headings, rows));
}

/// Rows under their headings, columns as wide as needed.
pub fn table_text(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| shown(cell));
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let rest = width.saturating_sub(shown(cell));
            format!("{cell}{}", " ".repeat(rest))
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    };
    line(headings.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

/// Characters that take room: a color's escape does not.
fn shown(cell: &str) -> usize {
    let mut count = 0;
    let mut is_escape = false;
    for letter in cell.chars() {
        match (is_escape, letter) {
            (false, '\x1b') => is_escape = true,
            (false, _) => count += 1,
            (true, letter) => is_escape = !letter.is_ascii_alphabetic(),
        }
    }
    count
}

/// A color, where the output is a terminal and nobody asked for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Good,
    Bad,
    Pending,
    Faint,
    /// One of several that tell containers apart.
    Of(usize),
}

/// `text` in a color, or as it is.
pub fn paint(text: &str, color: Color) -> String {
    // https://no-color.org
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    let code = match color {
        Color::Good => 32,
        Color::Bad => 31,
        Color::Pending => 33,
        Color::Faint => 2,
        Color::Of(nth) => [36, 35, 34, 33, 32, 96][nth % 6],
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
