//! What is derived from the data directory's secret: secrets and tokens of sessions, and the mark
//! by which a key is known as ours when its record is gone.

use base::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::state::Session;

#[derive(Clone)]
pub(crate) struct Seal {
    key: Secret,
}

impl Seal {
    pub fn new(key: Secret) -> Self {
        Seal { key }
    }

    /// 40 characters, as AWS's have.
    pub fn secret_key(&self, session: &Session) -> Secret {
        Secret::new(STANDARD.encode(&self.of("secret", &session.claim())[..30]))
    }

    /// Opaque to its bearer.
    pub fn token(&self, session: &Session) -> Secret {
        let claim = session.claim();
        let both = [self.of("token", &claim), self.of("token again", &claim)].concat();
        Secret::new(STANDARD.encode(&both[..63]))
    }

    /// 20 bits over the rest of an access key.
    pub fn mark(&self, rest: u64) -> u32 {
        let sealed = self.of("key", &rest.to_string());
        u32::from_be_bytes([0, sealed[0], sealed[1], sealed[2]]) & 0xf_ffff
    }

    fn of(&self, purpose: &str, claim: &str) -> [u8; 32] {
        let keyed = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes());
        let keyed = keyed.expect("HMAC takes keys of any length");
        keyed.chain_update(format!("sts\n{purpose}\n{claim}")).finalize().into_bytes().into()
    }
}
