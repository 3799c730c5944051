//! Transforms: what a rule makes of host and URL before the request goes on.
//!
//! AWS: "Transforms for listener rules". An expression that finds nothing changes nothing; one whose
//! outcome is no host or URL is answered 500.

use regex::bytes::{Captures, Regex};
use thiserror::Error;

use super::RouterError;
use super::text::{Case, regex};
use crate::limits::REQUEST_LINE_BYTES;
use crate::table::{Rewrite, RewriteKind};

#[derive(Debug, Clone)]
pub(crate) struct CompiledRewrite {
    kind: RewriteKind,
    regex: Regex,
    replace: Box<[Part]>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Box<[u8]>),
    Group(usize),
}

/// What a rule made of a request; `None`: as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub host: Option<Vec<u8>>,
    /// Path and query.
    pub target: Option<Vec<u8>>,
}

/// The outcome cannot be sent: 500, and `TransformFailed` in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RewriteError {
    #[error("the rewritten host is no host")]
    Host,
    #[error("the rewritten URL is no path with a query, or too long")]
    Url,
}

impl CompiledRewrite {
    pub(crate) fn compile(rewrite: &Rewrite) -> Result<Self, RouterError> {
        let case = match rewrite.kind {
            RewriteKind::Host => Case::Ignored,
            RewriteKind::Url => Case::Matters,
        };
        Ok(CompiledRewrite {
            kind: rewrite.kind,
            regex: regex(&rewrite.regex, case)?,
            replace: parts(&rewrite.replace),
        })
    }

    /// `host` as it came, `target` as path and query.
    pub(crate) fn apply(&self, host: &[u8], target: &[u8], into: &mut Rewritten) -> Result<(), RewriteError> {
        match self.kind {
            RewriteKind::Host => {
                let host = into.host.as_deref().unwrap_or(host);
                let Some(changed) = self.replaced(host) else { return Ok(()) };
                let is_host = !changed.is_empty()
                    && changed.len() <= 255
                    && changed.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(b));
                into.host = Some(if is_host { changed } else { return Err(RewriteError::Host) });
            }
            RewriteKind::Url => {
                let target = into.target.as_deref().unwrap_or(target);
                let Some(changed) = self.replaced(target) else { return Ok(()) };
                let is_target = changed.first() == Some(&b'/')
                    && changed.len() <= REQUEST_LINE_BYTES
                    && changed.iter().all(|byte| (0x21..0x7f).contains(byte) || *byte >= 0x80);
                into.target = Some(if is_target { changed } else { return Err(RewriteError::Url) });
            }
        }
        Ok(())
    }

    /// The text with the first place that fits replaced.
    fn replaced(&self, text: &[u8]) -> Option<Vec<u8>> {
        let found: Captures<'_> = self.regex.captures(text)?;
        let whole = found.get(0)?;
        let mut changed = Vec::with_capacity(text.len() + 32);
        changed.extend_from_slice(&text[..whole.start()]);
        for part in &self.replace {
            match part {
                Part::Text(text) => changed.extend_from_slice(text),
                Part::Group(group) => {
                    changed.extend_from_slice(found.get(*group).map_or(b"", |group| group.as_bytes()));
                }
            }
        }
        changed.extend_from_slice(&text[whole.end()..]);
        Some(changed)
    }
}

/// `$1` to `$9`, `$0` for all of it; any other `$` stands for itself.
fn parts(text: &str) -> Box<[Part]> {
    let bytes = text.as_bytes();
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'$', Some(digit @ b'0'..=b'9')) => {
                if from < at {
                    parts.push(Part::Text(bytes[from..at].into()));
                }
                parts.push(Part::Group(usize::from(digit - b'0')));
                at += 2;
                from = at;
            }
            _ => at += 1,
        }
    }
    if from < bytes.len() {
        parts.push(Part::Text(bytes[from..].into()));
    }
    parts.into()
}
