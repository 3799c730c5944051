//! What happens by itself, one file per loop.

mod clusters;
mod definitions;
mod instances;
mod protections;
mod sessions;
mod tasks;
mod tokens;

pub use clusters::Clusters;
pub use definitions::Definitions;
pub use instances::Instances;
pub use protections::Protections;
pub use sessions::Sessions;
pub use tasks::Tasks;
pub use tokens::Tokens;
