//! Security groups in force: which packets of a VPC pass.
//!
//! Owns the table of groups in a VPC's namespace. What is filtered: what tasks, balancers and the
//! instance that the host is send to each other and to the outside, and what comes from there. What is
//! not: what goes to 169.254.170.2 and to the resolver, and what the host itself sends over the uplink.
//!
//! Invariants:
//! - What no rule allows is dropped, of members whose groups nobody has told of, too; what comes from an
//!   address that is no member's does not leave its link.
//! - Every change of what is allowed is one transaction: no packet meets half of it. What it needs is made
//!   before it, and what nobody needs goes after it. One that the kernel refuses changes nothing.
//! - AWS: connections that exist go on when the rule goes that let them in, for as long as packets flow.
//!   (There, those that a rule for everyone let in without being followed end; here all are followed.)
//! - The kernel is the record of members. After a restart the old rules hold until the new ones are told.

mod ranges;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use core_addresses::Cidr;
use core_security::{Peer, Rule};

use crate::net::{Batch, Element, Nft};
use table::{Direction, KINDS, Kind, TABLE, kind_of};

/// Ids, sorted, each once.
type Groups = Arc<[String]>;

fn sorted(groups: &[String]) -> Groups {
    let all: BTreeSet<String> = groups.iter().cloned().collect();
    all.into_iter().collect()
}

/// Egress and ingress of a group.
#[derive(Debug, Clone, PartialEq, Default)]
struct Sides {
    egress: Vec<Rule>,
    ingress: Vec<Rule>,
}

impl Sides {
    fn of(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    fn peers(&self) -> impl Iterator<Item = &String> {
        self.egress.iter().chain(&self.ingress).filter_map(|rule| match &rule.peer {
            Peer::Group(group) => Some(group),
            Peer::Range(_) => None,
        })
    }
}

/// Groups by id, and members.
#[derive(Debug, Default)]
struct Told {
    /// `None`: as it is in the kernel.
    groups: BTreeMap<String, Option<Sides>>,
    members: BTreeMap<Ipv4Addr, Groups>,
    /// Nobody has told it since the start: it is what the kernel had.
    is_old: bool,
}

/// As the kernel has it.
#[derive(Debug, Default)]
struct There {
    /// `None`: rules of an earlier start.
    groups: BTreeMap<String, Option<Sides>>,
    kinds: BTreeSet<Kind>,
    members: BTreeMap<Ipv4Addr, Groups>,
    /// The names of their sets of ranges.
    ranges: BTreeMap<(String, Direction), Vec<String>>,
    /// Those of an earlier start.
    old_ranges: Vec<String>,
    /// Of the last set of ranges.
    number: u32,
}

/// Where a VPC's table is, and what it says of the VPC itself.
pub struct Place<'a> {
    pub nft: &'a mut Nft,
    pub range: Cidr,
    /// The host's end of the uplink.
    pub host: Ipv4Addr,
}

/// The groups of one VPC, on this host or not yet.
#[derive(Default)]
pub struct Filter {
    told: Told,
    /// Of addresses that are here, what was said when they came.
    own: BTreeMap<Ipv4Addr, Groups>,
    /// `None`: there is no table.
    there: Option<There>,
}

/// A change of the table: groups to write (with their rules where those are known), members to change,
/// and whether what nobody uses goes.
#[derive(Default)]
struct Step {
    groups: BTreeMap<String, Option<Sides>>,
    members: BTreeMap<Ipv4Addr, Option<Groups>>,
    gone: Vec<String>,
    is_whole: bool,
    /// No rule of an earlier start stays.
    is_new: bool,
}

impl Filter {
    /// Takes up what an earlier start left. `own`: addresses that are here.
    pub fn recover(nft: &mut Nft, own: &[Ipv4Addr]) -> io::Result<Self> {
        let there = read(nft)?;
        let groups_of = |address: &Ipv4Addr| {
            let found = there.as_ref().and_then(|there| there.members.get(address).cloned());
            // Of an earlier version, which did not filter: so it stays until somebody tells.
            found.unwrap_or_else(|| sorted(&[]))
        };
        let own = own.iter().map(|address| (*address, groups_of(address))).collect();
        let told = there.as_ref().map_or_else(Told::default, |there| Told {
            groups: there.groups.keys().map(|group| (group.clone(), None)).collect(),
            members: there.members.clone(),
            is_old: true,
        });
        Ok(Filter { told, own, there })
    }

    /// Forgets what was there: the namespace is new.
    pub fn begin(&mut self, place: Place<'_>) -> io::Result<()> {
        self.there = None;
        self.own.clear();
        self.write_whole(place)
    }

