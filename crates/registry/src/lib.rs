//! The OCI distribution protocol under `/v2/`: what `docker push`, `skopeo copy` and every other
//! client of a registry speak.
//!
//! Owns the protocol only: repositories, layers and images are ECR's, and every change goes
//! through [`service_ecr::Content`] or ECR's own operations.
//!
//! Invariant: nothing is served or taken without a password that ECR issued, or a ticket for one
//! layer; the password says whose registry is meant.
//!
//! Deliberately ignores deleting manifests (AWS: ECR's registry refuses it too; use
//! `BatchDeleteImage`) and the referrers endpoint (clients fall back to tags).

mod answer;
mod blob;
mod endpoint;
mod login;
mod manifest;
mod path;
mod upload;

pub use endpoint::Registry;
