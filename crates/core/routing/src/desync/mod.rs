//! What is wrong with a request's head, and what a mode of desync mitigation makes of it.
//!
//! Owns AWS's classes and reasons ("HTTP Desync Guardian", and the ALB guide's access log reasons).
//! Works over a head that is already split: see [`split`] for one that keeps every oddity, which is
//! what a parser that is quick and strict falls back to when it refuses a head.
//! Invariant: a head that says two things about where its body ends is never `Compliant` or
//! `Acceptable`.
//!
//! Deliberately ignores bodies and who sent it.

mod classify;
mod split;

pub use classify::classify;
pub use split::{Split, has_bare_line_feed, split};

use crate::table::Desync;

/// The request line in its three parts, as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// `HTTP/1.1`; empty where there was none.
    pub version: &'a [u8],
}

/// One header line as it came: the name is what stands before the first colon, spaces included; the
/// value is without the spaces and tabs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHeader<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// What only who split the head can have seen. All false for a head as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// A line ended with a line feed alone.
    pub bare_line_feed: bool,
    /// A header went on in a line that begins with a space or tab (`Content-Type` excepted).
    pub folded: bool,
    /// A line without a colon.
    pub missing_colon: bool,
    /// A line of spaces alone, or one that begins with its colon.
    pub empty_header: bool,
    /// The head ended within a line.
    pub partial_line: bool,
    /// The head ended without its empty line.
    pub missing_empty_line: bool,
}

/// AWS: how much a request is to be feared. Greater is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Compliant,
    Acceptable,
    Ambiguous,
    Severe,
}

impl Class {
    /// As in access logs.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Compliant => "Compliant",
            Class::Acceptable => "Acceptable",
            Class::Ambiguous => "Ambiguous",
            Class::Severe => "Severe",
        }
    }
}

/// AWS: why, as `classification_reason` of access logs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    NonCompliantHeader,
    SpaceInUri,
    NonCompliantVersion,
    GetHeadZeroContentLength,
    NonCrLfLineTermination,
    EmptyHeader,
    AmbiguousUri,
    UndefinedContentLengthSemantics,
    UndefinedTransferEncodingSemantics,
    DuplicateContentLength,
    BothTeClPresent,
    SuspiciousHeader,
    MultilineHeader,
    PartialHeaderLine,
    MissingLastEmptyLine,
    MissingHeaderColon,
    MissingUri,
    BadHeader,
    BadUri,
    BadVersion,
    MultipleContentLength,
    BadContentLength,
    MultipleTransferEncodingChunked,
    BadTransferEncoding,
    BadMethod,
}

impl Why {
    pub const fn class(self) -> Class {
        match self {
            Why::NonCompliantHeader
            | Why::SpaceInUri
            | Why::NonCompliantVersion
            | Why::GetHeadZeroContentLength
            | Why::NonCrLfLineTermination => Class::Acceptable,
            Why::EmptyHeader
            | Why::AmbiguousUri
            | Why::UndefinedContentLengthSemantics
            | Why::UndefinedTransferEncodingSemantics
            | Why::DuplicateContentLength
            | Why::BothTeClPresent
            | Why::SuspiciousHeader
            | Why::MultilineHeader
            | Why::PartialHeaderLine
            | Why::MissingLastEmptyLine
            | Why::MissingHeaderColon
            | Why::MissingUri => Class::Ambiguous,
            Why::BadHeader
            | Why::BadUri
            | Why::BadVersion
            | Why::MultipleContentLength
            | Why::BadContentLength
            | Why::MultipleTransferEncodingChunked
            | Why::BadTransferEncoding
            | Why::BadMethod => Class::Severe,
        }
    }

    /// As in access logs.
    pub const fn name(self) -> &'static str {
        match self {
            Why::NonCompliantHeader => "NonCompliantHeader",
            Why::SpaceInUri => "SpaceInUri",
            Why::NonCompliantVersion => "NonCompliantVersion",
            Why::GetHeadZeroContentLength => "GetHeadZeroContentLength",
            Why::NonCrLfLineTermination => "NonCrLfLineTermination",
            Why::EmptyHeader => "EmptyHeader",
            Why::AmbiguousUri => "AmbiguousUri",
            Why::UndefinedContentLengthSemantics => "UndefinedContentLengthSemantics",
            Why::UndefinedTransferEncodingSemantics => "UndefinedTransferEncodingSemantics",
            Why::DuplicateContentLength => "DuplicateContentLength",
            Why::BothTeClPresent => "BothTeClPresent",
            Why::SuspiciousHeader => "SuspiciousHeader",
            Why::MultilineHeader => "MultilineHeader",
            Why::PartialHeaderLine => "PartialHeaderLine",
            Why::MissingLastEmptyLine => "MissingLastEmptyLine",
            Why::MissingHeaderColon => "MissingHeaderColon",
            Why::MissingUri => "MissingUri",
            Why::BadHeader => "BadHeader",
            Why::BadUri => "BadUri",
            Why::BadVersion => "BadVersion",
            Why::MultipleContentLength => "MultipleContentLength",
            Why::BadContentLength => "BadContentLength",
            Why::MultipleTransferEncodingChunked => "MultipleTransferEncodingChunked",
            Why::BadTransferEncoding => "BadTransferEncoding",
            Why::BadMethod => "BadMethod",
        }
    }
}

/// The worst that was found; `None`: a compliant request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    pub why: Option<Why>,
    pub body: Body,
}

impl Verdict {
    pub fn class(&self) -> Class {
        self.why.map_or(Class::Compliant, Why::class)
    }
}

/// Where the request's body ends, as its headers say it. For a `Severe` request it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    #[default]
    None,
    Length(u64),
    /// Wins over a length, as RFC 9112 has it; the length must not be passed on.
    Chunked,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    Allow,
    /// Serve it over a target connection of its own, then close both connections.
    AllowAndClose,
    /// An answer with [`refusal`]'s status, then close.
    Refuse,
}

/// AWS: "Desync mitigation mode" in the ALB guide. Monitor lets everything through that has one
/// reading; the classes are counted all the same.
///
/// AWS lets severe requests through in monitor mode. We refuse them in every mode: of these nobody
/// can say where the body ends, or they have no form in which they can be passed on as one request.
pub fn treatment(mode: Desync, verdict: Verdict) -> Treatment {
    match (verdict.class(), mode) {
        (Class::Compliant, _) => Treatment::Allow,
        (Class::Acceptable, Desync::Monitor | Desync::Defensive) => Treatment::Allow,
        (Class::Ambiguous, Desync::Monitor) => Treatment::Allow,
        (Class::Ambiguous, Desync::Defensive) => Treatment::AllowAndClose,
        (Class::Acceptable | Class::Ambiguous, Desync::Strictest) | (Class::Severe, _) => Treatment::Refuse,
    }
}

/// The status that a refused request is answered with. `codings` are the values of its
/// `Transfer-Encoding` headers.
///
/// AWS: 501 for a `Transfer-Encoding` other than `chunked` and `identity`; 400 for all else, and so
/// for one that is no coding's name but looks like one.
pub fn refusal<'a>(verdict: Verdict, codings: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    if verdict.why != Some(Why::BadTransferEncoding) {
        return 400;
    }
    if classify::is_unsupported_coding(codings) { 501 } else { 400 }
}
