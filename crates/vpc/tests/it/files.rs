//! The files that describe a task's network.

use std::net::Ipv4Addr;

use base::Region;
use core_addresses::DEFAULT_VPC;

#[test]
fn files_name_the_resolver_and_the_task() {
    let files = vpc::task_files(DEFAULT_VPC, Ipv4Addr::new(172, 31, 0, 5), &Region::default_region());
    assert_eq!(files.resolv_conf, "search ec2.internal\nnameserver 172.31.0.2\n");
    assert_eq!(files.hosts, "127.0.0.1 localhost\n172.31.0.5 ip-172-31-0-5.ec2.internal ip-172-31-0-5\n");
    assert_eq!(files.hostname, "ip-172-31-0-5.ec2.internal\n");
}

#[test]
fn name_servers_are_read_and_anything_else_passed_over() {
    let text = "# x\nsearch a b\nnameserver 10.0.0.53\nnameserver\nnameserver ::1 x\noptions edns0\n\
                nameserver no\nnameserver 1.1.1.1\nnameserver 2.2.2.2\n";
    let servers: Vec<_> = vpc::dns::name_servers(text).iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53:53", "[::1]:53", "1.1.1.1:53"]);
}
