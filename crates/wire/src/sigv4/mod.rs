//! Signature version 4: what a request claims, whether the claim holds, and how to make one.
//!
//! [`Claim::parse`] reads the `Authorization` header or a presigned query; [`Claim::holds`] checks
//! it against a secret key; [`sign`] is the client's side. Ignores clocks and expiry: a claim says
//! when it was made and for how long, and the gateway knows the time.

mod canonical;
mod claim;
mod sign;

pub use canonical::{Signed, canonical_request, payload_hash};
pub use claim::{Carrier, Claim, ClaimError};
pub use sign::{Credentials, sign, signature, string_to_sign};
