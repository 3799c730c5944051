//! Taking up what an earlier process left: the kernel says what there is.
//!
//! Whatever lacks its last step (an alias, a file, the other end) was never answered for, and goes.

use std::collections::BTreeMap;
use std::io;

use crate::containers::Containers;
use crate::error::Doing;
use crate::host::Host;
use crate::interface::{Interface, is_interface, parse_alias};
use crate::namespace::{Directory, Namespace, is_bound, unbind};
use crate::net::request;
use crate::vpc::{Vpc, file_name, key_of};
use crate::{VpcError, VpcKey};

/// What was found; VPCs by key, interfaces by id.
#[derive(Default)]
pub struct Found {
    pub vpcs: BTreeMap<VpcKey, Vpc>,
    pub interfaces: BTreeMap<String, Interface>,
    pub containers: Containers,
}

pub fn recover(host: &mut Host, directory: &Directory) -> Result<Found, VpcError> {
    let mut found = vpcs(host, directory).doing("taking up what an earlier start left")?;
    found.containers = Containers::recover(host, directory)?;
    finish(host, directory, &found).doing("taking up what an earlier start left")?;
    Ok(found)
}

/// VPCs with their interfaces.
fn vpcs(host: &mut Host, directory: &Directory) -> io::Result<Found> {
    let mut found = Found::default();
    for (link, uplink) in host.uplinks()? {
        let file = link.alias.as_deref().filter(|alias| is_bound(&directory.file(alias)));
        let vpc = match file.and_then(|file| Some((file, key_of(file)?))) {
            Some((file, key)) => Vpc::recover(key, Namespace::open(&directory.file(file))?, uplink)?,
            None => None,
        };
        match vpc {
            Some(vpc) => drop(found.vpcs.insert(vpc.spec.key.clone(), vpc)),
            None => host.disconnect(uplink)?,
        }
    }
    for vpc in found.vpcs.values_mut() {
        let interfaces = interfaces_of(vpc, directory)?;
        let public = interfaces.iter().filter(|one| one.spec.is_public).map(|one| one.spec.address);
        let public: Vec<_> = public.chain(vpc.nodes.iter().copied()).collect();
        vpc.write_table(&public)?;
        found.interfaces.extend(interfaces.into_iter().map(|one| (one.spec.eni.clone(), one)));
    }
    Ok(found)
}

/// Lets namespaces go that nothing names, and writes the host's rules.
fn finish(host: &mut Host, directory: &Directory, found: &Found) -> io::Result<()> {
    let is_known = |name: &String| {
        found.vpcs.keys().any(|key| file_name(key) == *name)
            || found.interfaces.values().any(|one| one.spec.task == *name)
            || found.containers.knows(name)
    };
    for name in directory.names()?.iter().filter(|name| !is_known(name)) {
        unbind(&directory.file(name))?;
    }
    if !found.vpcs.is_empty() {
        let uplinks: Vec<_> = found.vpcs.values().map(|vpc| vpc.uplink).collect();
        host.write_table(&uplinks)?;
    }
    Ok(())
}

/// Its whole interfaces; halves are removed.
fn interfaces_of(vpc: &mut Vpc, directory: &Directory) -> io::Result<Vec<Interface>> {
    let mut whole = Vec::new();
    for link in vpc.rtnl.links()?.into_iter().filter(|link| is_interface(&link.name)) {
        let spec = link.alias.as_deref().and_then(|alias| parse_alias(alias, &vpc.spec.key));
        let bound = spec.map(|spec| (directory.file(&spec.task), spec)).filter(|(file, _)| is_bound(file));
        match bound {
            Some((file, spec)) => whole.push(Interface { spec, index: link.index, file }),
            None => vpc.rtnl.run(&[request::delete_link(link.index)])?,
        }
    }
    Ok(whole)
}
