//! Registry passwords: who may push and pull, proved by a keyed hash, so that nothing is stored.

use std::time::Duration;

use base::{AccountId, Region, Secret, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::state::Registry;

/// AWS: an authorization token is valid for 12 hours.
pub const VALID_FOR: Duration = Duration::from_secs(12 * 3600);
/// AWS: a download URL is valid for an hour.
pub const TICKET_FOR: Duration = Duration::from_secs(3600);

/// Issues and checks passwords and download tickets. The key is the data directory's own secret.
#[derive(Debug, Clone)]
pub struct Tokens {
    key: Secret,
}

impl Tokens {
    pub fn new(key: Secret) -> Self {
        Tokens { key }
    }

    /// What `GetAuthorizationToken` answers: `base64("AWS:" + password)`.
    pub fn authorization(&self, registry: &Registry, expires_at: Timestamp) -> String {
        STANDARD.encode(format!("AWS:{}", self.password(registry, expires_at)))
    }

    fn password(&self, registry: &Registry, expires_at: Timestamp) -> String {
        let claim = format!("{}|{}|{}", registry.account, registry.region, expires_at.as_secs());
        let seal = self.seal(&claim);
        URL_SAFE_NO_PAD.encode(format!("{claim}|{seal}"))
    }

    /// Whose registry a password opens. `None` if it is not ours or no longer valid.
    pub fn check(&self, password: &str, now: Timestamp) -> Option<Registry> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(password.trim()).ok()?).ok()?;
        let (claim, seal) = text.rsplit_once('|')?;
        if !Secret::new(self.seal(claim)).matches(seal) {
            return None;
        }
        let mut parts = claim.splitn(3, '|');
        let account = AccountId::parse(parts.next()?)?.to_string();
        let region = Region::parse(parts.next()?)?.to_string();
        let expires_at = Timestamp::from_secs(parts.next()?.parse().ok()?);
        (now < expires_at).then_some(Registry { account, region })
    }

    /// Lets its bearer read one layer: what `GetDownloadUrlForLayer` puts into the URL.
    pub fn ticket(
        &self,
        registry: &Registry,
        repository: &str,
        digest: &str,
        expires_at: Timestamp,
    ) -> String {
        let claim = format!("{}|{}|{}", registry.account, registry.region, expires_at.as_secs());
        let seal = self.seal(&format!("{claim}|{repository}|{digest}"));
        URL_SAFE_NO_PAD.encode(format!("{claim}|{seal}"))
    }

    /// Whose registry a ticket for this layer opens.
    pub fn check_ticket(
        &self,
        ticket: &str,
        repository: &str,
        digest: &str,
        now: Timestamp,
    ) -> Option<Registry> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(ticket).ok()?).ok()?;
        let (claim, seal) = text.rsplit_once('|')?;
        if !Secret::new(self.seal(&format!("{claim}|{repository}|{digest}"))).matches(seal) {
            return None;
        }
        let mut parts = claim.splitn(3, '|');
        let (account, region) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let expires_at = Timestamp::from_secs(parts.next()?.parse().ok()?);
        (now < expires_at).then_some(Registry { account, region })
    }

    /// HMAC-SHA256 of `claim`, in hexadecimal.
    fn seal(&self, claim: &str) -> String {
        let keyed = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes());
        let keyed = keyed.expect("HMAC takes keys of any length");
        hex::encode(keyed.chain_update(claim.as_bytes()).finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use base::{Secret, Timestamp};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{Tokens, VALID_FOR};
    use crate::state::Registry;

    #[test]
    fn a_password_opens_its_registry_until_it_expires() {
        let tokens = Tokens::new(Secret::new("k"));
        let registry = Registry { account: "000000000000".into(), region: "eu-west-1".into() };
        let now = Timestamp::from_secs(1_000_000);
        let decoded = STANDARD.decode(tokens.authorization(&registry, now + VALID_FOR)).unwrap();
        let text = String::from_utf8(decoded).unwrap();
        let password = text.strip_prefix("AWS:").unwrap();
        assert_eq!(tokens.check(password, now), Some(registry.clone()));
        assert_eq!(tokens.check(password, now + VALID_FOR), None);
        assert_eq!(Tokens::new(Secret::new("other")).check(password, now), None);
        assert_eq!(tokens.check("AWS", now), None);
        assert_eq!(tokens.check("", now), None);
    }

    #[test]
    fn a_ticket_opens_one_layer() {
        let tokens = Tokens::new(Secret::new("k"));
        let registry = Registry { account: "000000000000".into(), region: "eu-west-1".into() };
        let later = Timestamp::from_secs(2_000_000);
        let ticket = tokens.ticket(&registry, "web", "sha256:1", later);
        assert_eq!(tokens.check_ticket(&ticket, "web", "sha256:1", Timestamp::EPOCH), Some(registry));
        assert_eq!(tokens.check_ticket(&ticket, "web", "sha256:2", Timestamp::EPOCH), None);
        assert_eq!(tokens.check_ticket(&ticket, "web", "sha256:1", later), None);
    }
}
