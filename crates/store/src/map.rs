//! A persistent ordered map: a B+ tree whose nodes are shared between versions.
//!
//! A clone is one counter; a change copies the path from the root to one leaf, and not even that
//! where no other version shares it. An iterator owns its version, so the map may change under it.
//!
//! Invariant: every node but the root holds between [`FEW`] and [`MANY`] entries, all leaves are
//! equally deep, and a child's `low` is not above any key in it.

use std::mem;
use std::sync::Arc;

const MANY: usize = 32;
const FEW: usize = MANY / 4;

/// See the module. `K` and `V` should be cheap to clone: a path copy clones up to [`MANY`] of each.
#[derive(Debug)]
pub struct Map<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<Child<K, V>>),
}

#[derive(Debug)]
struct Child<K, V> {
    low: K,
    node: Arc<Node<K, V>>,
}

impl<K: Clone, V> Clone for Child<K, V> {
    fn clone(&self) -> Self {
        Child { low: self.low.clone(), node: Arc::clone(&self.node) }
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map { root: Arc::clone(&self.root), len: self.len }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both are the same version, told without looking inside.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(children) => node = &children[position(children, key)].node,
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
                    return Some(&entries[at].1);
                }
            }
        }
    }

    /// Sets `key` to `value` and returns what it was before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (old, split) = insert(&mut self.root, key, value);
        if let Some(right) = split {
            let low = self.root.low().clone();
            let left = Child { low, node: Arc::clone(&self.root) };
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes `key` and returns what it was.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        // Looking first keeps a version that lacks the key from being copied.
        self.get(key)?;
        let old = remove(&mut self.root, key);
        if let Node::Branch(children) = &*self.root
            && let [only] = children.as_slice()
        {
            self.root = Arc::clone(&only.node);
        }
        self.len -= 1;
        Some(old)
    }

    pub fn iter(&self) -> Iter<K, V> {
        let mut iter = Iter { path: Vec::new() };
        iter.descend(&self.root, |_| 0, |_| 0);
        iter
    }

    /// Entries from `key` on.
    pub fn from(&self, key: &K) -> Iter<K, V> {
        let mut iter = Iter { path: Vec::new() };
        let first = |entries: &[(K, V)]| entries.partition_point(|(k, _)| k < key);
        iter.descend(&self.root, |children| position(children, key), first);
        iter
    }

    /// Entries behind `key`.
    pub fn after(&self, key: &K) -> Iter<K, V> {
        let mut iter = Iter { path: Vec::new() };
        let first = |entries: &[(K, V)]| entries.partition_point(|(k, _)| k <= key);
        iter.descend(&self.root, |children| position(children, key), first);
        iter
    }
}

/// Entries in order, of the version that the map had when this was made.
#[derive(Debug)]
pub struct Iter<K, V> {
    /// From the root to a leaf; the number is the entry to visit next.
    path: Vec<(Arc<Node<K, V>>, usize)>,
}

impl<K, V> Iter<K, V> {
    fn descend(
        &mut self,
        from: &Arc<Node<K, V>>,
        branch: impl Fn(&[Child<K, V>]) -> usize,
        leaf: impl Fn(&[(K, V)]) -> usize,
    ) {
        let mut node = from;
        loop {
            match &**node {
                Node::Leaf(entries) => {
                    self.path.push((Arc::clone(node), leaf(entries)));
                    return;
                }
                Node::Branch(children) => {
                    let at = branch(children);
                    self.path.push((Arc::clone(node), at + 1));
                    node = &children[at].node;
                }
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Iter<K, V> {
    /// Whether both yield the same keys with values that are `same`, up to the first key that is
    /// not `within`. What the two versions share is not walked.
    pub fn agrees(
        mut self,
        mut other: Self,
        within: impl Fn(&K) -> bool,
        same: impl Fn(&V, &V) -> bool,
    ) -> bool {
        loop {
            skip_shared(&mut self, &mut other);
            let [ours, theirs] =
                [self.next(), other.next()].map(|entry| entry.filter(|(key, _)| within(key)));
            match (ours, theirs) {
                (None, None) => return true,
                (Some((key, value)), Some((other_key, other_value)))
                    if key == other_key && same(&value, &other_value) => {}
                _ => return false,
            }
        }
    }
}

/// Steps both over the nodes that they have in common and would walk next.
fn skip_shared<K, V>(a: &mut Iter<K, V>, b: &mut Iter<K, V>) {
    while let (Some((a_node, a_next)), Some((b_node, b_next))) = (a.path.last_mut(), b.path.last_mut()) {
        if *a_next >= a_node.len() {
            a.path.pop();
        } else if *b_next >= b_node.len() {
            b.path.pop();
        } else if Arc::ptr_eq(a_node, b_node) && a_next == b_next {
            *a_next = a_node.len();
            *b_next = b_node.len();
        } else if let (Node::Branch(a_children), Node::Branch(b_children)) = (&**a_node, &**b_node)
            && Arc::ptr_eq(&a_children[*a_next].node, &b_children[*b_next].node)
        {
            *a_next += 1;
            *b_next += 1;
        } else {
            return;
        }
    }
}

impl<K: Clone, V: Clone> Iterator for Iter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            let (node, next) = self.path.last_mut()?;
            let at = *next;
            *next += 1;
            let child = match &**node {
                Node::Leaf(entries) => match entries.get(at) {
                    Some(entry) => return Some(entry.clone()),
                    None => None,
                },
                Node::Branch(children) => children.get(at).map(|child| Arc::clone(&child.node)),
            };
            match child {
                Some(child) => self.descend(&child, |_| 0, |_| 0),
                None => drop(self.path.pop()),
            }
        }
    }
}

impl<K, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }

    fn low(&self) -> &K {
        match self {
            Node::Leaf(entries) => &entries[0].0,
            Node::Branch(children) => &children[0].low,
        }
    }
}

