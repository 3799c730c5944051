//! Listeners: CreateListener, DescribeListeners, ModifyListener, DeleteListener.

use std::sync::Arc;

use aws_acm::op as acm;
use aws_elbv2 as aws;
use base::Fault;
use core_routing::{DEFAULT_SSL_POLICY, Protocol, ssl_policy};
use service::{Tx, View};
use store::{Key, Record, Snapshot};

use super::{action, ec2, find, group, tag};
use crate::behaviour::page::Page;
use crate::convert;
use crate::faults;
use crate::state::{Action, Balancer, BalancerId, Listener, ListenerId, Rule, RuleId};
use crate::table::rules;

/// What CreateListener acts on.
pub const CREATE: &[&str] = &[
    "LoadBalancerArn",
    "Protocol",
    "Port",
    "SslPolicy",
    "Certificates",
    "DefaultActions",
    "AlpnPolicy",
    "Tags",
    "MutualAuthentication.Mode",
];
/// What ModifyListener acts on.
pub const MODIFY: &[&str] = &[
    "ListenerArn",
    "Protocol",
    "Port",
    "SslPolicy",
    "Certificates",
    "DefaultActions",
    "AlpnPolicy",
    "MutualAuthentication.Mode",
];

/// AWS: of one balancer.
const MOST: usize = 50;

pub fn create(
    tx: &mut Tx<'_>,
    request: aws::CreateListenerInput,
) -> Result<aws::CreateListenerOutput, Fault> {
    let balancer = find::balancer(tx, tx.caller, &request.load_balancer_arn)?;
    let protocol = request.protocol.as_deref();
    let protocol =
        protocol_of(protocol.ok_or_else(|| faults::invalid("A listener protocol must be specified"))?)?;
    let port = request.port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| faults::invalid("A listener port must be specified"))?;
    refuse(request.alpn_policy.as_deref(), request.mutual_authentication.as_ref(), protocol)?;
    let tags = tag::checked(request.tags)?;
    let secure = secure(tx, protocol, request.ssl_policy, request.certificates, None)?;
    let place = action::Place { balancer: &balancer, protocol, port };
    let action = action::of(tx, &place, request.default_actions)?;
    if let Some(known) = same(tx, &balancer.at, port, protocol, &secure, &action) {
        return Ok(aws::CreateListenerOutput { listeners: Some(vec![known]) });
    }
    check_port(tx, &balancer.at, port, None)?;
    if tx.scan::<Listener>(&balancer.at.key()).count() >= MOST {
        let arn = balancer.at.arn();
        return Err(faults::reached("TooManyListeners", "listeners", "load balancer", MOST, &arn));
    }
    let at = ListenerId { balancer: balancer.at.clone(), id: tx.chance.hex(16) };
    let default = default_rule(&at, tx.chance.hex(16), action);
    let listener = Listener {
        at,
        port,
        protocol,
        ssl_policy: secure.policy,
        certificates: secure.certificates,
        attributes: Default::default(),
        tags,
    };
    let shape = convert::listener(&listener, Some(&default));
    tx.put(listener);
    tx.put(default);
    Ok(aws::CreateListenerOutput { listeners: Some(vec![shape]) })
}

/// AWS: creating one again with the same settings answers with the one that is there. As with
/// balancers and groups, what was done to it since counts, and tags do not.
fn same(
    records: &Snapshot,
    balancer: &BalancerId,
    port: u16,
    protocol: Protocol,
    secure: &Secure,
    action: &Action,
) -> Option<aws::Listener> {
    let known = records.scan::<Listener>(&balancer.key()).find(|known| known.port == port)?;
    let default = records.scan::<Rule>(&known.at.key()).find(|rule| rule.is_default())?;
    let is_same = known.protocol == protocol
        && known.ssl_policy == secure.policy
        // Further ones are added by an operation of their own.
        && known.certificates.first() == secure.certificates.first()
        && default.action == *action;
    is_same.then(|| convert::listener(&known, Some(&default)))
}

fn default_rule(listener: &ListenerId, id: String, action: Action) -> Rule {
    let at = RuleId { listener: listener.clone(), id };
    let (conditions, rewrites) = (Vec::new(), Vec::new());
    Rule { at, priority: 0, conditions, rewrites, action, tags: Default::default() }
}

fn protocol_of(text: &str) -> Result<Protocol, Fault> {
    match text {
        "HTTP" => Ok(Protocol::Http),
        "HTTPS" => Ok(Protocol::Https),
        other => Err(faults::unsupported_protocol(other)),
    }
}

