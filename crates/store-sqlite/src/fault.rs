//! SQLite's errors in the store's terms.

use rusqlite::ErrorCode;
use store::BackendError;

pub(crate) fn of(error: rusqlite::Error) -> BackendError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackendError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            BackendError::ReadOnly(text)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BackendError::Corrupt(text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            BackendError::Held { by: String::from("another SQLite client's transaction") }
        }
        Some(_) => BackendError::Failed(Box::new(error)),
        // Not SQLite's own: a column holds what we never write.
        None => BackendError::Corrupt(text),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;
    use store::BackendError;

    #[test]
    fn what_a_user_can_mend_has_its_own_error() {
        let of = |code| super::of(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(of(ffi::SQLITE_FULL), BackendError::Full));
        assert!(matches!(of(ffi::SQLITE_READONLY), BackendError::ReadOnly(_)));
        assert!(matches!(of(ffi::SQLITE_CANTOPEN), BackendError::ReadOnly(_)));
        assert!(matches!(of(ffi::SQLITE_NOTADB), BackendError::Corrupt(_)));
        assert!(matches!(of(ffi::SQLITE_BUSY), BackendError::Held { .. }));
        assert!(matches!(of(ffi::SQLITE_IOERR), BackendError::Failed(_)));
    }
}
