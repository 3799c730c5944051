//! Which container waits for which: unknown names, self-references, cycles.

use std::collections::BTreeMap;

/// Whether the graph `edges` (from each name to the names that it needs) has a cycle. Names that
/// are no key of it are ignored.
pub fn has_cycle(edges: &BTreeMap<&str, Vec<&str>>) -> bool {
    // Repeatedly take away what needs nothing that is left; a cycle never goes.
    let mut left = edges.clone();
    loop {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, needs)| !needs.iter().any(|need| left.contains_key(need)))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            return !left.is_empty();
        }
        left.retain(|name, _| !free.contains(name));
    }
}
