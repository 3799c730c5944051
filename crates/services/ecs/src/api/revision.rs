//! Service revisions.
