//! Counters of the interfaces in a process's network namespace.

use std::collections::BTreeMap;

use crate::contract::InterfaceStats;

/// By interface, loopback left out. Empty for a process that is gone, and where the namespace is ours: the
/// host's traffic is no container's.
pub(super) fn read(pid: u32) -> BTreeMap<String, InterfaceStats> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    if namespace("self") == namespace(&pid.to_string()) {
        return BTreeMap::new();
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev"));
    parse(&text.unwrap_or_default())
}

/// The table's columns: received bytes, packets, errors, dropped and four more, then the same of what was
/// sent.
fn parse(table: &str) -> BTreeMap<String, InterfaceStats> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let counts: Vec<u64> = rest.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [rb, rp, re, rd, _, _, _, _, sb, sp, se, sd, ..] = counts[..] else { return None };
        let stats = InterfaceStats {
            received_bytes: rb,
            received_packets: rp,
            received_errors: re,
            received_dropped: rd,
            sent_bytes: sb,
            sent_packets: sp,
            sent_errors: se,
            sent_dropped: sd,
        };
        Some((name.trim().to_owned(), stats))
    };
    table.lines().filter_map(line).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_but_for_loopback() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth1:    1500      10    1    2    0     0          0         0     2500      20    3    4    0     0       0          0
";
        let found = parse(table);
        let sums =
            found.get("eth1").map(|i| [i.received_bytes, i.received_dropped, i.sent_bytes, i.sent_errors]);
        assert_eq!((found.len(), sums), (1, Some([1500, 2, 2500, 3])));
    }
}
