//! `[ip, user, ..., status = 4* && status != 403, bytes > 1000]` over fields between spaces.

use super::Unreadable;
use super::value::{Operator, Wanted};

#[derive(Debug, Clone)]
pub(crate) struct Fields {
    before: Vec<Field>,
    /// The fields behind `...`; `None` without one.
    behind: Option<Vec<Field>>,
}

/// Any of these, each of which wants all of its comparisons; nothing at all wants nothing.
type Field = Vec<Vec<(Operator, Wanted)>>;

impl Fields {
    pub fn matches(&self, message: &str) -> bool {
        let found = split(message);
        let behind = self.behind.as_deref().unwrap_or_default();
        let wanted = self.before.len() + behind.len();
        let has_count = match self.behind {
            None => found.len() == wanted,
            Some(_) => found.len() >= wanted,
        };
        has_count
            && self.before.iter().zip(&found).all(|(field, text)| holds(field, text))
            && behind.iter().zip(&found[found.len() - behind.len()..]).all(|(field, text)| holds(field, text))
    }
}

fn holds(field: &Field, text: &str) -> bool {
    let all = |tests: &Vec<(Operator, Wanted)>| {
        tests.iter().all(|(operator, wanted)| wanted.holds(*operator, text))
    };
    field.is_empty() || field.iter().any(all)
}

/// AWS: what stands between brackets or quotation marks is one field.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        let enclosed = closing.and_then(|closing| rest[1..].split_once(closing));
        let (field, behind) = match enclosed {
            Some(parts) => parts,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        fields.push(field);
        rest = behind.trim_start();
    }
    fields
}

pub(super) fn parse(text: &str) -> Result<Fields, Unreadable> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.ok_or_else(|| Unreadable::at("']' is missing"))?;
    let mut fields = Fields { before: Vec::new(), behind: None };
    let mut rest = inner.trim();
    loop {
        if let Some(behind) = rest.strip_prefix("...") {
            if fields.behind.replace(Vec::new()).is_some() {
                return Err(Unreadable::at("'...' stands twice"));
            }
            rest = behind.trim_start();
        } else {
            let (field, behind) = field(rest)?;
            fields.behind.as_mut().unwrap_or(&mut fields.before).push(field);
            rest = behind;
        }
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.is_empty() => return Ok(fields),
            None => return Err(Unreadable::at(format_args!("unexpected '{rest}'"))),
        }
    }
}

/// One field's name and comparisons, up to the comma or the end.
fn field(text: &str) -> Result<(Field, &str), Unreadable> {
    let mut rest = name(text);
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((Field::new(), rest));
    }
    let mut field = vec![Vec::new()];
    loop {
        let (operator, behind) =
            Operator::split(rest).ok_or_else(|| Unreadable::at(format_args!("unexpected '{rest}'")))?;
        let (wanted, behind) = Wanted::split(behind.trim_start(), &[',', '&', '|'])?;
        if let Some(tests) = field.last_mut() {
            tests.push((operator, wanted));
        }
        rest = behind.trim_start();
        if let Some(behind) = rest.strip_prefix("&&") {
            rest = name(behind.trim_start());
        } else if let Some(behind) = rest.strip_prefix("||") {
            field.push(Vec::new());
            rest = name(behind.trim_start());
        } else {
            return Ok((field, rest));
        }
    }
}

/// What follows a field's name, which says nothing to us.
fn name(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.')).trim_start()
}
