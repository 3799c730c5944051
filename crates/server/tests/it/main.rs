//! The binary, from outside.
//!
//! Needs root and `/bin/busybox` (static) for containers; where one is missing a test says so and passes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what is left out is said")]

mod oci;
