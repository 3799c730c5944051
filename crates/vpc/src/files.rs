//! The three files of a task that describe its network.

use std::net::Ipv4Addr;

use base::Region;
use core_addresses::{Cidr, dns_suffix, private_dns_name, resolver_of};

/// Contents for `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` of a task's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFiles {
    pub resolv_conf: String,
    pub hosts: String,
    pub hostname: String,
}

/// AWS: in `awsvpc` mode the host name is the interface's private name, and the resolver is the
/// VPC's (ECS developer guide, "Task networking for Fargate").
pub fn task_files(vpc: Cidr, address: Ipv4Addr, region: &Region) -> TaskFiles {
    let name = private_dns_name(address, region);
    let short = name.split('.').next().unwrap_or(&name);
    TaskFiles {
        resolv_conf: format!("search {}\nnameserver {}\n", dns_suffix(region), resolver_of(vpc)),
        hosts: format!("127.0.0.1 localhost\n{address} {name} {short}\n"),
        hostname: format!("{name}\n"),
    }
}
