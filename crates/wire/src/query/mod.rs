//! Form parameters, as the query and ec2 protocols use them.

mod params;
mod write;

pub use params::{Params, value};
pub use write::{QueryWriter, encode_component};
