//! Tasks that ask, over loopback.
