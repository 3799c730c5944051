//! Pure rules of this service.

pub mod attribute;
pub mod condition;
pub mod health;
pub mod name;
pub mod page;
pub mod transform;
pub mod zone_id;
