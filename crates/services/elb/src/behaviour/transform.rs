//! Transforms of rules: rewrites of the host and of the URL.

use aws_elbv2 as aws;
use base::Fault;
use core_routing::{Rewrite, RewriteKind};

use super::condition::check_regex;
use crate::faults;

/// AWS: of a regular expression and of its replacement.
const LONGEST: usize = 1024;

/// All transforms of a rule: at most one of each type, with one rewrite.
pub fn of(asked: Vec<aws::RuleTransform>) -> Result<Vec<Rewrite>, Fault> {
    let rewrites: Vec<Rewrite> = asked.into_iter().map(one).collect::<Result<_, _>>()?;
    for kind in [RewriteKind::Host, RewriteKind::Url] {
        if rewrites.iter().filter(|rewrite| rewrite.kind == kind).count() > 1 {
            return Err(faults::invalid("A rule can only have one transform of each type"));
        }
    }
    Ok(rewrites)
}

fn one(asked: aws::RuleTransform) -> Result<Rewrite, Fault> {
    let kind = if asked.r#type == "host-header-rewrite" { RewriteKind::Host } else { RewriteKind::Url };
    let host = asked.host_header_rewrite_config.map(|config| config.rewrites);
    let url = asked.url_rewrite_config.map(|config| config.rewrites);
    let (own, other, member, wrong) = match kind {
        RewriteKind::Host => (host, url, "HostHeaderRewriteConfig", "UrlRewriteConfig"),
        RewriteKind::Url => (url, host, "UrlRewriteConfig", "HostHeaderRewriteConfig"),
    };
    if other.is_some() {
        return Err(faults::invalid(format_args!(
            "You cannot provide '{wrong}' for a transform of type '{}'",
            asked.r#type
        )));
    }
    let mut rewrites = own.flatten().unwrap_or_default().into_iter();
    let (Some(rewrite), None) = (rewrites.next(), rewrites.next()) else {
        return Err(faults::invalid(format_args!("'{member}' must have exactly one rewrite")));
    };
    check_regex(&rewrite.regex, LONGEST)?;
    if rewrite.replace.chars().count() > LONGEST {
        return Err(faults::invalid(format_args!(
            "A replacement cannot be longer than '{LONGEST}' characters"
        )));
    }
    Ok(Rewrite { kind, regex: rewrite.regex, replace: rewrite.replace })
}
