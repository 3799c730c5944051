//! What goes by itself: sessions that have expired.

use std::time::Duration;

use base::{Fault, Timestamp};
use service::Tx;
use store::Key;

use crate::state::{Session, session_key};

/// For so long a bearer is still told that its token is expired, and not that it is unknown.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Removes sessions that expired a day before `wall`. Answers how many went.
pub fn sweep(tx: &mut Tx<'_>, wall: Timestamp) -> Result<usize, Fault> {
    let cutoff = wall - GRACE;
    let sessions = tx.scan::<Session>(&Key::all()).filter(|session| session.expires_at < cutoff);
    let gone: Vec<_> = sessions.map(|session| session_key(&session.access_key)).collect();
    for key in &gone {
        tx.delete::<Session>(key);
    }
    Ok(gone.len())
}
