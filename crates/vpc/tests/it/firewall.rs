//! What `doctor` asks: whether networks can be made, and firewalls that are in the way.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use vpc::{BridgedSpec, firewalls};

use crate::network::{check, greet, inside, is_closed, outside_world, serve_once};

fn sh(script: &str) -> bool {
    Command::new("sh").args(["-ec", script]).status().unwrap().success()
}

#[test]
fn a_firewall_that_is_in_the_way_is_mended_as_it_says() {
    check(|bench| {
        if !sh("command -v nft >/dev/null") {
            return;
        }
        let outside = outside_world(bench);
        let vpcs = bench.open();
        assert_eq!(firewalls().unwrap(), []);
        let spec = BridgedSpec { task: "task-a".into(), container: "web".into(), ports: Vec::new() };
        let container = bench.wait(vpcs.attach_bridged(spec)).unwrap();
        assert!(sh("nft add table inet wall && \
                    nft 'add chain inet wall forward { type filter hook forward priority 0; policy drop; }'"));
        let there = Ipv4Addr::new(198, 51, 100, 2);
        let listener = inside(&outside, || TcpListener::bind("0.0.0.0:80").unwrap());
        assert!(inside(&container.netns, || is_closed(there, 80)));
        let found = firewalls().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].chain, "inet wall forward");
        assert!(sh(&found[0].mend), "{}", found[0].mend);
        assert_eq!(firewalls().unwrap(), []);
        let server = serve_once(listener);
        assert_eq!(inside(&container.netns, || greet(there, 80)), "198.51.100.1");
        server.join().unwrap();
        bench.wait(vpcs.down()).unwrap();
    });
}

/// Docker's chains as it makes them, with iptables where that is installed.
#[test]
fn docker_is_told_in_its_own_words() {
    check(|_| {
        if !sh("command -v iptables >/dev/null && iptables --version | grep -q nf_tables") {
            return;
        }
        assert!(sh(
            "iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER && iptables -P FORWARD DROP"
        ));
        let found = firewalls().unwrap();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].mend.starts_with("iptables -I DOCKER-USER -i boxship+ -j ACCEPT"),
            "{}",
            found[0].mend
        );
        assert!(sh(&found[0].mend));
        assert_eq!(firewalls().unwrap(), []);
    });
}

#[test]
fn a_probe_makes_networks_and_leaves_nothing() {
    check(|bench| {
        let links = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().lines().count();
        let before = links();
        let found = vpc::probe(&bench.run_dir).unwrap();
        assert!(found.vpc.is_ok() && found.bridge.is_ok(), "{found:?}");
        assert_eq!((links(), bench.run_dir.exists()), (before, false));
    });
}
