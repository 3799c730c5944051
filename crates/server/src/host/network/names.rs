//! Host names and the files that describe a container's network, outside VPCs: as Docker writes
//! them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use base::Chance;
use core_lifecycle::{ContainerSpec, Names};

/// Where systemd keeps the name servers behind its own at 127.0.0.53.
const SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";
/// What Docker asks where the machine has no name server that a container could reach.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// The machine's own files, as far as they can be read.
#[derive(Debug, Default)]
pub struct HostFiles {
    resolv_conf: String,
    /// Used where the first names only the machine itself.
    resolv_conf_behind: String,
    hosts: String,
}

impl HostFiles {
    pub fn read() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        HostFiles {
            resolv_conf: read("/etc/resolv.conf"),
            resolv_conf_behind: read(SYSTEMD),
            hosts: read("/etc/hosts"),
        }
    }
}

/// What a container calls itself. AWS: without a name of its own it has the first twelve digits of
/// its Docker id; ours are derived from the task and the container's name.
pub fn hostname(task: &str, container: &ContainerSpec) -> String {
    let derived = || Chance::new(0).split(&format!("{task}/{}", container.name)).hex(12);
    container.names.hostname.clone().unwrap_or_else(derived)
}

pub fn host_hostname(names: Option<&Names>) -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    names.and_then(|names| names.hostname.clone()).unwrap_or_else(own)
}

/// Words of every line that begins with `keyword`.
fn words_of<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let is_it = words.next() == Some(keyword);
        words.take_while(|word| !word.starts_with(['#', ';'])).filter(move |_| is_it)
    })
}

/// Name servers that are reached from another namespace, too.
fn reachable(text: &str) -> Vec<&str> {
    let is_reachable =
        |word: &&str| word.parse().is_ok_and(|address: IpAddr| !address.is_loopback() && address.is_ipv4());
    words_of(text, "nameserver").filter(is_reachable).collect()
}

/// For a container with a namespace of its own.
pub fn resolv_conf(host: &HostFiles, names: &Names) -> String {
    let (own, behind) = (reachable(&host.resolv_conf), reachable(&host.resolv_conf_behind));
    let servers = if names.dns_servers.is_empty() {
        [own, behind, FALLBACK.to_vec()].into_iter().find(|servers| !servers.is_empty()).unwrap_or_default()
    } else {
        names.dns_servers.iter().map(String::as_str).collect()
    };
    write_resolv_conf(&servers, &host.resolv_conf, names)
}

/// On the host's own network: its file, unless the container says otherwise.
pub fn resolv_conf_on_host(host: &HostFiles, names: Option<&Names>) -> String {
    match names.filter(|one| !(one.dns_servers.is_empty() && one.dns_search_domains.is_empty())) {
        None => host.resolv_conf.clone(),
        Some(names) if names.dns_servers.is_empty() => {
            let servers: Vec<_> = words_of(&host.resolv_conf, "nameserver").collect();
            write_resolv_conf(&servers, &host.resolv_conf, names)
        }
        Some(names) => {
            let servers: Vec<_> = names.dns_servers.iter().map(String::as_str).collect();
            write_resolv_conf(&servers, &host.resolv_conf, names)
        }
    }
}

fn write_resolv_conf(servers: &[&str], host: &str, names: &Names) -> String {
    let search: Vec<&str> = if names.dns_search_domains.is_empty() {
        words_of(host, "search").collect()
    } else {
        // Docker: a single dot means none at all.
        names.dns_search_domains.iter().map(String::as_str).filter(|domain| *domain != ".").collect()
    };
    let options: Vec<&str> = words_of(host, "options").collect();
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (keyword, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    text
}

/// For a container with a namespace of its own. `known`: address and host name of the task's
/// containers, by name.
pub fn hosts(
    address: Option<Ipv4Addr>,
    hostname: &str,
    names: &Names,
    known: &BTreeMap<String, (Ipv4Addr, String)>,
) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    write_extra(&mut text, names);
    for link in &names.links {
        // Docker: by the alias, by the host name and by the container's own name.
        if let Some((address, hostname)) = known.get(&link.container) {
            let _ = writeln!(text, "{address}\t{} {hostname} {}", link.alias, link.container);
        }
    }
    let short = hostname.split('.').next().filter(|short| *short != hostname);
    let suffix = short.map(|short| format!(" {short}")).unwrap_or_default();
    let own = address.unwrap_or(Ipv4Addr::LOCALHOST);
    let _ = writeln!(text, "{own}\t{hostname}{suffix}");
    text
}

/// On the host's own network: its file, and what the container adds.
pub fn hosts_on_host(host: &HostFiles, names: Option<&Names>) -> String {
    let mut text = host.hosts.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if let Some(names) = names {
        write_extra(&mut text, names);
    }
    text
}

fn write_extra(text: &mut String, names: &Names) {
    for (name, address) in &names.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
}

#[cfg(test)]
mod tests {
    use core_lifecycle::Link;

    use super::*;

    fn host(resolv_conf: &str) -> HostFiles {
        HostFiles {
            resolv_conf: resolv_conf.to_owned(),
            hosts: "127.0.0.1 box".into(),
            ..HostFiles::default()
        }
    }

    #[test]
    fn name_servers_are_the_machines_unless_only_it_reaches_them() {
        let check = |host: &HostFiles, names: &Names, want: &str| {
            assert_eq!(resolv_conf(host, names), want, "{host:?}");
        };
        let plain = Names::default();
        let office = host("# comment\nsearch corp.example # ours\nnameserver 10.0.0.2\noptions ndots:2\n");
        check(&office, &plain, "nameserver 10.0.0.2\nsearch corp.example\noptions ndots:2\n");
        let mut systemd = host("nameserver 127.0.0.53\n");
        check(&systemd, &plain, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        systemd.resolv_conf_behind = "nameserver 192.168.1.1\n".to_owned();
        check(&systemd, &plain, "nameserver 192.168.1.1\n");
        let own = Names {
            dns_servers: vec!["1.1.1.1".into()],
            dns_search_domains: vec!["a.example".into(), "b.example".into()],
            ..Names::default()
        };
        check(&office, &own, "nameserver 1.1.1.1\nsearch a.example b.example\noptions ndots:2\n");
        assert_eq!(resolv_conf_on_host(&systemd, Some(&plain)), "nameserver 127.0.0.53\n");
        let search = Names { dns_search_domains: vec!["a.example".into()], ..Names::default() };
        assert_eq!(resolv_conf_on_host(&systemd, Some(&search)), "nameserver 127.0.0.53\nsearch a.example\n");
    }

    #[test]
    fn hosts_has_links_extra_hosts_and_oneself() {
        let names = Names {
            extra_hosts: vec![("db.example".into(), "10.1.1.1".into())],
            links: vec![Link { container: "redis".into(), alias: "cache".into() }],
            ..Names::default()
        };
        let known = BTreeMap::from([("redis".to_owned(), (Ipv4Addr::new(172, 17, 0, 3), "0a1b".to_owned()))]);
        assert_eq!(
            hosts(Some(Ipv4Addr::new(172, 17, 0, 2)), "web.example", &names, &known),
            "127.0.0.1\tlocalhost\n10.1.1.1\tdb.example\n172.17.0.3\tcache 0a1b redis\n\
             172.17.0.2\tweb.example web\n"
        );
        assert_eq!(hosts(None, "box", &Names::default(), &known), "127.0.0.1\tlocalhost\n127.0.0.1\tbox\n");
        assert_eq!(hosts_on_host(&host(""), Some(&names)), "127.0.0.1 box\n10.1.1.1\tdb.example\n");
    }
}
