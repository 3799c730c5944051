//! Pure rules of this service alone.

pub(crate) mod access_key;
pub(crate) mod condition;
pub(crate) mod pattern;
pub(crate) mod trust;
