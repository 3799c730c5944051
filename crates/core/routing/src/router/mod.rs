//! A listener's rules, compiled once, asked for every request.
//!
//! Invariant: the answer is the rule of the lowest priority all of whose conditions fit, as if each
//! were tried in turn; the index only saves tries. Asking allocates nothing.
//!
//! Deliberately ignores targets and connections.

mod condition;
mod index;
mod redirect;
mod rewrite;
mod text;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use base::Chance;
use thiserror::Error;

use crate::request::RequestView;
use crate::table::{Action, Listener, Rule, WeightedGroup};
use condition::{Prepared, Test, with_host};
use index::Index;
use rewrite::CompiledRewrite;

pub use redirect::{CompiledRedirect, RedirectFrom};
pub use rewrite::{RewriteError, Rewritten};

/// A rule that cannot be compiled; the API refuses such rules before they come here.
#[derive(Debug, Error)]
pub enum RouterError {
    #[error("no regular expression that rules may have: {text}")]
    Regex { text: String, source: Box<regex::Error> },
    #[error("no range of addresses: {text}")]
    Range { text: String },
}

/// All of one listener's rules.
#[derive(Debug)]
pub struct Router {
    rules: Box<[CompiledRule]>,
    default: CompiledRule,
    index: Index,
}

/// A rule as it is acted upon.
#[derive(Debug)]
pub struct CompiledRule {
    pub arn: Arc<str>,
    /// 0 for the default rule.
    pub priority: u32,
    pub action: CompiledAction,
    tests: Box<[Test]>,
    rewrites: Box<[CompiledRewrite]>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum CompiledAction {
    Forward(Forward),
    Redirect(CompiledRedirect),
    Fixed(FixedResponse),
}

/// An answer of the balancer's own.
#[derive(Debug, Clone)]
pub struct FixedResponse {
    pub status: u16,
    pub content_type: Option<Arc<str>>,
    pub body: Arc<[u8]>,
}

/// Groups by weight.
#[derive(Debug, Clone)]
pub struct Forward {
    pub groups: Box<[WeightedGroup]>,
    /// How long a client stays with its group; `None`: every request is dealt anew.
    pub sticky_for: Option<Duration>,
    total: u64,
}

impl Router {
    pub fn compile(listener: &Listener) -> Result<Router, RouterError> {
        let mut names = Vec::new();
        let rules: Box<[CompiledRule]> = listener
            .rules
            .iter()
            .map(|rule| CompiledRule::compile(rule, &mut names))
            .collect::<Result<_, _>>()?;
        let index = Index::build(rules.iter().map(|rule| &*rule.tests));
        Ok(Router { default: CompiledRule::compile(&listener.default, &mut names)?, rules, index })
    }

    /// The rule that fits, or the default one.
    pub fn route(&self, request: &RequestView<'_>) -> &CompiledRule {
        if self.rules.is_empty() {
            return &self.default;
        }
        let mut best = self.rules.len();
        let mut look = |host: &[u8]| {
            let prepared = Prepared { request, host, missing: Cell::new(0) };
            self.index.lists(request.path, host, |list| {
                for rule in list.iter().map(|rule| *rule as usize).take_while(|rule| *rule < best) {
                    if self.rules[rule].fits(&prepared) {
                        best = rule;
                        break;
                    }
                }
            });
        };
        if self.index.reads_host {
            with_host(request.host, look);
        } else {
            look(b"");
        }
        self.rules.get(best).unwrap_or(&self.default)
    }

    /// The same by trying each rule in turn: what [`Router::route`] is held against.
    pub fn route_in_turn(&self, request: &RequestView<'_>) -> &CompiledRule {
        with_host(request.host, |host| {
            let prepared = Prepared { request, host, missing: Cell::new(0) };
            self.rules.iter().find(|rule| rule.fits(&prepared)).unwrap_or(&self.default)
        })
    }

    /// Every rule, the default one last.
    pub fn rules(&self) -> impl Iterator<Item = &CompiledRule> {
        self.rules.iter().chain([&self.default])
    }
}

impl CompiledRule {
    fn compile(rule: &Rule, names: &mut Vec<String>) -> Result<Self, RouterError> {
        Ok(CompiledRule {
            arn: rule.arn.clone(),
            priority: rule.priority,
            action: CompiledAction::compile(&rule.action),
            tests: rule
                .conditions
                .iter()
                .map(|condition| Test::compile(condition, names))
                .collect::<Result<_, _>>()?,
            rewrites: rule.rewrites.iter().map(CompiledRewrite::compile).collect::<Result<_, _>>()?,
        })
    }

    fn fits(&self, prepared: &Prepared<'_>) -> bool {
        self.tests.iter().all(|test| test.fits(prepared))
    }

    /// Whether [`CompiledRule::rewrite`] may change anything.
    pub fn rewrites(&self) -> bool {
        !self.rewrites.is_empty()
    }

    /// What the rule's transforms make of a request. `host` as it came, `target` as path and query.
    pub fn rewrite(&self, host: &[u8], target: &[u8]) -> Result<Rewritten, RewriteError> {
        let mut rewritten = Rewritten::default();
        for rewrite in &self.rewrites {
            rewrite.apply(host, target, &mut rewritten)?;
        }
        Ok(rewritten)
    }
}

impl CompiledAction {
    fn compile(action: &Action) -> Self {
        match action {
            Action::Forward { groups, sticky_for } => CompiledAction::Forward(Forward {
                groups: groups.as_slice().into(),
                sticky_for: *sticky_for,
                total: groups.iter().map(|group| u64::from(group.weight)).sum(),
            }),
            Action::Redirect(redirect) => CompiledAction::Redirect(CompiledRedirect::compile(redirect)),
            Action::Fixed { status, content_type, body } => CompiledAction::Fixed(FixedResponse {
                status: *status,
                content_type: content_type.as_deref().map(Arc::from),
                body: body.as_bytes().into(),
            }),
        }
    }
}

impl Forward {
    /// A group by weight. `None` where every weight is zero: 503.
    ///
    /// AWS: a group without healthy targets keeps its share; no other takes over.
    pub fn deal(&self, chance: &mut Chance) -> Option<&WeightedGroup> {
        match &*self.groups {
            [only] => (only.weight > 0).then_some(only),
            groups => {
                let mut at = chance.below(self.total);
                groups.iter().find(|group| {
                    let weight = u64::from(group.weight);
                    let is_it = at < weight;
                    at = at.saturating_sub(weight);
                    is_it
                })
            }
        }
    }
}

/// Whether rules may have this expression. For the API's own checks.
pub fn check_regex(text: &str) -> Result<(), RouterError> {
    text::regex(text, text::Case::Matters).map(|_| ())
}
