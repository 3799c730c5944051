//! An account's authority as a record.
//!
//! ```text
//! authority/root   account   → Root
//! ```

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Key, Kinds, Record, Store, WriteError};

use crate::issue::{self, Issuer};
use crate::pem::to_pem;
use crate::seal::Seal;

const LASTS_FOR: Duration = Duration::from_secs(3_653 * 86_400);

/// One account's authority. Its key is sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Root {
    pub account: AccountId,
    /// PEM.
    pub certificate: String,
    /// PKCS#8 as PEM, sealed under [`Root::label`].
    key: String,
    pub created_at: Timestamp,
}

impl Record for Root {
    const KIND: &'static str = "authority/root";

    fn key(&self) -> Key {
        key_of(&self.account)
    }
}

fn key_of(account: &AccountId) -> Key {
    Key::of(&[account.as_str()])
}

/// Adds this crate's record kinds.
pub fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Root>()
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("the system gives no random numbers")]
    Chance,
    #[error("the authority cannot be written: {0}")]
    Write(String),
    /// The secret file is another than the one under which the key was sealed.
    #[error("the authority's key cannot be opened: the data directory's secret was replaced")]
    Sealed,
}

impl Root {
    /// A new authority, from `now` on.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn make(account: &AccountId, now: Timestamp, seal: &Seal) -> Result<Self, RootError> {
        let made = issue::root(account, now, now + LASTS_FOR).map_err(|_| RootError::Chance)?;
        Ok(Root {
            account: account.clone(),
            certificate: to_pem("CERTIFICATE", &made.certificate),
            key: seal.seal(&Root::label(account), &made.key),
            created_at: now,
        })
    }

    fn label(account: &AccountId) -> String {
        format!("authority {account}")
    }

    /// The authority ready to sign; `None` if its key is sealed under another secret.
    pub fn issuer(&self, seal: &Seal) -> Option<Issuer> {
        let key = seal.open(&Root::label(&self.account), &self.key)?;
        Issuer::new(&self.account, &self.certificate, &key)
    }
}

/// The authority of `account`, made now if it has none. Durable when it answers.
///
/// # Errors
/// The store takes no writes, or the system gives no random numbers.
pub async fn root(
    store: &Store,
    seal: &Seal,
    account: &AccountId,
    now: Timestamp,
) -> Result<Arc<Root>, RootError> {
    if let Some(root) = store.snapshot().get::<Root>(&key_of(account)) {
        return Ok(root);
    }
    let fresh = Arc::new(Root::make(account, now, seal)?);
    let written = store.write("Authority", move |records| {
        // Another may have been first.
        let root = records.get::<Root>(&fresh.key()).unwrap_or_else(|| {
            records.put_shared(fresh.clone());
            fresh
        });
        Ok::<_, std::convert::Infallible>(root)
    });
    written.await.map_err(|error: WriteError<_>| RootError::Write(error.to_string()))
}
