//! Which rules are worth a look: those whose host or path begins as the request's.
//!
//! Invariant: a rule that fits a request is in one of the lists that [`Index::lists`] hands out
//! for it. What cannot be indexed is in every answer.

use std::collections::BTreeMap;

use super::condition::Test;
use super::text::{Piece, Text};

/// Rules by what they ask of the host or the path, whichever tells them apart better.
#[derive(Debug)]
pub(crate) struct Index {
    paths: Tree,
    /// Over host names read from their ends.
    hosts: Tree,
    rest: Box<[u32]>,
    pub(crate) reads_host: bool,
}

/// A literal that a text must begin with, or be.
type Key = (Vec<u8>, bool);

impl Index {
    pub(crate) fn build<'a>(rules: impl Iterator<Item = &'a [Test]> + Clone) -> Index {
        let keys = || rules.clone().map(|tests| (path_keys(tests), host_keys(tests)));
        let mut crowd: BTreeMap<(bool, Key), u32> = BTreeMap::new();
        for (paths, hosts) in keys() {
            for key in paths.into_iter().flatten() {
                *crowd.entry((true, key)).or_default() += 1;
            }
            for key in hosts.into_iter().flatten() {
                *crowd.entry((false, key)).or_default() += 1;
            }
        }
        let most = |is_path: bool, keys: &Option<Vec<Key>>| {
            let keys = keys.as_ref()?;
            keys.iter().map(|key| crowd.get(&(is_path, key.clone())).copied().unwrap_or(0)).max()
        };
        let (mut paths, mut hosts, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, (path, host)) in keys().enumerate() {
            let rule = rule as u32;
            let entries = |keys: Option<Vec<Key>>| {
                keys.into_iter().flatten().map(move |(text, is_whole)| Entry { text, is_whole, rule })
            };
            match (most(true, &path), most(false, &host)) {
                (Some(by_path), Some(by_host)) if by_path > by_host => hosts.extend(entries(host)),
                (Some(_), _) => paths.extend(entries(path)),
                (None, Some(_)) => hosts.extend(entries(host)),
                (None, None) => rest.push(rule),
            }
        }
        let reads_host = rules.flatten().any(|test| matches!(test, Test::Host(_)));
        Index { paths: Tree::build(paths), hosts: Tree::build(hosts), rest: rest.into(), reads_host }
    }

    /// Hands out lists of rules, each in ascending order, that have every rule which may fit.
    pub(crate) fn lists(&self, path: &[u8], host: &[u8], mut take: impl FnMut(&[u32])) {
        self.paths.walk(path, &mut take);
        if !self.hosts.nodes.is_empty() {
            reversed(host, |host| self.hosts.walk(host, &mut take));
        }
        if !self.rest.is_empty() {
            take(&self.rest);
        }
    }
}

/// Hands the text, read from its end, to `then`.
fn reversed(text: &[u8], then: impl FnOnce(&[u8])) {
    let mut buffer = [0_u8; 256];
    match buffer.get_mut(..text.len()) {
        Some(place) => {
            for (to, from) in place.iter_mut().zip(text.iter().rev()) {
                *to = *from;
            }
            then(place);
        }
        None => then(&text.iter().rev().copied().collect::<Vec<_>>()),
    }
}

fn path_keys(tests: &[Test]) -> Option<Vec<Key>> {
    tests.iter().find_map(|test| match test {
        // A path always begins with a slash: that alone tells nothing apart.
        Test::Path(texts) => {
            texts.iter().map(|text| beginning(text).filter(|key| key.1 || key.0.len() > 1)).collect()
        }
        _ => None,
    })
}

fn host_keys(tests: &[Test]) -> Option<Vec<Key>> {
    let ending = |text: &Text| match text {
        Text::Exact(text) => Some((text.iter().rev().copied().collect(), true)),
        Text::Suffix(text) => Some((text.iter().rev().copied().collect(), false)),
        Text::Any | Text::Prefix(_) | Text::Wild(_) | Text::Regex(_) => None,
    };
    tests.iter().find_map(|test| match test {
        Test::Host(texts) => texts.iter().map(ending).collect(),
        _ => None,
    })
}

fn beginning(text: &Text) -> Option<Key> {
    match text {
        Text::Exact(text) => Some((text.to_vec(), true)),
        Text::Prefix(text) => Some((text.to_vec(), false)),
        Text::Wild(pieces) => {
            let byte = |piece: &Piece| match piece {
                Piece::Byte(byte) => Some(*byte),
                Piece::One | Piece::Many => None,
            };
            Some((pieces.iter().map_while(byte).collect(), false))
        }
        Text::Any | Text::Suffix(_) | Text::Regex(_) => None,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    text: Vec<u8>,
    is_whole: bool,
    rule: u32,
}

/// A tree of texts by their common beginnings.
#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// What comes after the parent's text.
    label: Box<[u8]>,
    /// Of texts that go on in any way.
    begun: Box<[u32]>,
    /// Of texts that end here.
    ended: Box<[u32]>,
    /// The first byte of each child's label, and the child.
    children: Box<[(u8, u32)]>,
}

impl Tree {
    fn build(mut entries: Vec<Entry>) -> Tree {
        entries.sort();
        entries.dedup();
        let mut tree = Tree::default();
        if !entries.is_empty() {
            tree.grow(&entries, 0);
        }
        tree
    }

    /// Adds the node for entries that share their first `from` bytes, and returns its place.
    fn grow(&mut self, entries: &[Entry], from: usize) -> u32 {
        let (first, last) = (&entries[0].text, &entries[entries.len() - 1].text);
        // Sorted: what the first and the last share, all share.
        let shared = first[from..].iter().zip(&last[from..]).take_while(|(a, b)| a == b).count();
        let end = from + shared;
        let rules = |is_whole: bool| -> Box<[u32]> {
            let mut rules: Vec<u32> = entries
                .iter()
                .filter(|entry| entry.text.len() == end && entry.is_whole == is_whole)
                .map(|entry| entry.rule)
                .collect();
            rules.sort_unstable();
            rules.into()
        };
        let at = self.nodes.len();
        let (begun, ended) = (rules(false), rules(true));
        self.nodes.push(Node { label: first[from..end].into(), begun, ended, children: Box::default() });
        let longer = entries.iter().position(|entry| entry.text.len() > end).unwrap_or(entries.len());
        let children: Box<[(u8, u32)]> = entries[longer..]
            .chunk_by(|a, b| a.text[end] == b.text[end])
            .map(|entries| (entries[0].text[end], self.grow(entries, end)))
            .collect();
        self.nodes[at].children = children;
        at as u32
    }

    fn walk(&self, mut text: &[u8], take: &mut impl FnMut(&[u32])) {
        let Some(mut node) = self.nodes.first() else { return };
        loop {
            let Some(rest) = text.strip_prefix(&*node.label) else { return };
            text = rest;
            if !node.begun.is_empty() {
                take(&node.begun);
            }
            let Some(byte) = text.first() else {
                if !node.ended.is_empty() {
                    take(&node.ended);
                }
                return;
            };
            let Some((_, child)) = node.children.iter().find(|(first, _)| first == byte) else { return };
            node = &self.nodes[*child as usize];
        }
    }
}