    /// What is to be in force from now on. Without a place it is kept for later.
    pub fn tell(&mut self, place: Option<Place<'_>>, vpc: core_security::Vpc) -> io::Result<()> {
        let mut interned: BTreeMap<Vec<String>, Groups> = BTreeMap::new();
        let mut groups_of =
            |groups: Vec<String>| interned.entry(groups).or_insert_with_key(|groups| sorted(groups)).clone();
        let members = vpc.members.into_iter().map(|member| (member.address, groups_of(member.groups)));
        let told = Told {
            members: members.collect(),
            is_old: false,
            groups: vpc
                .groups
                .into_iter()
                .map(|group| (group.id, Some(Sides { egress: group.egress, ingress: group.ingress })))
                .collect(),
        };
        let before = std::mem::replace(&mut self.told, told);
        let Some(place) = place else { return Ok(()) };
        let outcome = self.write_whole(place);
        if outcome.is_err() {
            self.told = before;
        }
        outcome
    }

    /// An address is about to be there, in these groups unless others were told of it.
    pub fn enter(&mut self, place: Place<'_>, address: Ipv4Addr, groups: &[String]) -> io::Result<()> {
        let groups = sorted(groups);
        if self.told.is_old {
            // That may be of a predecessor.
            self.told.members.remove(&address);
        }
        let groups = self.told.members.get(&address).cloned().unwrap_or(groups);
        self.own.insert(address, groups.clone());
        if self.there.is_none() {
            return self.write_whole(place);
        }
        let mut step = Step::default();
        self.add_missing(&mut step, &groups);
        if self.there.as_ref().and_then(|there| there.members.get(&address)) != Some(&groups) {
            step.members.insert(address, Some(groups));
        }
        self.take(place, step)
    }

    /// An address is no longer there: what was told of it does not hold for who has it next.
    pub fn leave(&mut self, place: Place<'_>, address: Ipv4Addr) -> io::Result<()> {
        self.own.remove(&address);
        self.told.members.remove(&address);
        if !self.there.as_ref().is_some_and(|there| there.members.contains_key(&address)) {
            return Ok(());
        }
        let members = BTreeMap::from([(address, None)]);
        self.take(place, Step { members, ..Step::default() })
    }

    /// Whether anything is known of an address.
    pub fn knows(&self, address: Ipv4Addr) -> bool {
        self.told.members.contains_key(&address) || self.own.contains_key(&address)
    }

    /// Writes the table again if somebody has deleted it. Whether that was so.
    pub fn mend(&mut self, place: Place<'_>) -> io::Result<bool> {
        if self.there.is_some() && place.nft.tables()?.iter().any(|table| table == TABLE) {
            return Ok(false);
        }
        self.there = None;
        self.write_whole(place).map(|()| true)
    }

    fn add_missing(&self, step: &mut Step, groups: &[String]) {
        let is_there =
            |group: &String| self.there.as_ref().is_some_and(|there| there.groups.contains_key(group));
        for group in groups.iter().filter(|group| !is_there(group)) {
            step.groups.insert(group.clone(), self.told.groups.get(group).cloned().flatten());
        }
    }

    /// Makes the table as everything says by now.
    fn write_whole(&mut self, place: Place<'_>) -> io::Result<()> {
        let nothing = There::default();
        let there = self.there.as_ref().unwrap_or(&nothing);
        let mut step = Step { is_whole: true, is_new: !self.told.is_old, ..Step::default() };
        let members = || {
            let own = self.own.iter().filter(|(address, _)| !self.told.members.contains_key(address));
            self.told.members.iter().chain(own)
        };
        let mut used: BTreeSet<&String> = self.told.groups.keys().collect();
        used.extend(self.told.groups.values().flatten().flat_map(Sides::peers));
        let mut seen: BTreeSet<*const String> = BTreeSet::new();
        for (_, groups) in members() {
            // Most members share their groups with others.
            if seen.insert(groups.as_ptr()) {
                used.extend(groups.iter());
            }
        }
        for group in &used {
            let wanted = self.told.groups.get(*group).cloned().unwrap_or_else(|| Some(Sides::default()));
            if wanted.is_some() && there.groups.get(*group) != Some(&wanted)
                || !there.groups.contains_key(*group)
            {
                step.groups.insert((*group).clone(), wanted);
            }
        }
        step.gone = there.groups.keys().filter(|group| !used.contains(group)).cloned().collect();
        for (address, groups) in members() {
            if there.members.get(address) != Some(groups) {
                step.members.insert(*address, Some(groups.clone()));
            }
        }
        for address in there.members.keys().filter(|address| !self.knows(**address)) {
            step.members.insert(*address, None);
        }
        self.take(place, step)
    }

