//! Rules of every Describe operation: ids, filters, pages.

mod filter;
mod list;

pub use filter::{Attributes, Filters};
pub use list::{Asked, select};
