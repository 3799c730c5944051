//! The accounts' local certificate authorities.
