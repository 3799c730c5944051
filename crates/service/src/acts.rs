//! Which members of its input an operation acts on, and finding one that it does not.

use base::Timestamp;
use wire::{Member, Schema, Shape, Writer};

/// The members of an input that an operation acts on, as dotted paths with list and map positions
/// left out (`overrides.containerOverrides.command`). A path covers all below it.
#[derive(Debug, Clone, Copy)]
pub enum Acts {
    /// On every member, or the handler refuses it by itself.
    All,
    On(&'static [&'static str]),
}

impl Acts {
    /// The first member that `input` carries and the operation does not act on.
    pub fn refused(self, input: &dyn Shape) -> Option<String> {
        let Acts::On(paths) = self else { return None };
        let mut walk = Walk { paths, path: String::new(), starts: Vec::new(), refused: None };
        input.write(&mut walk);
        walk.refused
    }
}

fn covers(paths: &[&str], path: &str) -> bool {
    paths.iter().any(|known| {
        let covers = path.starts_with(known) && matches!(path.as_bytes().get(known.len()), None | Some(b'.'));
        // A parent is no refusal by itself: its members are looked at one by one.
        let leads = known.starts_with(path) && known.as_bytes().get(path.len()) == Some(&b'.');
        covers || leads
    })
}

/// Takes a shape as a protocol would, and keeps only where it is.
struct Walk {
    paths: &'static [&'static str],
    path: String,
    /// Length of `path` where each open structure began.
    starts: Vec<usize>,
    refused: Option<String>,
}

impl Writer for Walk {
    fn structure(&mut self, _: &'static Schema) {
        self.starts.push(self.path.len());
    }

    fn member(&mut self, _: usize, member: &'static Member) {
        self.path.truncate(self.starts.last().copied().unwrap_or_default());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(member.name);
        if self.refused.is_none() && !covers(self.paths, &self.path) {
            self.refused = Some(self.path.clone());
        }
    }

    fn end_structure(&mut self) {
        let start = self.starts.pop().unwrap_or_default();
        self.path.truncate(start);
    }

    fn list(&mut self, _: &'static Schema, _: usize) {}
    fn item(&mut self) {}
    fn end_list(&mut self) {}
    fn map(&mut self, _: &'static Schema, _: usize) {}
    fn entry(&mut self, _: &str) {}
    fn end_map(&mut self) {}
    fn boolean(&mut self, _: &'static Schema, _: bool) {}
    fn integer(&mut self, _: &'static Schema, _: i32) {}
    fn long(&mut self, _: &'static Schema, _: i64) {}
    fn float(&mut self, _: &'static Schema, _: f32) {}
    fn double(&mut self, _: &'static Schema, _: f64) {}
    fn string(&mut self, _: &'static Schema, _: &str) {}
    fn blob(&mut self, _: &'static Schema, _: &[u8]) {}
    fn timestamp(&mut self, _: &'static Schema, _: Timestamp) {}
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_path_covers_what_is_below_it_and_leads_from_what_is_above() {
        let paths = ["cluster", "overrides.containerOverrides.command"];
        for (path, is_covered) in [
            ("cluster", true),
            ("clusterArn", false),
            ("overrides", true),
            ("overrides.containerOverrides", true),
            ("overrides.containerOverrides.command", true),
            ("overrides.containerOverrides.command.x", true),
            ("overrides.cpu", false),
            ("over", false),
        ] {
            assert_eq!(covers(&paths, path), is_covered, "{path}");
        }
    }
}
