//! Making signatures.

use base::{Secret, Timestamp};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::canonical::{Signed, canonical_request};

/// What a client signs with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key: String,
    pub secret: Secret,
    pub token: Option<String>,
}

/// The headers to add to a request so that it is signed at `at` (wall time): `x-amz-date`, the token
/// if there is one, and `authorization`. Every header of the request is signed; `host` must be there.
pub fn sign(
    credentials: &Credentials,
    region: &str,
    service: &str,
    at: Timestamp,
    request: &Signed<'_>,
) -> Vec<(&'static str, String)> {
    let amz_date = amz_date(at);
    let mut added = vec![("x-amz-date", amz_date.clone())];
    if let Some(token) = &credentials.token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let mut headers = request.headers.clone();
    insert(&mut headers, &added);
    let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();

    let canonical = canonical_request(&Signed { headers: &headers, ..*request }, &names);
    let to_sign = string_to_sign(&amz_date, region, service, &canonical);
    let date = &amz_date[..8];
    let signature = signature(&credentials.secret, date, region, service, &to_sign);
    let scope = format!("{}/{date}/{region}/{service}/aws4_request", credentials.access_key);
    let signed_headers = names.join(";");
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed_headers}, Signature={signature}");
    added.push(("authorization", authorization));
    added
}

fn insert(headers: &mut HeaderMap, added: &[(&'static str, String)]) {
    for (name, value) in added {
        // A token that no header can carry is refused by the receiver, not here.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// `20261121T152745Z`
fn amz_date(at: Timestamp) -> String {
    let text = Timestamp::from_secs(at.as_secs()).iso8601();
    text.replace(".000Z", "Z").replace(['-', ':'], "")
}

/// The text that the derived key signs.
pub fn string_to_sign(amz_date: &str, region: &str, service: &str, canonical: &str) -> String {
    let date = amz_date.get(..8).unwrap_or_default();
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    format!("AWS4-HMAC-SHA256\n{amz_date}\n{date}/{region}/{service}/aws4_request\n{hash}")
}

/// The signature of `to_sign`, in hex.
pub fn signature(secret: &Secret, date: &str, region: &str, service: &str, to_sign: &str) -> String {
    let mut key = hmac(format!("AWS4{}", secret.expose()).as_bytes(), date.as_bytes());
    for part in [region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    hex::encode(hmac(&key, to_sign.as_bytes()))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    keyed.chain_update(message).finalize().into_bytes().into()
}
