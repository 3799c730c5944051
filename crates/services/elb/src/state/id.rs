//! How resources are named: ids, ARNs and keys. The only place that spells a key.

use std::fmt;
use std::sync::Arc;

use base::{AccountId, Arn, Region};
use serde::{Deserialize, Serialize};
use service::Caller;
use store::Key;

const SERVICE: &str = "elasticloadbalancing";

/// An application load balancer. `id` is 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BalancerId {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
    pub id: String,
}

/// A listener of a balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerId {
    pub balancer: BalancerId,
    pub id: String,
}

/// A rule of a listener; the default one is a rule, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    pub listener: ListenerId,
    pub id: String,
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
    pub id: String,
}

/// Where and whose an ARN of ours says something is, and its resource's parts.
struct Parsed<'a> {
    account: AccountId,
    region: Region,
    parts: Vec<&'a str>,
}

fn parse(text: &str) -> Option<Parsed<'_>> {
    let mut colons = text.splitn(6, ':');
    let mut next = || colons.next();
    let (arn, _, service) = (next()?, next()?, next()?);
    let (region, account, resource) = (Region::parse(next()?)?, AccountId::parse(next()?)?, next()?);
    let is_ours = arn == "arn" && service == SERVICE;
    is_ours.then(|| Parsed { account, region, parts: resource.split('/').collect() })
}

/// The key under which everything of an account and region lies.
pub fn home(account: &AccountId, region: &Region) -> Key {
    Key::of(&[account.as_str(), region.as_str()])
}

pub fn home_of(caller: &Caller) -> Key {
    home(&caller.account, &caller.region)
}

impl BalancerId {
    pub fn of_arn(text: &str) -> Option<BalancerId> {
        let Parsed { account, region, parts } = parse(text)?;
        let ["loadbalancer", "app", name, id] = parts[..] else { return None };
        Some(BalancerId { account, region, name: name.to_owned(), id: id.to_owned() })
    }

    pub fn arn(&self) -> Arn {
        Arn::new(SERVICE, self.region.as_str(), &self.account, format_args!("loadbalancer/{self}"))
    }

    pub fn key(&self) -> Key {
        home(&self.account, &self.region).child(&self.name)
    }
}

/// As logs and metrics name it: `app/<name>/<id>`.
impl fmt::Display for BalancerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app/{}/{}", self.name, self.id)
    }
}

impl ListenerId {
    pub fn of_arn(text: &str) -> Option<ListenerId> {
        let Parsed { account, region, parts } = parse(text)?;
        let ["listener", "app", name, balancer, id] = parts[..] else { return None };
        let balancer = BalancerId { account, region, name: name.to_owned(), id: balancer.to_owned() };
        Some(ListenerId { balancer, id: id.to_owned() })
    }

    pub fn arn(&self) -> Arn {
        let BalancerId { account, region, .. } = &self.balancer;
        let resource = format_args!("listener/{}/{}", self.balancer, self.id);
        Arn::new(SERVICE, region.as_str(), account, resource)
    }

    pub fn key(&self) -> Key {
        self.balancer.key().child(&self.id)
    }
}

impl RuleId {
    pub fn of_arn(text: &str) -> Option<RuleId> {
        let Parsed { account, region, parts } = parse(text)?;
        let ["listener-rule", "app", name, balancer, listener, id] = parts[..] else { return None };
        let balancer = BalancerId { account, region, name: name.to_owned(), id: balancer.to_owned() };
        let listener = ListenerId { balancer, id: listener.to_owned() };
        Some(RuleId { listener, id: id.to_owned() })
    }

    pub fn arn(&self) -> Arn {
        let ListenerId { balancer, id } = &self.listener;
        let resource = format_args!("listener-rule/{balancer}/{id}/{}", self.id);
        Arn::new(SERVICE, balancer.region.as_str(), &balancer.account, resource)
    }

    pub fn key(&self) -> Key {
        self.listener.key().child(&self.id)
    }
}

impl GroupId {
    pub fn of_arn(text: &str) -> Option<GroupId> {
        let Parsed { account, region, parts } = parse(text)?;
        let ["targetgroup", name, id] = parts[..] else { return None };
        Some(GroupId { account, region, name: name.to_owned(), id: id.to_owned() })
    }

    pub fn arn(&self) -> Arn {
        Arn::new(SERVICE, self.region.as_str(), &self.account, format_args!("{self}"))
    }

    pub fn key(&self) -> Key {
        home(&self.account, &self.region).child(&self.name)
    }

    /// Under which the targets of the group lie, and what was seen of them.
    pub fn targets(&self) -> Key {
        self.key().child(&self.id)
    }

    pub fn target(&self, id: &str, port: u16) -> Key {
        self.targets().child(id).child(&port.to_string())
    }
}

/// As logs and metrics name it: `targetgroup/<name>/<id>`.
impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "targetgroup/{}/{}", self.name, self.id)
    }
}

/// An ARN as tables carry it.
pub fn shared(arn: &Arn) -> Arc<str> {
    Arc::from(arn.as_str())
}
