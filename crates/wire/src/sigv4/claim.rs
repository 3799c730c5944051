//! What a request says about who signed it.

use base::{Secret, Timestamp};
use http::HeaderMap;

use super::canonical::{Signed, canonical_request};
use super::sign::{signature, string_to_sign};
use crate::query::value as form_value;

/// The parsed signature of a request. Nothing in it is proven until [`Claim::holds`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub access_key: String,
    /// Of the credential's scope: `20261121`.
    pub date: String,
    pub region: String,
    pub service: String,
    /// In lower case, in the order of the claim.
    pub signed_headers: Vec<String>,
    /// In hex.
    pub signature: String,
    /// Of temporary credentials.
    pub token: Option<String>,
    /// `X-Amz-Date` as it was sent: `20261121T152745Z`.
    pub amz_date: String,
    pub carrier: Carrier,
}

/// Where the signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Header,
    /// A presigned request, good for that many seconds.
    Query {
        expires_secs: u32,
    },
}

/// A signature that cannot be read. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("Unsupported AWS 'algorithm': '{0}'")]
    Algorithm(String),
    /// AWS: the sentence of its front doors.
    #[error("Authorization header requires '{0}' parameter.")]
    Missing(&'static str),
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{0}'"
    )]
    Credential(String),
    #[error("X-Amz-Date is missing or not of the form 20261121T152745Z")]
    Date,
    #[error("X-Amz-Expires is not a number of seconds up to 604800")]
    Expires,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Seven days, in seconds: the longest a presigned request may live.
const LONGEST: u32 = 604_800;

impl Claim {
    /// The claim of a request; `None` if it is not signed, or not with this version.
    pub fn parse(headers: &HeaderMap, query: &str) -> Result<Option<Claim>, ClaimError> {
        if let Some(header) = text(headers, "authorization") {
            // Other schemes, such as the registry's Basic, are no claim at all.
            return if header.starts_with("AWS4-") {
                Claim::of_header(&header, headers).map(Some)
            } else {
                Ok(None)
            };
        }
        if query.contains("X-Amz-Algorithm=") {
            return Claim::of_query(query).map(Some);
        }
        Ok(None)
    }

    fn of_header(header: &str, headers: &HeaderMap) -> Result<Claim, ClaimError> {
        let (algorithm, parameters) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(ClaimError::Algorithm(algorithm.to_owned()));
        }
        let find = |name: &'static str| {
            let mut parts = parameters.split(',').map(str::trim);
            let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned).ok_or(ClaimError::Missing(name))
        };
        let amz_date =
            text(headers, "x-amz-date").filter(|date| time(date).is_some()).ok_or(ClaimError::Date);
        Claim::assemble(
            &find("Credential")?,
            &find("SignedHeaders")?,
            find("Signature")?,
            text(headers, "x-amz-security-token"),
            amz_date?,
            Carrier::Header,
        )
    }

    fn of_query(query: &str) -> Result<Claim, ClaimError> {
        let find = |name: &str| form_value(query.as_bytes(), name);
        let algorithm = find("X-Amz-Algorithm").unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(ClaimError::Algorithm(algorithm));
        }
        let expires =
            find("X-Amz-Expires").and_then(|text| text.parse().ok()).filter(|secs| *secs <= LONGEST);
        let amz_date = find("X-Amz-Date").filter(|date| time(date).is_some());
        Claim::assemble(
            &find("X-Amz-Credential").ok_or(ClaimError::Missing("Credential"))?,
            &find("X-Amz-SignedHeaders").ok_or(ClaimError::Missing("SignedHeaders"))?,
            find("X-Amz-Signature").ok_or(ClaimError::Missing("Signature"))?,
            find("X-Amz-Security-Token"),
            amz_date.ok_or(ClaimError::Date)?,
            Carrier::Query { expires_secs: expires.ok_or(ClaimError::Expires)? },
        )
    }

    fn assemble(
        credential: &str,
        signed_headers: &str,
        signature: String,
        token: Option<String>,
        amz_date: String,
        carrier: Carrier,
    ) -> Result<Claim, ClaimError> {
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = parts[..] else {
            return Err(ClaimError::Credential(credential.chars().take(200).collect()));
        };
        Ok(Claim {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.split(';').map(str::to_lowercase).collect(),
            signature,
            token,
            amz_date,
            carrier,
        })
    }

    /// When the request was signed, as its sender says.
    pub fn signed_at(&self) -> Timestamp {
        time(&self.amz_date).unwrap_or(Timestamp::EPOCH)
    }

    /// Whether `secret` made this signature for this request. Takes the same time for every wrong
    /// signature of the right length.
    pub fn holds(&self, secret: &Secret, request: &Signed<'_>) -> bool {
        // The scope's day is the day of the signature, and the host is always signed.
        let is_of_day = self.amz_date.starts_with(&self.date);
        let has_host = self.signed_headers.iter().any(|name| name == "host");
        let canonical = canonical_request(request, &self.signed_headers);
        let to_sign = string_to_sign(&self.amz_date, &self.region, &self.service, &canonical);
        let expected = signature(secret, &self.date, &self.region, &self.service, &to_sign);
        is_of_day && has_host && is_equal(expected.as_bytes(), self.signature.as_bytes())
    }
}

fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `20261121T152745Z`
fn time(amz_date: &str) -> Option<Timestamp> {
    let part = |range| amz_date.get(range);
    let is_form = amz_date.len() == 16 && part(8..9) == Some("T") && amz_date.ends_with('Z');
    let (day, clock) = (part(0..8)?, part(9..15)?);
    if !is_form || !day.bytes().chain(clock.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &day[..4],
        &day[4..6],
        &day[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    Timestamp::parse(&text)
}
