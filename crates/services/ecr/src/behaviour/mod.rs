//! Rules of this service alone.

pub mod image_id;
pub mod manifest;
pub mod page;
