//! The front door: one port for every API, the registry, the operator's endpoints and the page.
//!
//! The path of a request: accept → who is it (the socket's owner, or the task whose interface it
//! came from) → for whom is it (a load balancer takes its connections whole) → host and origin checks → route → signature → decode → authorize → run → encode.
//!
//! Invariant: in open mode nobody gets past [`admit`] but the user who started Boxship, root, and
//! the platform's own tasks. Invariant: every answer carries a request id. Invariant: whatever a
//! client sends is bounded: connections, time to send headers and body, sizes.
//!
//! Deliberately ignores what an operation means.

mod accept;
mod admit;
mod api;
mod balancers;
mod body;
mod first;
mod guests;
mod peer;
mod route;
mod serve;
mod stream;
mod tls;

pub use accept::{Accepted, accept, stopped};
pub use admit::{Admission, Auth};
pub use balancers::{Balancers, Named};
pub use body::{Body, bytes, empty, text};
pub use guests::{Guest, Guests};
pub use route::{Endpoint, Peer, Routes};
pub use serve::{Gateway, GatewayOptions};
pub use tls::TlsDoor;
