//! What happens by itself, one file per loop.

mod clusters;
mod definitions;
mod tasks;
mod tokens;

pub use clusters::Clusters;
pub use definitions::Definitions;
pub use tasks::Tasks;
pub use tokens::Tokens;