    /// Commits a step; the table is made if there is none.
    fn take(&mut self, place: Place<'_>, step: Step) -> io::Result<()> {
        let mut turns = Turns::new();
        let nothing = There::default();
        let there = self.there.as_ref().unwrap_or(&nothing);
        let written = write(&mut turns, there, &step);
        let all = [turns.before, turns.change, turns.after];
        let outcome = if self.there.is_some() {
            all.into_iter().try_for_each(|batch| place.nft.commit(batch))
        } else {
            let mut whole = Batch::new(TABLE);
            table::write_base(&mut whole, place.range, place.host);
            all.into_iter().for_each(|batch| whole.append(batch));
            place.nft.commit(whole)
        };
        match outcome {
            Ok(()) => {}
            // Somebody has changed the rules, or flushed them: everything is written anew.
            Err(error) if self.there.is_some() => {
                tracing::debug!(%error, "security groups are not as they were left");
                self.there = None;
                return self.write_whole(place);
            }
            Err(error) => return Err(error),
        }
        self.there.get_or_insert_default().note(step, written);
        Ok(())
    }
}

impl There {
    /// What the kernel has taken.
    fn note(&mut self, step: Step, written: Written) {
        self.kinds.extend(written.kinds);
        self.kinds.retain(|kind| !written.gone.contains(kind));
        self.number = written.number;
        self.ranges.extend(written.ranges);
        if step.is_new {
            self.old_ranges.clear();
        }
        self.groups.extend(step.groups);
        for group in &step.gone {
            self.groups.remove(group);
            self.ranges.retain(|(of, _), _| of != group);
        }
        for (address, groups) in step.members {
            match groups {
                Some(groups) => drop(self.members.insert(address, groups)),
                None => drop(self.members.remove(&address)),
            }
        }
    }
}

/// What comes and goes with a step, beside what it says itself.
struct Written {
    kinds: BTreeSet<Kind>,
    gone: BTreeSet<Kind>,
    ranges: BTreeMap<(String, Direction), Vec<String>>,
    number: u32,
}

/// A change in three transactions: what is made for it, itself, and what nobody uses after it. A packet
/// that is under way at that moment looks for chains and sets of both sides of it, and finds them.
struct Turns {
    before: Batch<'static>,
    change: Batch<'static>,
    after: Batch<'static>,
}

impl Turns {
    fn new() -> Self {
        Turns { before: Batch::new(TABLE), change: Batch::new(TABLE), after: Batch::new(TABLE) }
    }
}

fn write(turns: &mut Turns, there: &There, step: &Step) -> Written {
    let is_new = |group: &String| !there.groups.contains_key(group);
    step.groups.keys().filter(|group| is_new(group)).for_each(|group| {
        table::write_group(&mut turns.before, group);
    });
    let mut number = there.number;
    let mut ranges = BTreeMap::new();
    for (group, sides) in &step.groups {
        let Some(sides) = sides else { continue };
        let before = there.groups.get(group).and_then(Option::as_ref);
        let is_known = is_new(group) || before.is_some();
        for direction in Direction::BOTH {
            let (rules, had) = (sides.of(direction), before.map(|sides| sides.of(direction)));
            if is_known && had.unwrap_or_default() == rules {
                continue;
            }
            let sets = table::write_ranges(&mut turns.before, rules, &mut number);
            // Nobody is in a new group yet.
            let turn = if is_new(group) { &mut turns.before } else { &mut turns.change };
            table::write_rules(turn, group, direction, rules, &sets);
            let names = match sets {
                table::Written::Open => Vec::new(),
                table::Written::Sets(sets) => sets.into_iter().map(|(_, name)| name).collect(),
            };
            ranges.insert((group.clone(), direction), names);
        }
    }
    let kinds = write_kinds(&mut turns.before, there, step);
    write_members(&mut turns.change, there, step);
    let gone = if step.is_whole { unused_kinds(there, step) } else { BTreeSet::new() };
    gone.iter().for_each(|kind| table::delete_kind(&mut turns.after, *kind));
    table::delete_groups(&mut turns.after, &step.gone);
    let is_unused = |(group, direction): &(String, Direction)| {
        step.gone.contains(group) || ranges.contains_key(&(group.clone(), *direction))
    };
    let unused = there.ranges.iter().filter(|(of, _)| is_unused(of)).flat_map(|(_, names)| names);
    unused.for_each(|name| turns.after.delete_set(name));
    if step.is_new {
        there.old_ranges.iter().for_each(|name| turns.after.delete_set(name));
    }
    Written { kinds, gone, ranges, number }
}

