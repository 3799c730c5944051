//! Rules of this service alone.

pub(crate) mod accept;
pub(crate) mod facts;
pub(crate) mod page;
