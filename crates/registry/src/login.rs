//! Whose registry a request may use.

use base::{AccountId, Region, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use hyper::StatusCode;
use service_ecr::{Registry, Tokens};

use crate::answer::Refusal;

/// The registry that the request's password opens. A host that names another one is refused.
pub fn registry(tokens: &Tokens, headers: &HeaderMap, now: Timestamp) -> Result<Registry, Refusal> {
    let password = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic);
    let Some(password) = password else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Not Authorized"));
    };
    let Some(registry) = tokens.check(&password, now) else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "DENIED",
            "Your authorization token is not valid or has expired. Reauthenticate and try again.",
        ));
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(named);
    match host {
        Some(named) if named != registry => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "DENIED",
            format_args!(
                "The password is for registry {} in {}, not for {} in {}.",
                registry.account, registry.region, named.account, named.region
            ),
        )),
        _ => Ok(registry),
    }
}

/// The password of `Basic base64("AWS:password")`. AWS: the user is always `AWS`.
fn basic(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (user == "AWS").then(|| password.to_owned())
}

/// `<account>.dkr.ecr.<region>.localhost:4566`, or the same under amazonaws.com.
fn named(host: &str) -> Option<Registry> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let (account, rest) = name.split_once(".dkr.ecr.")?;
    let (region, _) = rest.split_once('.')?;
    let (account, region) = (AccountId::parse(account)?, Region::parse(region)?);
    Some(Registry { account: account.to_string(), region: region.to_string() })
}
