//! Pure rules of this service alone.

pub(crate) mod document;
pub(crate) mod managed;
pub(crate) mod page;
