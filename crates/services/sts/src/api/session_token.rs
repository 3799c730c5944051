//! GetSessionToken, and issuing credentials for any session.

use std::time::Duration;

use aws_sts::{Credentials, GetSessionTokenRequest, GetSessionTokenResponse};
use base::{AccountId, Fault, Timestamp};
use service::{Principal, Tx};

use crate::behaviour::access_key;
use crate::faults;
use crate::seal::Seal;
use crate::state::{Holder, Session, session_key};

/// AWS: an account's own session lasts an hour at the most, and that long if nothing is said.
const ROOT_SECS: i32 = 3_600;

pub(super) fn get(
    tx: &mut Tx<'_>,
    request: GetSessionTokenRequest,
    seal: &Seal,
    wall: Timestamp,
) -> Result<GetSessionTokenResponse, Fault> {
    if tx.caller.principal != Principal::Root {
        return Err(faults::access_denied("Cannot call GetSessionToken with session credentials"));
    }
    let account = tx.caller.account.clone();
    let secs = request.duration_seconds.unwrap_or(ROOT_SECS).min(ROOT_SECS);
    let credentials = issue(tx, seal, &account, Holder::Root, secs, wall);
    Ok(GetSessionTokenResponse { credentials: Some(credentials), ..Default::default() })
}

/// Makes a session of `holder` that lasts `secs` from `wall`.
pub(super) fn issue(
    tx: &mut Tx<'_>,
    seal: &Seal,
    account: &AccountId,
    holder: Holder,
    secs: i32,
    wall: Timestamp,
) -> Credentials {
    let mut chance = tx.chance.split("access key");
    let is_free = |key: &str| !tx.contains::<Session>(&session_key(key));
    let access_key = access_key::draw(account, &mut chance, seal, is_free);
    let life = Duration::from_secs(u64::try_from(secs).unwrap_or_default());
    let expires_at = wall + life;
    let session = Session { access_key, account: account.clone(), holder, issued_at: wall, expires_at };
    let credentials = Credentials {
        access_key_id: session.access_key.clone(),
        secret_access_key: seal.secret_key(&session).expose().to_owned(),
        session_token: seal.token(&session).expose().to_owned(),
        expiration: expires_at,
    };
    tx.put(session);
    credentials
}
