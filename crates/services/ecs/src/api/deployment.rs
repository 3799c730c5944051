//! Service deployments.
