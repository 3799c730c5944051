//! What a role's trust policy says: who may assume it.
//!
//! Pure: a document, a caller and what is known of the request go in, a [`Verdict`] comes out.
//!
//! Invariant: what a document says and is not understood here never allows anything; the verdict
//! names it.
//!
//! Ignores, until policies are enforced, what identities may do (actions on resources, boundaries,
//! session policies).

mod condition;
mod document;
mod pattern;
mod trust;

pub use condition::Context;
pub use document::url_decoded;
pub use trust::{Verdict, Who, judge, of_service};
