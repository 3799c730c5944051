//! What a container calls itself and others.

use core_lifecycle::{Link, Names};

use crate::state::container::ContainerDefinition;

/// The names of `c`. Where its network mode has none of them, registering it was refused.
pub fn names(c: &ContainerDefinition) -> Names {
    let hosts = c.extra_hosts.iter().flatten();
    Names {
        hostname: c.hostname.clone().filter(|name| !name.is_empty()),
        dns_servers: c.dns_servers.clone().unwrap_or_default(),
        dns_search_domains: c.dns_search_domains.clone().unwrap_or_default(),
        extra_hosts: hosts.map(|host| (host.hostname.clone(), host.ip_address.clone())).collect(),
        links: c.links.iter().flatten().map(|text| link(text)).collect(),
        is_network_disabled: c.disable_networking == Some(true),
    }
}

/// `name` or `name:alias`, as Docker takes it.
pub fn link(text: &str) -> Link {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    Link { container: String::from(container), alias: String::from(alias) }
}
