//! Challenges, and how they are met.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Credentials;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    /// The first of a `WWW-Authenticate` header that we can meet.
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest)?;
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }

    /// Where to get a token for pulling from `repository`; None for basic authentication.
    pub fn token_url(&self, repository: &str) -> Option<String> {
        let Challenge::Bearer { realm, service, scope } = self else { return None };
        let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
        let separator = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{separator}scope={}", encoded(&scope));
        if let Some(service) = service {
            url = format!("{url}&service={}", encoded(service));
        }
        Some(url)
    }
}

/// The value of an `Authorization` header.
pub(super) fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password.expose());
    format!("Basic {}", STANDARD.encode(pair))
}

/// The token in a token server's answer.
pub(super) fn token(body: &[u8]) -> Option<String> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    answer.token.or(answer.access_token).filter(|token| !token.is_empty())
}

/// `key="value", key=value`, quoted pairs undone.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && found.len() < 16 {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                after.split_once(',').map_or((after.trim().to_owned(), ""), |(v, r)| (v.trim().to_owned(), r))
            }
        };
        found.push((key.trim().to_owned(), value));
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    Some(found)
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn encoded(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/,".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let url = Challenge::parse(header).unwrap().token_url("x").unwrap();
        assert_eq!(
            url,
            "https://auth.docker.io/token?scope=repository:a/b:pull,push&service=registry.docker.io"
        );
        let bare = Challenge::parse("bearer realm=http://h/t").unwrap();
        assert_eq!(bare.token_url("x/y").unwrap(), "http://h/t?scope=repository:x/y:pull");
        assert_eq!(Challenge::parse(r#"Basic realm="x""#), Some(Challenge::Basic));
        for text in ["", "Digest x", "Bearer", "Bearer realm", "Bearer realm=\"x", "Bearer service=x"] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}
