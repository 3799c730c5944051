//! Private keys at rest.
//!
//! AES-256-GCM under a key that HKDF derives from the server's secret file. The nonce is derived
//! from what is sealed (a keyed hash of label and text), so sealing needs no chance: equal texts
//! under one label give equal seals, and different ones never share a nonce but by an accident of
//! one in 2^48.

use base::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

/// Grows if the way of sealing ever changes.
const VERSION: &str = "v1:";

/// Seals and opens what must not lie on disk in clear.
pub struct Seal {
    cipher: LessSafeKey,
    nonces: hmac::Key,
}

impl Seal {
    /// The seal of a server with this secret: what one sealed, another with the same secret opens.
    pub fn new(secret: &Secret) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"boxship seal");
        let extracted = salt.extract(secret.expose().as_bytes());
        let expand = "HKDF gives as many bytes as one key has";
        let cipher = extracted.expand(&[b"cipher"], &AES_256_GCM).expect(expand);
        let nonces = extracted.expand(&[b"nonces"], hmac::HMAC_SHA256).expect(expand);
        Seal { cipher: LessSafeKey::new(UnboundKey::from(cipher)), nonces: hmac::Key::from(nonces) }
    }

    /// `text` in a form that only this seal opens, and only under the same `label`: what it is and
    /// whose, so that a sealed key cannot be moved from one record to another.
    pub fn seal(&self, label: &str, text: &Secret) -> String {
        let mut tag = hmac::Context::with_key(&self.nonces);
        tag.update(&(label.len() as u64).to_be_bytes());
        tag.update(label.as_bytes());
        tag.update(text.expose().as_bytes());
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&tag.sign().as_ref()[..NONCE_LEN]);
        let mut sealed = text.expose().as_bytes().to_vec();
        let aad = Aad::from(label.as_bytes());
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .expect("a key is far shorter than AES-GCM's limit");
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        format!("{VERSION}{}", STANDARD.encode(whole))
    }

    /// What was sealed under `label`; `None` if this is not a seal of ours, or of another label.
    pub fn open(&self, label: &str, sealed: &str) -> Option<Secret> {
        let whole = STANDARD.decode(sealed.strip_prefix(VERSION)?).ok()?;
        let (nonce, body) = whole.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let text = self.cipher.open_in_place(nonce, Aad::from(label.as_bytes()), &mut body).ok()?;
        Some(Secret::new(std::str::from_utf8(text).ok()?))
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use base::Secret;

    use super::Seal;

    #[test]
    fn only_the_same_secret_and_label_open() {
        let seal = Seal::new(&Secret::new("a".repeat(64)));
        let sealed = seal.seal("acm arn", &Secret::new("a private key"));
        assert!(!sealed.contains("private"));
        assert_eq!(seal.open("acm arn", &sealed).unwrap().expose(), "a private key");
        assert!(seal.open("acm other", &sealed).is_none());
        assert!(Seal::new(&Secret::new("b".repeat(64))).open("acm arn", &sealed).is_none());
        let again = Seal::new(&Secret::new("a".repeat(64)));
        assert_eq!(again.open("acm arn", &sealed).unwrap().expose(), "a private key");
        assert_ne!(seal.seal("acm arn", &Secret::new("another")), sealed);
        for broken in ["", "v1:", "v1:AAAA", "v2:x", &sealed[..sealed.len() - 4]] {
            assert!(seal.open("acm arn", broken).is_none(), "{broken}");
        }
    }
}
