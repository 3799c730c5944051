//! Which of a listener's certificates a client is shown.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;

use base::Timestamp;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Loaded;

/// AWS: an exact name goes before a wildcard, which protects one label only; of several that fit
/// the best that the client can check is taken; without a name, or where none fits, the default.
#[derive(Debug)]
pub(super) struct Choice {
    default: Arc<Loaded>,
    /// By full name, or, for wildcards, by what follows `*.`; best first.
    exact: HashMap<String, Vec<Arc<Loaded>>>,
    wild: HashMap<String, Vec<Arc<Loaded>>>,
}

impl Choice {
    /// `loaded`: the default certificate, then the listener's list.
    pub fn new(default: Arc<Loaded>, mut listed: Vec<Arc<Loaded>>) -> Self {
        listed.sort_by_key(|loaded| std::cmp::Reverse(loaded.rank));
        let mut choice = Choice { default, exact: HashMap::new(), wild: HashMap::new() };
        for loaded in listed {
            for name in &loaded.names {
                match name.strip_prefix("*.") {
                    Some(rest) => choice.wild.entry(rest.to_owned()).or_default(),
                    None => choice.exact.entry(name.clone()).or_default(),
                }
                .push(loaded.clone());
            }
        }
        choice
    }

    pub fn pick(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
        now: impl FnOnce() -> Timestamp,
    ) -> &Arc<Loaded> {
        let Some(name) = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase()) else {
            return &self.default;
        };
        let exact = self.exact.get(&name);
        let wild = name.split_once('.').and_then(|(_, rest)| self.wild.get(rest));
        let fits = |loaded: &&Arc<Loaded>| loaded.key.key.choose_scheme(schemes).is_some();
        let mut now = Some(now);
        for fitting in [exact, wild].into_iter().flatten() {
            let best: Vec<_> = fitting.iter().filter(fits).collect();
            match best.as_slice() {
                [] => {}
                [one] => return one,
                // A clock is read only where it matters.
                [first, ..] => {
                    let now = now.take().map_or(Timestamp::from_secs(0), |now| now());
                    return best.iter().find(|loaded| loaded.expires_at > now).unwrap_or(first);
                }
            }
        }
        &self.default
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let picked = self.pick(hello.server_name(), hello.signature_schemes(), base::clock::wall);
        PICKED.replace(Some(picked.arn.clone()));
        Some(picked.key.clone())
    }
}

thread_local! {
    /// What was picked last on this thread: rustls tells nobody which certificate a connection got.
    static PICKED: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// Runs a handshake, and says the ARN of the certificate that was picked in it. A handshake picks
/// within one of its polls, so that others of the thread cannot come between.
pub(super) async fn picking<T>(handshake: impl Future<Output = T>) -> (T, Option<Arc<str>>) {
    let mut handshake = std::pin::pin!(handshake);
    let mut picked = None;
    let outcome = poll_fn(|cx| {
        PICKED.replace(None);
        let polled = handshake.as_mut().poll(cx);
        picked = PICKED.take().or(picked.take());
        polled
    });
    let outcome = outcome.await;
    (outcome, picked)
}
