//! Pure rules of this service alone.

pub(crate) mod accept;
pub(crate) mod pattern;
pub(crate) mod token;