fn refuse(
    alpn: Option<&[String]>,
    mutual: Option<&aws::MutualAuthenticationAttributes>,
    protocol: Protocol,
) -> Result<(), Fault> {
    if alpn.is_some_and(|alpn| !alpn.is_empty()) {
        return Err(faults::invalid(
            "ALPN policies are not supported on load balancers with type 'application'",
        ));
    }
    let Some(mutual) = mutual else { return Ok(()) };
    match mutual.mode.as_deref() {
        None | Some("off") => Ok(()),
        Some("passthrough" | "verify") if protocol == Protocol::Http => {
            Err(faults::invalid("Mutual authentication is not supported with listener protocol 'HTTP'"))
        }
        Some(mode @ ("passthrough" | "verify")) => {
            Err(faults::refuse(&format!("MutualAuthentication.Mode={mode}")))
        }
        Some(other) => Err(faults::invalid(format_args!(
            "Mutual authentication mode '{other}' must be one of '[off, passthrough, verify]'"
        ))),
    }
}

fn check_port(
    records: &Snapshot,
    balancer: &BalancerId,
    port: u16,
    own: Option<&ListenerId>,
) -> Result<(), Fault> {
    let mut others = records.scan::<Listener>(&balancer.key());
    if others.any(|other| other.port == port && Some(&other.at) != own) {
        return Err(faults::duplicate_listener(balancer.arn()));
    }
    Ok(())
}

struct Secure {
    policy: Option<String>,
    certificates: Vec<String>,
}

/// What a listener of a protocol has of TLS. `before` is what it had: its further certificates stay.
fn secure(
    tx: &mut Tx<'_>,
    protocol: Protocol,
    policy: Option<String>,
    certificates: Option<Vec<aws::Certificate>>,
    before: Option<&Listener>,
) -> Result<Secure, Fault> {
    let policy = policy.filter(|policy| !policy.is_empty());
    let certificates = certificates.filter(|certificates| !certificates.is_empty());
    if protocol == Protocol::Http {
        if policy.is_some() {
            return Err(faults::invalid("An SSL policy cannot be specified for HTTP listeners"));
        }
        if certificates.is_some() {
            return Err(faults::invalid("Certificates cannot be specified for HTTP listeners"));
        }
        return Ok(Secure { policy: None, certificates: Vec::new() });
    }
    if let Some(name) = policy.as_deref().filter(|name| ssl_policy(name).is_none()) {
        return Err(Fault::caller("SSLPolicyNotFound", format_args!("SSL policy '{name}' not found")));
    }
    let policy = policy
        .or_else(|| before.and_then(|before| before.ssl_policy.clone()))
        .unwrap_or_else(|| String::from(DEFAULT_SSL_POLICY));
    let mut all = before.map(|before| before.certificates.clone()).unwrap_or_default();
    if let Some(asked) = certificates {
        let [only] = asked.as_slice() else {
            return Err(faults::invalid(
                "Up to '1' certificate ARNs can be specified, but more were specified",
            ));
        };
        if only.is_default.is_some() {
            return Err(faults::invalid("You cannot specify 'IsDefault' for a certificate"));
        }
        let arn = only.certificate_arn.clone().unwrap_or_default();
        check_certificate(tx, &arn)?;
        all.retain(|known| *known != arn);
        // AWS: the default one is replaced, the others stay.
        if !all.is_empty() && before.is_some_and(|before| before.certificates.first() == all.first()) {
            all.remove(0);
        }
        all.insert(0, arn);
    }
    if all.is_empty() {
        return Err(faults::invalid("A certificate must be specified for HTTPS listeners"));
    }
    Ok(Secure { policy: Some(policy), certificates: all })
}

