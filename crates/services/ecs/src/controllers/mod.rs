//! What happens by itself, one file per loop.

mod clusters;
mod definitions;
mod instances;
mod protections;
mod registration;
mod services;
mod sessions;
mod shift;
mod targets;
mod tasks;
mod tokens;
mod waiting;
mod wake;

pub use clusters::Clusters;
pub use definitions::Definitions;
pub use instances::Instances;
pub use protections::Protections;
pub use services::{Services, draft};
pub use sessions::Sessions;
pub use targets::Targets;
pub use tasks::Tasks;
pub use tokens::Tokens;
pub use waiting::Waiting;
pub use wake::Wake;
