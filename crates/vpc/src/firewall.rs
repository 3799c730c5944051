//! Other programs' rules that keep tasks from the outside, and the commands that mend it. We cannot:
//! whatever one table drops, no rule of another brings back.

use std::io;

use crate::VpcError;
use crate::error::Doing;
use crate::net::{ForeignChain, Nft};

/// Beginnings of the names of our links: bridges, and VPCs' uplinks.
const LINKS: [&str; 2] = ["boxship", "bx"];
/// Where Docker leaves room for others' rules.
const DOCKER: &str = "DOCKER-USER";

/// A chain that drops what tasks send through the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Family, table, name: `ip filter FORWARD`.
    pub chain: String,
    /// What to run as root so that it lets tasks' packets pass; for a shell.
    pub mend: String,
}

/// Those of the calling thread's network. What iptables' old kernel interface holds is not seen.
///
/// # Errors
/// [`VpcError::Kernel`], with EPERM without CAP_NET_ADMIN.
pub fn firewalls() -> Result<Vec<Firewall>, VpcError> {
    Nft::open().and_then(|mut nft| in_the_way(&mut nft)).doing("looking at the machine's firewall")
}

/// A chain whose table names our links is taken to let them pass.
pub fn in_the_way(nft: &mut Nft) -> io::Result<Vec<Firewall>> {
    let mut found = Vec::new();
    for chain in nft.dropping_forward_chains()? {
        if !nft.mentions(&chain, LINKS[0])? {
            let is_docker = chain.family == "ip" && nft.has_chain(&chain.table, DOCKER)?;
            found.push(Firewall {
                mend: mend(&chain, is_docker),
                chain: format!("{} {} {}", chain.family, chain.table, chain.name),
            });
        }
    }
    Ok(found)
}

fn mend(chain: &ForeignChain, is_docker: bool) -> String {
    let commands = LINKS.into_iter().flat_map(|link| {
        if is_docker {
            ["-i", "-o"].map(|way| format!("iptables -I {DOCKER} {way} {link}+ -j ACCEPT"))
        } else {
            let ForeignChain { family, table, name } = chain;
            ["iifname", "oifname"]
                .map(|way| format!("nft insert rule {family} {table} {name} {way} '\"{link}*\"' accept"))
        }
    });
    commands.collect::<Vec<_>>().join(" && ")
}
