//! core-addresses
