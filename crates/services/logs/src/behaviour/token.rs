//! Where a page of events ends, as text that clients hand back.

use base::Fault;
use journal::Position;

use crate::faults;

/// `f/…/s` reads on behind a position, `b/…/s` before it; 56 digits say which, as in AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Forward(Position),
    Backward(Position),
}

impl Turn {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let inner = |prefix| text.strip_prefix(prefix).and_then(|rest: &str| rest.strip_suffix("/s"));
        match (inner("f/"), inner("b/")) {
            (Some(digits), _) => position(digits).map(Turn::Forward),
            (_, Some(digits)) => position(digits).map(Turn::Backward),
            _ => None,
        }
        .ok_or_else(faults::bad_token)
    }

    pub fn text(self) -> String {
        let (letter, Position { timestamp_ms, seq }) = match self {
            Turn::Forward(position) => ('f', position),
            Turn::Backward(position) => ('b', position),
        };
        // One up, so that the place before all events has digits too.
        let time = timestamp_ms.clamp(-1, i64::MAX - 1) + 1;
        format!("{letter}/{time:020}{seq:036}/s")
    }
}

fn position(digits: &str) -> Option<Position> {
    if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time: i64 = digits[..20].parse().ok()?;
    Some(Position { timestamp_ms: time - 1, seq: digits[20..].parse().ok()? })
}

/// The position just behind `position`, so that what excludes it includes `position` itself.
pub(crate) fn behind(position: Position) -> Position {
    Position { seq: position.seq.saturating_add(1), ..position }
}

/// The position just before `position`.
pub(crate) fn before(position: Position) -> Position {
    match position.seq.checked_sub(1) {
        Some(seq) => Position { seq, ..position },
        None => Position { timestamp_ms: position.timestamp_ms.saturating_sub(1), seq: u64::MAX },
    }
}

/// Where a search over several streams goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub is_backward: bool,
    pub timestamp_ms: i64,
    /// Among events of the same time, streams come in the order of their ids.
    pub stream: String,
    pub seq: u64,
}

impl Bookmark {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::read(text).ok_or_else(faults::bad_token)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let is_backward = match parts.next()? {
            "F" => false,
            "B" => true,
            _ => return None,
        };
        let timestamp_ms = parts.next()?.parse().ok()?;
        let stream = parts.next()?.to_owned();
        let seq = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Bookmark { is_backward, timestamp_ms, stream, seq })
    }

    pub fn text(&self) -> String {
        let letter = if self.is_backward { 'B' } else { 'F' };
        format!("{letter}/{}/{}/{}", self.timestamp_ms, self.stream, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use journal::Position;

    use super::{Bookmark, Turn, before, behind};

    #[test]
    fn tokens_come_back_as_they_went() {
        let position = Position { timestamp_ms: 1_700_000_000_123, seq: 42 };
        for turn in [Turn::Forward(position), Turn::Backward(position)] {
            assert_eq!(Turn::parse(&turn.text()).unwrap(), turn);
            assert_eq!(turn.text().len(), 56 + 4);
        }
        let start = Turn::Forward(Position::START).text();
        assert_eq!(start, format!("f/{}/s", "0".repeat(56)));
        let bookmark = Bookmark { is_backward: true, timestamp_ms: 5, stream: "ab".into(), seq: 9 };
        assert_eq!(Bookmark::parse(&bookmark.text()).unwrap(), bookmark);
        assert!(before(position) < position && position < behind(position));
        assert!(before(Position { seq: 0, ..position }) < position);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in [
            "",
            "f/",
            "f/12/s",
            "x/1/s",
            &format!("f/{}/s", "9".repeat(56)),
            &format!("f/{}x/s", "0".repeat(55)),
        ] {
            assert!(Turn::parse(text).is_err(), "{text}");
        }
        for text in ["", "F", "F/x/a/1", "F/1/a/1/2", "G/1/a/1"] {
            assert!(Bookmark::parse(text).is_err(), "{text}");
        }
    }
}