fn write_kinds(batch: &mut Batch<'_>, there: &There, step: &Step) -> BTreeSet<Kind> {
    let mut new = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for groups in step.members.values().flatten().filter(|groups| seen.insert(Arc::as_ptr(groups))) {
        let kind = kind_of(groups);
        if !there.kinds.contains(&kind) && new.insert(kind) {
            table::write_kind(batch, groups);
        }
    }
    new
}

fn unused_kinds(there: &There, step: &Step) -> BTreeSet<Kind> {
    let kept = there.members.iter().filter(|(address, _)| !step.members.contains_key(address));
    let kept = kept.map(|(_, groups)| groups);
    let mut seen = BTreeSet::new();
    let used: BTreeSet<Kind> = kept
        .chain(step.members.values().flatten())
        .filter(|groups| seen.insert(Arc::as_ptr(groups)))
        .map(|groups| kind_of(groups))
        .collect();
    there.kinds.difference(&used).copied().collect()
}

/// Everything that goes first: an address may move between kinds.
fn write_members(batch: &mut Batch<'_>, there: &There, step: &Step) {
    let (mut out, mut put): (Sets<'_>, Sets<'_>) = Default::default();
    let (mut kinds_out, mut kinds_put) = (Vec::new(), Vec::new());
    for (address, groups) in &step.members {
        let nobody: &[String] = &[];
        let before = there.members.get(address);
        let (had, has) =
            (before.map_or(nobody, |all| &all[..]), groups.as_ref().map_or(nobody, |all| &all[..]));
        if before.is_some() {
            kinds_out.push(Element::Kind(*address, kind_of(had)));
        }
        if groups.is_some() {
            kinds_put.push(Element::Kind(*address, kind_of(has)));
        }
        for group in had.iter().filter(|group| !has.contains(group)) {
            out.entry(group).or_default().push(Element::Address(*address));
        }
        for group in has.iter().filter(|group| !had.contains(group)) {
            put.entry(group).or_default().push(Element::Address(*address));
        }
    }
    batch.remove(KINDS, &kinds_out);
    batch.add(KINDS, &kinds_put);
    out.iter().for_each(|(group, elements)| batch.remove(group, elements));
    put.iter().for_each(|(group, elements)| batch.add(group, elements));
}

/// Elements by set.
type Sets<'a> = BTreeMap<&'a str, Vec<Element<'static>>>;

/// What an earlier start left; `None` where that is nothing, or nothing that makes sense.
fn read(nft: &mut Nft) -> io::Result<Option<There>> {
    if !nft.tables()?.iter().any(|table| table == TABLE) {
        return Ok(None);
    }
    let address_of = |key: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(key).ok()?));
    let mut members: BTreeMap<Ipv4Addr, Vec<String>> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for (key, value) in nft.elements(TABLE, KINDS)? {
        let (Some(address), Ok(kind)) = (address_of(&key), Kind::try_from(value)) else { return Ok(None) };
        members.insert(address, Vec::new());
        kinds.insert(address, kind);
    }
    let mut there = There::default();
    let fixed = [KINDS, table::EGRESS, table::INGRESS];
    for group in nft.sets(TABLE)?.into_iter().filter(|name| !fixed.contains(&name.as_str())) {
        if let Some(number) = group.strip_prefix(table::RANGES) {
            let Ok(number) = number.parse() else { return Ok(None) };
            there.number = there.number.max(number);
            there.old_ranges.push(group);
            continue;
        }
        for (key, _) in nft.elements(TABLE, &group)? {
            let Some(found) = address_of(&key).and_then(|address| members.get_mut(&address)) else {
                return Ok(None);
            };
            found.push(group.clone());
        }
        there.groups.insert(group, None);
    }
    for (key, _) in nft.elements(TABLE, table::EGRESS)? {
        there.kinds.extend(Kind::try_from(key).ok());
    }
    let mut interned: BTreeMap<Vec<String>, Groups> = BTreeMap::new();
    for (address, groups) in members {
        let groups = interned.entry(groups).or_insert_with_key(|groups| sorted(groups)).clone();
        // Written by somebody else, or by a version that counted otherwise.
        if kinds.get(&address) != Some(&kind_of(&groups)) {
            return Ok(None);
        }
        there.members.insert(address, groups);
    }
    Ok(Some(there))
}
