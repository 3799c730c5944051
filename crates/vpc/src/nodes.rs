//! Addresses in a VPC that are no task's: balancers' nodes, and the host's own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use core_addresses::resolver_of;

use crate::error::Doing;
use crate::world::{World, check_name};
use crate::{AddressSpec, PLATFORM, VpcError, VpcKey};

impl World {
    pub fn hold(&mut self, spec: AddressSpec) -> Result<(), VpcError> {
        self.vacate(&spec)?;
        self.admit(&spec)?;
        // Targets may lie outside.
        self.host.forward().doing("switching forwarding on")?;
        let vpc = self.vpcs.get_mut(&spec.vpc).ok_or_else(|| VpcError::UnknownVpc(spec.vpc.clone()))?;
        vpc.hold(spec.address).doing("making a balancer's address")
    }

    /// Its groups hold before it is there. Those that were told of it count more.
    fn admit(&mut self, spec: &AddressSpec) -> Result<(), VpcError> {
        self.settle_flows(&spec.vpc, spec.address);
        let (vpc, filter) = self.filtered(&spec.vpc)?;
        let is_here = vpc.nodes.contains(&spec.address) || vpc.host_address == Some(spec.address);
        if is_here && filter.knows(spec.address) {
            return Ok(());
        }
        filter.enter(vpc.place(), spec.address, &spec.security_groups).doing("filtering an address")
    }

    /// Whoever else has the address gives way.
    fn vacate(&mut self, spec: &AddressSpec) -> Result<(), VpcError> {
        let vpc = self.vpcs.get(&spec.vpc).ok_or_else(|| VpcError::UnknownVpc(spec.vpc.clone()))?;
        if [PLATFORM, resolver_of(vpc.spec.cidr)].contains(&spec.address) {
            return Err(VpcError::Conflict(spec.address.to_string()));
        }
        spec.security_groups.iter().try_for_each(|group| check_name(group))?;
        self.evict(&spec.vpc, spec.address)
    }

    pub fn release(&mut self, key: &VpcKey, address: Ipv4Addr) -> Result<(), VpcError> {
        if !self.vpcs.get(key).is_some_and(|vpc| vpc.nodes.contains(&address)) {
            return Ok(());
        }
        let (vpc, filter) = self.filtered(key)?;
        vpc.release(address).doing("taking a balancer's address away")?;
        filter.leave(vpc.place(), address).doing("forgetting an address's groups")?;
        self.forget_flows(key, address)
    }

    pub fn nodes(&self) -> Vec<(VpcKey, Ipv4Addr)> {
        let of = |(key, vpc): (&VpcKey, &crate::vpc::Vpc)| {
            let key = key.clone();
            vpc.nodes.iter().map(move |address| (key.clone(), *address)).collect::<Vec<_>>()
        };
        self.vpcs.iter().flat_map(of).collect()
    }

    /// Every one is tried.
    pub fn retain_held(
        &mut self,
        wanted: &BTreeSet<(VpcKey, Ipv4Addr)>,
    ) -> Result<Vec<(VpcKey, Ipv4Addr)>, VpcError> {
        let unwanted: Vec<_> = self.nodes().into_iter().filter(|node| !wanted.contains(node)).collect();
        let outcomes: Vec<_> = unwanted.iter().map(|(key, address)| self.release(key, *address)).collect();
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(unwanted)
    }

    pub fn host_address(&mut self, spec: AddressSpec) -> Result<(), VpcError> {
        self.vacate(&spec)?;
        self.release(&spec.vpc, spec.address)?;
        let vpc = self.vpcs.get_mut(&spec.vpc).ok_or_else(|| VpcError::UnknownVpc(spec.vpc.clone()))?;
        if vpc.host_address.is_some_and(|address| address != spec.address) {
            self.no_host_address(&spec.vpc)?;
        }
        self.admit(&spec)?;
        let vpc = self.vpcs.get_mut(&spec.vpc).ok_or_else(|| VpcError::UnknownVpc(spec.vpc.clone()))?;
        vpc.lead_to_host(spec.address).doing("leading an address to the host")?;
        let uplink = vpc.uplink;
        if !self.host.stands().iter().any(|(_, address)| *address == spec.address) {
            self.host.stand(uplink, spec.address).doing("giving the host an address in a VPC")?;
            self.containers.refresh(&mut self.host).doing("writing the bridge's rules")?;
        }
        // Published ports are reached through the bridge, which is another link.
        self.host.forward().doing("switching forwarding on")
    }

    pub fn no_host_address(&mut self, key: &VpcKey) -> Result<(), VpcError> {
        let Some(vpc) = self.vpcs.get_mut(key) else { return Ok(()) };
        let Some(address) = vpc.host_address else { return Ok(()) };
        vpc.lead_nowhere(address).doing("leading an address nowhere")?;
        self.host.leave(vpc.uplink, address).doing("taking the host's address in a VPC away")?;
        self.containers.refresh(&mut self.host).doing("writing the bridge's rules")?;
        let (vpc, filter) = self.filtered(key)?;
        filter.leave(vpc.place(), address).doing("forgetting an address's groups")?;
        self.forget_flows(key, address)
    }
}
