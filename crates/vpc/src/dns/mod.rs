//! The resolver of a VPC.
