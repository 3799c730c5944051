//! Access keys that the platform issued, and whose they are.

use base::AccountId;
use store::Snapshot;

use crate::caller::Principal;

/// Who keeps the keys. Quick: it is asked for every request.
pub trait Keys: Send + Sync {
    /// Whose `access_key` is; `None`: no key of this platform.
    fn identity(
        &self,
        records: &Snapshot,
        access_key: &str,
        token: Option<&str>,
    ) -> Result<Option<Identity>, KeyError>;
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: AccountId,
    pub principal: Principal,
}

/// A key of this platform that opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It, or its token, was never issued or is forgotten.
    #[error("The security token included in the request is invalid.")]
    Invalid,
    #[error("The security token included in the request is expired")]
    Expired,
}
