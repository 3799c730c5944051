//! What happens by itself, one file per loop.

mod definitions;
mod tasks;
mod tokens;

pub use definitions::Definitions;
pub use tasks::Tasks;
pub use tokens::Tokens;
