//! Permissions as requests carry them, read into traffic and peers. Pure.

use aws_ec2::{IpPermission, SecurityGroupRuleRequest, UserIdGroupPair};
use base::Fault;
use core_addresses::Cidr;
use core_security::Traffic;

use crate::faults;

/// One permission to one peer, whose group is not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    pub traffic: Traffic,
    pub peer: Named,
    pub description: Option<String>,
}

/// A peer as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Range(Cidr),
    Group {
        id: Option<String>,
        /// Of the default VPC, where there is no id.
        name: Option<String>,
        owner: Option<String>,
    },
    /// There are no IPv6 addresses here, so no rule has such a peer.
    Ipv6(String),
    /// There are no prefix lists here.
    PrefixList(String),
}

/// AWS: of a rule's description.
const MOST_DESCRIPTION: usize = 255;
const DESCRIPTION_CHARACTERS: &str = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";

/// Every peer of every permission on its own, in the order of the request. `towards` is the word
/// for what is missing in a permission without a peer: `source` or `destination`.
pub fn read(permissions: Vec<IpPermission>, towards: &str) -> Result<Vec<Permission>, Fault> {
    let mut all = Vec::new();
    for permission in permissions {
        let traffic = traffic(permission.ip_protocol.as_deref(), permission.from_port, permission.to_port)?;
        let mut add = |peer: Named, description: Option<String>| {
            all.push(Permission { traffic, peer, description: checked(description)? });
            Ok::<(), Fault>(())
        };
        let before = (&permission.ip_ranges, &permission.user_id_group_pairs);
        let has_none = before.0.iter().flatten().next().is_none()
            && before.1.iter().flatten().next().is_none()
            && permission.ipv6_ranges.iter().flatten().next().is_none()
            && permission.prefix_list_ids.iter().flatten().next().is_none();
        if has_none {
            return Err(faults::no_peer(towards));
        }
        for range in permission.ip_ranges.into_iter().flatten() {
            add(Named::Range(cidr(&range.cidr_ip.unwrap_or_default())?), range.description)?;
        }
        for range in permission.ipv6_ranges.into_iter().flatten() {
            add(Named::Ipv6(range.cidr_ipv6.unwrap_or_default()), range.description)?;
        }
        for list in permission.prefix_list_ids.into_iter().flatten() {
            add(Named::PrefixList(list.prefix_list_id.unwrap_or_default()), list.description)?;
        }
        for pair in permission.user_id_group_pairs.into_iter().flatten() {
            let description = pair.description.clone();
            add(group(pair)?, description)?;
        }
    }
    Ok(all)
}

/// A rule as ModifySecurityGroupRules gives it: with exactly one peer.
pub fn of_rule(rule: SecurityGroupRuleRequest) -> Result<Permission, Fault> {
    let traffic = traffic(rule.ip_protocol.as_deref(), rule.from_port, rule.to_port)?;
    let peers = [
        rule.cidr_ipv4.map(|text| cidr(&text).map(Named::Range)),
        rule.cidr_ipv6.map(|text| Ok(Named::Ipv6(text))),
        rule.prefix_list_id.map(|id| Ok(Named::PrefixList(id))),
        rule.referenced_group_id.map(|id| Ok(Named::Group { id: Some(id), name: None, owner: None })),
    ];
    let mut peers = peers.into_iter().flatten();
    let (Some(peer), None) = (peers.next(), peers.next()) else {
        return Err(faults::combination(
            "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be specified for \
             a security group rule.",
        ));
    };
    Ok(Permission { traffic, peer: peer?, description: checked(rule.description)? })
}

fn group(pair: UserIdGroupPair) -> Result<Named, Fault> {
    if pair.vpc_peering_connection_id.is_some() {
        return Err(faults::refuse("IpPermissions.UserIdGroupPairs.VpcPeeringConnectionId"));
    }
    if pair.group_id.is_none() && pair.group_name.is_none() {
        return Err(faults::missing("GroupId"));
    }
    Ok(Named::Group { id: pair.group_id, name: pair.group_name, owner: pair.user_id })
}

/// AWS: bits after the prefix are cleared, and a bare address is no range.
pub fn cidr(text: &str) -> Result<Cidr, Fault> {
    Cidr::canonical(text).map_err(|_| faults::invalid(format_args!("CIDR block {text} is malformed")))
}

pub fn checked(description: Option<String>) -> Result<Option<String>, Fault> {
    let Some(text) = description.filter(|text| !text.is_empty()) else { return Ok(None) };
    if is_plain(&text) {
        return Ok(Some(text));
    }
    Err(faults::invalid(format_args!(
        "Invalid rule description. Valid descriptions are strings less than 256 characters from the \
         following set:  {DESCRIPTION_CHARACTERS}"
    )))
}

/// AWS: the characters and the length of groups' names and descriptions, and of rules'.
pub fn is_plain(text: &str) -> bool {
    let is_one = |c: char| c.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(c);
    text.chars().count() <= MOST_DESCRIPTION && text.chars().all(is_one)
}