/// The child that holds `key`, if any does.
fn position<K: Ord, V>(children: &[Child<K, V>], key: &K) -> usize {
    children.partition_point(|child| child.low <= *key).saturating_sub(1)
}

fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
) -> (Option<V>, Option<Child<K, V>>) {
    let node = Arc::make_mut(node);
    let old = match node {
        Node::Leaf(entries) => match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => Some(mem::replace(&mut entries[at].1, value)),
            Err(at) => {
                entries.insert(at, (key, value));
                None
            }
        },
        Node::Branch(children) => {
            let at = position(children, &key);
            if key < children[at].low {
                children[at].low = key.clone();
            }
            let (old, split) = insert(&mut children[at].node, key, value);
            if let Some(right) = split {
                children.insert(at + 1, right);
            }
            old
        }
    };
    (old, if node.len() > MANY { Some(split(node)) } else { None })
}

/// Moves the upper half of `node` into a new right neighbor.
fn split<K: Clone, V>(node: &mut Node<K, V>) -> Child<K, V> {
    let right = match node {
        Node::Leaf(entries) => Node::Leaf(entries.split_off(entries.len() / 2)),
        Node::Branch(children) => Node::Branch(children.split_off(children.len() / 2)),
    };
    Child { low: right.low().clone(), node: Arc::new(right) }
}

/// Removes `key`, which is there.
fn remove<K: Ord + Clone, V: Clone>(node: &mut Arc<Node<K, V>>, key: &K) -> V {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by(|(k, _)| k.cmp(key)).expect("the caller has looked");
            entries.remove(at).1
        }
        Node::Branch(children) => {
            let at = position(children, key);
            let old = remove(&mut children[at].node, key);
            if children[at].node.len() < FEW {
                mend(children, at);
            }
            old
        }
    }
}

/// Joins a child that has become small with a neighbor, and halves the two if that is too much.
fn mend<K: Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let left = at.saturating_sub(1);
    if left + 1 >= children.len() {
        return;
    }
    let right = children.remove(left + 1);
    let left_node = Arc::make_mut(&mut children[left].node);
    match (&mut *left_node, Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(into), Node::Leaf(from)) => into.extend(from),
        (Node::Branch(into), Node::Branch(from)) => into.extend(from),
        _ => unreachable!("all leaves are equally deep"),
    }
    if left_node.len() > MANY {
        let right = split(left_node);
        children.insert(left + 1, right);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{FEW, MANY, Map, Node};

    fn depth_checked(node: &Node<u16, u32>, is_root: bool) -> usize {
        assert!(node.len() <= MANY);
        assert!(is_root || node.len() >= FEW);
        match node {
            Node::Leaf(_) => 0,
            Node::Branch(children) => {
                assert!(children.len() > 1);
                let depths: Vec<_> = children.iter().map(|c| depth_checked(&c.node, false)).collect();
                assert!(depths.windows(2).all(|pair| pair[0] == pair[1]));
                depths[0] + 1
            }
        }
    }

    fn check(steps: &[(bool, u16)]) {
        let mut map = Map::default();
        let mut model = BTreeMap::new();
        let mut versions = Vec::new();
        for (index, &(is_insert, key)) in steps.iter().enumerate() {
            if is_insert {
                assert_eq!(map.insert(key, index as u32), model.insert(key, index as u32));
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(map.get(&key), model.get(&key));
            if index % 97 == 0 || index % 101 < 3 {
                versions.push((map.clone(), model.clone()));
            }
        }
        versions.push((map, model));
        for ((map, model), (later, later_model)) in versions.iter().zip(versions.iter().skip(1)) {
            for (from, end) in [(0, 1000), (100, 110), (500, 999), (300, 301)] {
                let is_same = model.range(from..end).eq(later_model.range(from..end));
                let agrees = map.from(&from).agrees(later.from(&from), |key| *key < end, |a, b| a == b);
                assert_eq!(agrees, is_same, "{from}..{end}");
            }
        }
        for (map, model) in versions {
            depth_checked(&map.root, true);
            assert!(map.iter().eq(model.clone()));
            for key in [0, 7, 300, 999] {
                assert!(map.from(&key).eq(model.range(key..).map(|(k, v)| (*k, *v))));
                assert!(map.after(&key).eq(model.range(key + 1..).map(|(k, v)| (*k, *v))));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn behaves_like_a_btreemap_in_every_version(
            steps in prop::collection::vec((prop::bool::weighted(0.6), 0_u16..1000), 0..3000)
        ) {
            check(&steps);
        }
    }

    #[test]
    fn empties_and_fills_again() {
        let up = (0..1000).map(|key| (true, key));
        let down = (0..1000).rev().map(|key| (false, key));
        let steps: Vec<_> = up.clone().chain(down).chain(up).collect();
        check(&steps);
    }
}
