//! Killed at any moment, the next start finds whole interfaces only, and can remove everything.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use core_security::Traffic;
use vpc::{AddressSpec, BridgedSpec, Publish, Transport, VpcSpec, Vpcs, VpcsConfig};

use crate::groups::{address, attach_in, group, is_shut, range, reaches, serve_in, tell};
use crate::network::{Bench, check, interface, key};

/// Names the run directory for the process that is to be killed.
const RUN_DIR: &str = "VPC_TEST_CHURN";
const ROUNDS: usize = 25;
/// With `BOXSHIP_LONG` set.
const LONG_ROUNDS: usize = 300;

/// The victim: attaches and detaches for ever, a line after each. Does nothing unless asked.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test below starts this process")]
fn churn() {
    let Ok(run_dir) = std::env::var(RUN_DIR) else { return };
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let vpcs = Vpcs::open(VpcsConfig { run_dir: run_dir.into(), spare: 2 }).unwrap();
    let spec = VpcSpec { key: key("one"), cidr: core_addresses::DEFAULT_VPC, on_host: true };
    let mut output = std::io::stderr();
    tokio.block_on(vpcs.ensure(spec)).unwrap();
    for number in 0_u32.. {
        let mut one = interface("one", 4 + (number % 40) as u8);
        one.is_public = number % 2 == 0;
        one.security_groups = vec![format!("sg-{}", number % 5), "sg-all".into()];
        let node = AddressSpec {
            vpc: key("one"),
            address: address(100 + (number % 3) as u8),
            security_groups: one.security_groups.clone(),
        };
        tokio.block_on(vpcs.hold(node.clone())).unwrap();
        if number % 4 == 0 {
            let rules = [range(Traffic::Tcp(number as u16, 5000), "10.0.0.0/8")];
            let told = core_security::Vpc {
                groups: vec![group(&one.security_groups[0], &rules), group("sg-all", &[])],
                ..core_security::Vpc::default()
            };
            tokio.block_on(vpcs.filter(key("one"), told)).unwrap();
            tokio.block_on(vpcs.release(&key("one"), node.address)).unwrap();
        }
        let eni = one.eni.clone();
        // What an earlier round left makes this one a repetition.
        tokio.block_on(vpcs.attach(one)).unwrap();
        output.write_all(b"attached\n").unwrap();
        let port = Publish { transport: Transport::Tcp, container_port: 80, host_port: 0, count: 2 };
        let task = format!("bridged-{}", number % 7);
        let bridged = BridgedSpec { task: task.clone(), container: "web".into(), ports: vec![port] };
        tokio.block_on(vpcs.attach_bridged(bridged)).unwrap();
        output.write_all(b"bridged\n").unwrap();
        if number % 3 == 1 {
            tokio.block_on(vpcs.detach_bridged(&task)).unwrap();
        }
        if number % 3 == 0 {
            tokio.block_on(vpcs.detach(&eni)).unwrap();
            output.write_all(b"detached\n").unwrap();
        }
    }
}

fn start(bench: &Bench) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["crash::churn", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(RUN_DIR, &bench.run_dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_half_done() {
    check(|bench| {
        let rounds = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG_ROUNDS } else { ROUNDS };
        for round in 0..rounds {
            let mut child = start(bench);
            let output = BufReader::new(child.stderr.take().unwrap());
            let seen = output.lines().take(1 + round * 3 % 17).map(Result::unwrap).count();
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(seen > 0);

            let vpcs = bench.open();
            let found = bench.wait(vpcs.inventory()).unwrap();
            assert_eq!((found.vpcs.len(), found.links.len()), (1, 1), "{found:?}");
            // The bridge may not be there yet.
            assert!(found.tables.len() == 2 || found.bridged.is_empty(), "{found:?}");
            // One file per interface and per container, and the VPC's own.
            let files = found.interfaces.len() + found.bridged.len() + 1;
            assert_eq!(found.namespaces.len(), files, "{found:?}");
            // No container without its ports, no ports without their container.
            assert_eq!(found.ports.len(), 2 * found.bridged.len(), "{found:?}");
            bench.attach(&vpcs, "one", 200);
            bench.wait(vpcs.detach("eni-one200")).unwrap();
        }
        let vpcs = bench.open();
        let (a, b) = (attach_in(bench, &vpcs, 201, &["sg-last"]), attach_in(bench, &vpcs, 202, &["sg-last"]));
        serve_in(&b, 80);
        tell(bench, &vpcs, &[group("sg-last", &[])], &[]);
        assert!(is_shut(&a, 202, 80));
        tell(bench, &vpcs, &[group("sg-last", &[range(Traffic::All, "0.0.0.0/0")])], &[]);
        assert!(reaches(&a, 202, 80));
        bench.wait(vpcs.down()).unwrap();
        drop(vpcs);
        let vpcs = bench.open();
        assert!(bench.wait(vpcs.inventory()).unwrap().is_empty());
        bench.wait(vpcs.down()).unwrap();
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
    });
}