/// Asks ACM whether the account has the certificate.
pub fn check_certificate(tx: &mut Tx<'_>, arn: &str) -> Result<(), Fault> {
    let not_found = || Fault::caller("CertificateNotFound", format_args!("Certificate '{arn}' not found"));
    if !arn.starts_with("arn:") {
        return Err(faults::invalid(format_args!("Certificate ARN '{arn}' is not valid")));
    }
    let request = aws_acm::DescribeCertificateRequest { certificate_arn: arn.to_owned() };
    let caller = ec2::platform(tx.caller);
    let answer = tx.call_as::<acm::DescribeCertificate>(&caller, request).map_err(|_| not_found())?;
    let certificate = answer.certificate.ok_or_else(not_found)?;
    match certificate.status.as_deref() {
        None | Some("ISSUED") => Ok(()),
        Some(_) => Err(Fault::caller(
            "UnsupportedCertificate",
            format_args!(
                "The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a supported key size."
            ),
        )),
    }
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeListenersInput,
) -> Result<aws::DescribeListenersOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let arns = request.listener_arns.unwrap_or_default();
    let mut found: Vec<Arc<Listener>> = match (request.load_balancer_arn, arns.is_empty()) {
        (Some(_), false) => {
            return Err(faults::invalid(
                "A load balancer ARN and listener ARNs cannot be specified together",
            ));
        }
        (Some(arn), true) => {
            let balancer = find::balancer(view, view.caller, &arn)?;
            view.scan::<Listener>(&balancer.key()).collect()
        }
        (None, false) => find::listeners(view, view.caller, &arns)?,
        (None, true) => {
            return Err(faults::invalid("You must specify either listener ARNs or a load balancer ARN"));
        }
    };
    // Keys are by id; by port is what people expect to read.
    let place = |listener: &Listener| format!("{:05}{}", listener.port, listener.key());
    found.sort_by_key(|listener| place(listener));
    found.dedup_by_key(|listener| listener.key());
    let shown = found.iter().map(|listener| (place(listener), whole(view, listener)));
    let (listeners, next_marker) = page.take(shown);
    Ok(aws::DescribeListenersOutput { listeners: Some(listeners), next_marker })
}

fn whole(records: &Snapshot, listener: &Listener) -> aws::Listener {
    let (default, _) = rules(records, &listener.at);
    convert::listener(listener, default.as_deref())
}

pub fn modify(
    tx: &mut Tx<'_>,
    request: aws::ModifyListenerInput,
) -> Result<aws::ModifyListenerOutput, Fault> {
    let before = find::listener(tx, tx.caller, &request.listener_arn)?;
    let balancer = balancer_of(tx, &before.at)?;
    let protocol = match request.protocol.as_deref() {
        Some(protocol) => protocol_of(protocol)?,
        None => before.protocol,
    };
    let port = request.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(before.port);
    refuse(request.alpn_policy.as_deref(), request.mutual_authentication.as_ref(), protocol)?;
    check_port(tx, &balancer.at, port, Some(&before.at))?;
    let secure = secure(tx, protocol, request.ssl_policy, request.certificates, Some(&before))?;
    let mut after = Listener {
        port,
        protocol,
        ssl_policy: secure.policy,
        certificates: secure.certificates,
        ..(*before).clone()
    };
    if protocol == Protocol::Http {
        // AWS: names of TLS's headers are a matter of HTTPS.
        after.attributes.retain(|key, _| !key.starts_with("routing.http.request."));
    }
    let (default, others) = rules(tx, &before.at);
    let default =
        default.ok_or_else(|| Fault::server("InternalFailure", "A listener has no default rule."))?;
    let mut left = Vec::new();
    let default = match request.default_actions.filter(|actions| !actions.is_empty()) {
        Some(actions) => {
            let place = action::Place { balancer: &balancer, protocol, port };
            let action = action::of(tx, &place, actions)?;
            left.extend(default.groups().cloned());
            Arc::new(Rule { action, ..(*default).clone() })
        }
        None => default,
    };
    if protocol != before.protocol {
        let place = action::Place { balancer: &balancer, protocol, port };
        for rule in others.iter().chain([&default]) {
            action::check_groups(tx, &place, rule)?;
        }
    }
    let shape = convert::listener(&after, Some(&default));
    tx.put_shared(default);
    tx.put(after);
    group::settle(tx, left);
    Ok(aws::ModifyListenerOutput { listeners: Some(vec![shape]) })
}

/// The balancer of a listener that was found.
pub fn balancer_of(records: &Snapshot, listener: &ListenerId) -> Result<Arc<Balancer>, Fault> {
    let found = records.get::<Balancer>(&listener.balancer.key());
    found.ok_or_else(|| Fault::server("InternalFailure", "A listener has no load balancer."))
}

/// AWS: one that is gone already is refused, unlike a balancer.
pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteListenerInput,
) -> Result<aws::DeleteListenerOutput, Fault> {
    let listener = find::listener(tx, tx.caller, &request.listener_arn)?;
    remove(tx, &listener);
    Ok(aws::DeleteListenerOutput::default())
}

/// Removes a listener with its rules.
pub fn remove(tx: &mut Tx<'_>, listener: &Listener) {
    let rules: Vec<Arc<Rule>> = tx.scan::<Rule>(&listener.key()).collect();
    let keys: Vec<Key> = rules.iter().map(|rule| rule.key()).collect();
    for key in keys {
        tx.delete::<Rule>(&key);
    }
    tx.delete::<Listener>(&listener.key());
    group::settle(tx, rules.iter().flat_map(|rule| rule.groups().cloned().collect::<Vec<_>>()));
}
