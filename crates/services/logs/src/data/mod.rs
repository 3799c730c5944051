//! Operations on events, over the journal.

pub(crate) mod filter;
pub(crate) mod get;
pub(crate) mod once;
pub(crate) mod put;
pub(crate) mod sweep;

use std::sync::Arc;

use base::Fault;
use journal::{Journal, Page, Query, ReadError};

use crate::faults;

/// Reads where waiting for the disk holds nobody up.
async fn read(journal: Arc<Journal>, stream: String, query: Query) -> Result<Page, Fault> {
    blocking(move || journal.read(&stream, &query)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| faults::unread(&error)),
        Err(_) => Err(Fault::server("ServiceUnavailableException", "The log events could not be read.")),
    }
}
