//! The caller's answer when a request is refused.

use std::borrow::Cow;
use std::fmt;

/// Whose fault it is: decides 4xx or 5xx where the model names no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    Caller,
    Server,
}

/// An error answer in AWS's terms. `code` is the model's error shape name (or the query code where
/// the API has only codes); the gateway finds status and wire form from the API's error table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: Cow<'static, str>,
    pub message: String,
    pub blame: Blame,
    /// Set only where the API's model has no entry for `code`.
    pub status: Option<u16>,
    /// Further members of the error shape, by wire name. Strings only: no error needs more yet.
    pub members: Vec<(&'static str, String)>,
}

impl Fault {
    pub fn caller(code: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Fault::new(code, message, Blame::Caller)
    }

    pub fn server(code: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Fault::new(code, message, Blame::Server)
    }

    fn new(code: impl Into<Cow<'static, str>>, message: impl fmt::Display, blame: Blame) -> Self {
        Fault { code: code.into(), message: message.to_string(), blame, status: None, members: Vec::new() }
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.members.push((name, value.into()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
