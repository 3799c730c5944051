//! What a load balancer does with a connection and a request: pure decisions over plain tables.
//!
//! Owns the tables that a proxy is fed with ([`Balancer`]), and every decision over them: which rule
//! fits, which target serves, what a probe's outcome makes of a target, what is wrong with a
//! request's head. Invariant: equal tables, requests, instants and chance give equal decisions.
//!
//! Deliberately ignores sockets, records and AWS's shapes.

mod balance;
mod clock;
pub mod desync;
mod head;
pub mod headers;
mod health;
pub mod limits;
pub mod logs;
mod policies;
mod published;
mod request;
mod router;
pub mod sticky;
mod table;

pub use balance::{Balance, Pool, Standings, Stands, Tally, anomalies};
pub use clock::{http_date, log_time};
pub use head::{FieldSpan, Fields, Form, Head, Span};
pub use health::{
    Anomaly, HealthReport, MatcherError, Outcome, Reason, State, Step, TargetKey, Watch, first_probe_at, step,
};
pub use policies::{DEFAULT_SSL_POLICY, SSL_POLICIES, SslPolicy, TlsVersion, ssl_policy};
pub use published::{Forwarding, TargetName, TargetStanding};
pub use request::{HeaderValues, RequestView, TargetParts, without_port};
pub use router::{
    CompiledAction, CompiledRedirect, CompiledRule, FixedResponse, Forward, RedirectFrom, RewriteError,
    Rewritten, Router, RouterError, check_regex,
};
pub use table::{
    Action, Affinity, Algorithm, Attributes, Balancer, Certificate, Condition, Desync, ForwardedFor,
    GroupCheck, GroupKind, HeaderRules, Kind, Listener, Matcher, MinimumHealthy, Node, Pattern, Placed,
    Protocol, QueryPair, Redirect, Rewrite, RewriteKind, Rule, Scheme, Stickiness, Target, TargetGroup,
    Version, WeightedGroup,
};
