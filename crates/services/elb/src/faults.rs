//! Every error that Elastic Load Balancing answers here, with AWS's texts as far as they are known.

use std::fmt::Display;

use base::{Arn, Fault};

use crate::behaviour::attribute::Owner;

/// A request that breaks a rule of its own.
pub fn invalid(message: impl Display) -> Fault {
    Fault::caller("ValidationError", message)
}

/// A request that does not fit what is there.
pub fn configuration(message: impl Display) -> Fault {
    Fault::caller("InvalidConfigurationRequest", message)
}

/// An action that cannot be.
pub fn action(message: impl Display) -> Fault {
    Fault::caller("InvalidLoadBalancerAction", message)
}

pub fn not_permitted(message: impl Display) -> Fault {
    Fault::caller("OperationNotPermitted", message)
}

pub fn in_use(message: impl Display) -> Fault {
    Fault::caller("ResourceInUse", message)
}

pub fn invalid_target(message: impl Display) -> Fault {
    Fault::caller("InvalidTarget", message)
}

pub fn invalid_subnet(message: impl Display) -> Fault {
    Fault::caller("InvalidSubnet", message)
}

/// What kind of thing an ARN names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Balancer,
    Group,
    Listener,
    Rule,
}

impl Resource {
    fn noun(self) -> &'static str {
        match self {
            Resource::Balancer => "load balancer",
            Resource::Group => "target group",
            Resource::Listener => "listener",
            Resource::Rule => "listener rule",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Resource::Balancer => "LoadBalancerNotFound",
            Resource::Group => "TargetGroupNotFound",
            Resource::Listener => "ListenerNotFound",
            Resource::Rule => "RuleNotFound",
        }
    }
}

pub fn malformed(resource: Resource, arn: &str) -> Fault {
    invalid(format_args!("'{arn}' is not a valid {} ARN", resource.noun()))
}

pub fn missing(resource: Resource, arn: &str) -> Fault {
    let noun = match resource {
        Resource::Balancer => "Load balancer",
        Resource::Group => "Target group",
        Resource::Listener => "Listener",
        Resource::Rule => "Rule",
    };
    Fault::caller(resource.code(), format_args!("{noun} '{arn}' not found"))
}

/// AWS: lists do not say which.
pub fn some_missing(resource: Resource) -> Fault {
    let nouns = match resource {
        Resource::Balancer => "load balancers",
        Resource::Group => "target groups",
        Resource::Listener => "listeners",
        Resource::Rule => "rules",
    };
    Fault::caller(resource.code(), format_args!("One or more {nouns} not found"))
}

pub fn names_missing(resource: Resource, names: &[String]) -> Fault {
    let nouns = if resource == Resource::Balancer { "Load balancers" } else { "Target groups" };
    Fault::caller(resource.code(), format_args!("{nouns} '[{}]' not found", names.join(", ")))
}

pub fn duplicate_balancer(name: &str) -> Fault {
    Fault::caller(
        "DuplicateLoadBalancerName",
        format_args!("A load balancer with the same name '{name}' exists, but with different settings"),
    )
}

pub fn duplicate_group(name: &str) -> Fault {
    Fault::caller(
        "DuplicateTargetGroupName",
        format_args!("A target group with the same name '{name}' exists, but with different settings"),
    )
}

pub fn duplicate_listener(balancer: impl Display) -> Fault {
    Fault::caller(
        "DuplicateListener",
        format_args!("A listener already exists on this port for this load balancer '{balancer}'"),
    )
}

pub fn priority_in_use(priority: impl Display) -> Fault {
    Fault::caller("PriorityInUse", format_args!("Priority '{priority}' is currently in use"))
}

pub fn too_many(code: &'static str, what: impl Display, most: usize) -> Fault {
    Fault::caller(code, format_args!("The maximum number of {what} is '{most}'"))
}

/// A quota of one resource.
pub fn reached(code: &'static str, what: &str, of: &str, most: usize, arn: &Arn) -> Fault {
    Fault::caller(
        code,
        format_args!("The maximum number of {what} per {of} '{most}' has been reached on {of} '{arn}'"),
    )
}

pub fn unsupported_protocol(protocol: &str) -> Fault {
    Fault::caller(
        "UnsupportedProtocol",
        format_args!(
            "Protocol '{protocol}' is not supported: application load balancers take HTTP and HTTPS"
        ),
    )
}

pub fn no_attribute_key(owner: Owner) -> Fault {
    invalid(format_args!("{} attribute key must be specified", owner.noun()))
}

pub fn unknown_attribute(owner: Owner, key: &str, is_elsewhere: bool) -> Fault {
    let noun = owner.noun();
    match owner {
        _ if !is_elsewhere => invalid(format_args!("{noun} attribute key '{key}' is not recognized")),
        Owner::Balancer => invalid(format_args!(
            "{noun} attribute key '{key}' is not supported on load balancers with type 'application'"
        )),
        Owner::Group => {
            configuration(format_args!("The provided target group attribute is not supported: '{key}'"))
        }
        Owner::Listener => {
            invalid(format_args!("{noun} attribute key '{key}' is not supported with this configuration"))
        }
    }
}

pub fn attribute_twice(owner: Owner, key: &str) -> Fault {
    invalid(format_args!("{} attribute key '{key}' is specified more than once", owner.noun()))
}

pub fn attribute_value(owner: Owner, key: &str, value: &str, expected: &str) -> Fault {
    invalid(format_args!(
        "{} attribute value '{value}' is not valid for '{key}': it must be {expected}",
        owner.noun()
    ))
}

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    configuration(format_args!("Boxship does not support '{what}' of Elastic Load Balancing yet."))
}
