//! Pure rules of this service alone.

pub(crate) mod access_key;
