//! How long an attach takes: 200 in a row, on a network of its own. Prints milliseconds.
//!
//! `cargo run --release -p vpc --example attach [SPARE]`, as root.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example for the terminal")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use core_addresses::{DEFAULT_SUBNETS, DEFAULT_VPC, mac_of};
use vpc::{BridgedSpec, InterfaceSpec, Publish, Transport, VpcKey, VpcSpec, Vpcs, VpcsConfig};

const COUNT: u8 = 200;

fn main() {
    let spare = std::env::args().nth(1).map_or(4, |text| text.parse().unwrap());
    let run_dir = std::env::temp_dir().join(format!("vpc-attach-{}", std::process::id()));
    vpc::apart::run(|| measure(VpcsConfig { run_dir, spare })).unwrap();
}

fn measure(config: VpcsConfig) {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begin = Instant::now();
    let vpcs = Vpcs::open(config).unwrap();
    println!("open                   {:.2?}", begin.elapsed());
    let key = VpcKey { account: "000000000000".into(), region: "us-east-1".into(), vpc: "vpc-1".into() };
    let begin = Instant::now();
    tokio.block_on(vpcs.ensure(VpcSpec { key: key.clone(), cidr: DEFAULT_VPC, on_host: true })).unwrap();
    println!("vpc                    {:.2?}", begin.elapsed());
    let interfaces = (0..COUNT).map(|number| InterfaceSpec {
        eni: format!("eni-{number:017x}"),
        vpc: key.clone(),
        address: Ipv4Addr::new(172, 31, 1, number),
        mac: mac_of(&number.to_string()),
        subnet: DEFAULT_SUBNETS[0],
        security_groups: Vec::new(),
        is_public: true,
        task: format!("{number:032x}"),
    });
    let enis: Vec<String> = interfaces.clone().map(|one| one.eni).collect();
    let attach = interfaces.map(|one| time(|| drop(tokio.block_on(vpcs.attach(one)).unwrap())));
    report("attach", attach.collect());
    let detach = enis.iter().map(|eni| time(|| tokio.block_on(vpcs.detach(eni)).unwrap()));
    report("detach, as awaited", detach.collect());
    let bridged = (0..COUNT).map(|number| BridgedSpec {
        task: format!("bridged-{number}"),
        container: "web".into(),
        ports: vec![Publish { transport: Transport::Tcp, container_port: 80, host_port: 0, count: 1 }],
    });
    tokio.block_on(vpcs.ensure_bridge()).unwrap();
    let attach = bridged.map(|one| time(|| drop(tokio.block_on(vpcs.attach_bridged(one)).unwrap())));
    report("bridge, one port", attach.collect());
    let detach = (0..COUNT)
        .map(|number| time(|| tokio.block_on(vpcs.detach_bridged(&format!("bridged-{number}"))).unwrap()));
    report("bridge, detach", detach.collect());
    println!("down, after {COUNT} detach {:.2?}", time(|| tokio.block_on(vpcs.down()).unwrap()));
}

fn time(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
    let at = |share: usize| times[times.len() * share / 100];
    println!("{what:<22} mean {mean:.2?}  p50 {:.2?}  p99 {:.2?}", at(50), at(99));
}
