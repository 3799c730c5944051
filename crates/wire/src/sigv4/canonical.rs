//! The one text of a request that both sides hash.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::query::encode_component;

/// The request as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub method: &'a str,
    /// Still percent-encoded.
    pub path: &'a str,
    /// Without its `?`.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// Hex SHA-256 of the body, or one of the `UNSIGNED-PAYLOAD` words.
    pub payload_hash: &'a str,
    /// AWS: every service but S3 resolves `.` and `..`, and encodes the path once more.
    pub is_path_normalized: bool,
}

/// Hex SHA-256 of a body.
pub fn payload_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The canonical request over `signed_headers`, names in lower case and sorted. A presigned query's
/// own signature is left out.
pub fn canonical_request(request: &Signed<'_>, signed_headers: &[String]) -> String {
    let mut text = format!("{}\n{}\n{}\n", request.method, path(request), query(request.query));
    for name in signed_headers {
        let values: Vec<String> =
            request.headers.get_all(name).iter().map(|value| tidy(value.as_bytes())).collect();
        text.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    text.push_str(&format!("\n{}\n{}", signed_headers.join(";"), request.payload_hash));
    text
}

fn path(request: &Signed<'_>) -> String {
    let path = if request.path.is_empty() { "/" } else { request.path };
    if !request.is_path_normalized {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let encoded: Vec<String> = kept.iter().map(|part| encode_component(part)).collect();
    let slash = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", encoded.join("/"))
}

/// Parameters sorted by their encoded names, then values.
fn query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (recode(name), recode(value))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Encodes what the client left bare, and leaves what it encoded.
fn recode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&encode_component(&rest[..at]));
        match rest.get(at..at + 3).filter(|escape| escape[1..].bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            Some(escape) => {
                out.push_str(&escape.to_uppercase());
                rest = &rest[at + 3..];
            }
            None => {
                out.push_str("%25");
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(&encode_component(rest));
    out
}

/// A header's value with its runs of spaces made one.
fn tidy(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let words: Vec<&str> = text.split([' ', '\t', '\n']).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
