//! Rules of every Describe operation (ids, filters, pages), of tags, and of permissions.

mod filter;
mod list;
pub mod permission;
pub mod tags;

pub use filter::{Attributes, Filters};
pub use list::{Asked, select, select_sorted};