/// AWS: TCP and UDP need both ports, ICMP type and code; any other protocol is allowed whole,
/// whatever its ports say.
fn traffic(protocol: Option<&str>, from: Option<i32>, to: Option<i32>) -> Result<Traffic, Fault> {
    let protocol = protocol.ok_or_else(|| faults::missing("ipProtocol"))?;
    let both = |name: &str| {
        let text = format!("Must specify both from and to ports with {name}.");
        from.zip(to).ok_or_else(|| faults::invalid(format_args!("Invalid value '{text}' for portRange.")))
    };
    match number(protocol)? {
        None => Ok(Traffic::All),
        Some(TCP) => ports(both("TCP/UDP")?).map(|(from, to)| Traffic::Tcp(from, to)),
        Some(UDP) => ports(both("TCP/UDP")?).map(|(from, to)| Traffic::Udp(from, to)),
        Some(ICMP) => icmp(both("ICMP")?),
        Some(ICMPV6) => Err(faults::refuse("IpPermissions.IpProtocol=icmpv6")),
        Some(other) => Ok(Traffic::Protocol(other)),
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// `None`: every protocol.
fn number(protocol: &str) -> Result<Option<u8>, Fault> {
    match protocol.to_ascii_lowercase().as_str() {
        "-1" => Ok(None),
        "tcp" => Ok(Some(TCP)),
        "udp" => Ok(Some(UDP)),
        "icmp" => Ok(Some(ICMP)),
        "icmpv6" => Ok(Some(ICMPV6)),
        other => other.parse().map(Some).map_err(|_| {
            faults::invalid(format_args!("Invalid value '{protocol}' for IP protocol. Unknown protocol."))
        }),
    }
}

fn ports((from, to): (i32, i32)) -> Result<(u16, u16), Fault> {
    let port = |port: i32| {
        u16::try_from(port)
            .map_err(|_| faults::malformed_permission(format_args!("TCP/UDP port ({port}) out of range")))
    };
    let (low, high) = (port(from)?, port(to)?);
    if low > high {
        return Err(faults::invalid(format_args!("Invalid TCP/UDP port range ({from}:{to})")));
    }
    Ok((low, high))
}

/// AWS: -1 stands for every type, and for every code; of all types there is no single code.
fn icmp((kind, code): (i32, i32)) -> Result<Traffic, Fault> {
    let one = |what: &str, value: i32| match value {
        -1 => Ok(None),
        value => u8::try_from(value)
            .map(Some)
            .map_err(|_| faults::malformed_permission(format_args!("ICMP {what} ({value}) out of range"))),
    };
    let (kind, code) = (one("type", kind)?, one("code", code)?);
    match (kind, code) {
        (None, Some(code)) => Err(faults::malformed_permission(format_args!(
            "ICMP code ({code}) cannot be specified with every ICMP type (-1)"
        ))),
        _ => Ok(Traffic::Icmp(kind, code)),
    }
}

#[cfg(test)]
mod tests {
    use core_security::Traffic;

    use super::{is_plain, traffic};

    #[test]
    fn protocols_have_names_and_numbers() {
        for (protocol, from, to, expected) in [
            ("tcp", Some(80), Some(443), Traffic::Tcp(80, 443)),
            ("TCP", Some(0), Some(65535), Traffic::Tcp(0, 65535)),
            ("6", Some(22), Some(22), Traffic::Tcp(22, 22)),
            ("udp", Some(53), Some(53), Traffic::Udp(53, 53)),
            ("17", Some(53), Some(53), Traffic::Udp(53, 53)),
            ("icmp", Some(-1), Some(-1), Traffic::Icmp(None, None)),
            ("1", Some(8), Some(-1), Traffic::Icmp(Some(8), None)),
            ("icmp", Some(3), Some(4), Traffic::Icmp(Some(3), Some(4))),
            ("-1", Some(80), Some(80), Traffic::All),
            ("-1", None, None, Traffic::All),
            ("50", Some(80), Some(80), Traffic::Protocol(50)),
        ] {
            assert_eq!(traffic(Some(protocol), from, to), Ok(expected), "{protocol} {from:?} {to:?}");
        }
    }

    #[test]
    fn what_no_packet_could_be_is_refused() {
        let unpaired = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
        for (protocol, from, to, code, text) in [
            ("tcp", None, None, "InvalidParameterValue", unpaired),
            ("udp", Some(5), None, "InvalidParameterValue", unpaired),
            ("tcp", Some(-1), Some(-1), "InvalidPermission.Malformed", "TCP/UDP port (-1) out of range"),
            ("tcp", Some(1), Some(65536), "InvalidPermission.Malformed", "TCP/UDP port (65536) out of range"),
            ("tcp", Some(5), Some(3), "InvalidParameterValue", "Invalid TCP/UDP port range (5:3)"),
            (
                "icmp",
                None,
                None,
                "InvalidParameterValue",
                "Invalid value 'Must specify both from and to ports with ICMP.' for portRange.",
            ),
            ("icmp", Some(256), Some(0), "InvalidPermission.Malformed", "ICMP type (256) out of range"),
            ("icmp", Some(8), Some(-2), "InvalidPermission.Malformed", "ICMP code (-2) out of range"),
            (
                "http",
                None,
                None,
                "InvalidParameterValue",
                "Invalid value 'http' for IP protocol. Unknown protocol.",
            ),
            (
                "256",
                None,
                None,
                "InvalidParameterValue",
                "Invalid value '256' for IP protocol. Unknown protocol.",
            ),
        ] {
            let fault = traffic(Some(protocol), from, to).unwrap_err();
            assert_eq!((fault.code.as_ref(), fault.message.as_str()), (code, text));
        }
        assert_eq!(traffic(None, None, None).unwrap_err().code, "MissingParameter");
        assert_eq!(traffic(Some("icmp"), Some(-1), Some(0)).unwrap_err().code, "InvalidPermission.Malformed");
        assert_eq!(traffic(Some("icmpv6"), Some(-1), Some(-1)).unwrap_err().code, "UnsupportedOperation");
    }

    #[test]
    fn descriptions_are_plain() {
        assert!(is_plain("SSH from (the) office; #1"));
        assert!(!is_plain("<b>"));
        assert!(!is_plain("Büro"));
        assert!(is_plain(&"a".repeat(255)) && !is_plain(&"a".repeat(256)));
    }
}
