//! Sessions from outside: the protocol over bad networks, and whole sessions over sockets.

mod fake;
mod network;
mod protocol;
mod sockets;
