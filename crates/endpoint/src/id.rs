//! Ids that only their task knows.

use base::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Derives ids from the data directory's secret: what a container was told stays true after a
/// restart, and nothing needs to be kept.
pub(crate) struct Ids {
    secret: Secret,
}

impl Ids {
    pub fn new(secret: Secret) -> Self {
        Ids { secret }
    }

    /// Of a container.
    pub fn container(&self, task_arn: &str, container: &str) -> String {
        self.derive("container", task_arn, container)
    }

    /// Of the credentials of a task's role.
    pub fn credentials(&self, task_arn: &str) -> String {
        self.derive("credentials", task_arn, "")
    }

    /// 128 bits in the form of a UUID.
    fn derive(&self, purpose: &str, task_arn: &str, name: &str) -> String {
        let keyed = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes());
        let keyed = keyed.expect("HMAC takes keys of any length");
        // No part has a line break: two different triples are two different texts.
        let text = format!("endpoint\n{purpose}\n{task_arn}\n{name}");
        let sealed = keyed.chain_update(text.as_bytes()).finalize().into_bytes();
        let digits = hex::encode(&sealed[..16]);
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }
}

#[cfg(test)]
mod tests {
    use base::Secret;

    use super::Ids;

    #[test]
    fn an_id_is_of_one_thing_and_one_secret() {
        let ids = Ids::new(Secret::new("s"));
        let id = ids.container("arn:task/a", "web");
        assert_eq!(id, Ids::new(Secret::new("s")).container("arn:task/a", "web"));
        assert_eq!((id.len(), id.split('-').count()), (36, 5), "{id}");
        for other in [
            ids.container("arn:task/a", "db"),
            ids.container("arn:task/b", "web"),
            ids.credentials("arn:task/a"),
            Ids::new(Secret::new("t")).container("arn:task/a", "web"),
        ] {
            assert_ne!(id, other);
        }
    }
}
