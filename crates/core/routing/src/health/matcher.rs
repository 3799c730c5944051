//! Which codes pass a check.

use thiserror::Error;

use crate::table::Matcher;

/// The text names no codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MatcherError {
    #[error("not numbers or ranges of numbers with commas between them")]
    Malformed,
    #[error("a code is not within {0} to {1}")]
    OutOfRange(u16, u16),
}

impl Matcher {
    /// AWS: `HttpCode`: `200`, `200,202`, `200-299`; 200 to 499, and 200 to 599 is what newer
    /// documents say.
    pub fn http(text: &str) -> Result<Matcher, MatcherError> {
        ranges(text, 200, 599).map(Matcher::Http)
    }

    /// AWS: `GrpcCode`: `12`, `0,1`, `0-5`; 0 to 99.
    pub fn grpc(text: &str) -> Result<Matcher, MatcherError> {
        ranges(text, 0, 99).map(Matcher::Grpc)
    }

    /// Whether the code passes.
    pub fn has(&self, code: u16) -> bool {
        let (Matcher::Http(ranges) | Matcher::Grpc(ranges)) = self;
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

fn ranges(text: &str, least: u16, most: u16) -> Result<Vec<(u16, u16)>, MatcherError> {
    let code = |text: &str| {
        let is_number = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let code: u16 = text.parse().ok().filter(|_| is_number).ok_or(MatcherError::Malformed)?;
        let is_within = (least..=most).contains(&code);
        if is_within { Ok(code) } else { Err(MatcherError::OutOfRange(least, most)) }
    };
    text.split(',')
        .map(|part| match part.split_once('-') {
            None => code(part).map(|code| (code, code)),
            Some((first, last)) => match (code(first)?, code(last)?) {
                (first, last) if first <= last => Ok((first, last)),
                _ => Err(MatcherError::Malformed),
            },
        })
        .collect()
}
