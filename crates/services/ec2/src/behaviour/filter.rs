//! Filters: a name and values, of which one must match; several filters must all match.

use aws_ec2::Filter;
use base::{Fault, Tags};

use crate::faults;

/// What a resource offers to filters: names with values, a name as often as it has values.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// A request's filters, known to be the resource's.
#[derive(Debug, Default)]
pub struct Filters(Vec<(String, Vec<String>)>);

const TAG_KEY: &str = "tag-key";
const TAG_PREFIX: &str = "tag:";

impl Filters {
    /// Refuses names that are neither in `known` nor about tags.
    pub fn of(filters: Option<Vec<Filter>>, known: &[&str]) -> Result<Self, Fault> {
        let checked = filters.unwrap_or_default().into_iter().map(|filter| {
            let name = filter.name.unwrap_or_default();
            let is_known = known.contains(&name.as_str()) || name == TAG_KEY || name.starts_with(TAG_PREFIX);
            if is_known {
                Ok((name, filter.values.unwrap_or_default()))
            } else {
                Err(faults::unknown_filter(&name))
            }
        });
        checked.collect::<Result<_, _>>().map(Filters)
    }

    pub fn accept(&self, attributes: &Attributes, tags: &Tags) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let is_wanted = |value: &str| patterns.iter().any(|pattern| matches(pattern, value));
            match name.strip_prefix(TAG_PREFIX) {
                Some(key) => tags.get(key).is_some_and(|value| is_wanted(value)),
                None if name == TAG_KEY => tags.keys().any(|key| is_wanted(key)),
                None => attributes.0.iter().any(|(known, value)| known == name && is_wanted(value)),
            }
        })
    }
}

/// AWS: `*` stands for any characters, `?` for one, a backslash makes either plain; case matters.
fn matches(pattern: &str, value: &str) -> bool {
    let pattern = Step::parse(pattern);
    let value: Vec<char> = value.chars().collect();
    // Where the last `*` was, and how far its match reached: going back there once per character
    // keeps hostile patterns cheap.
    let (mut p, mut v, mut retry) = (0, 0, None);
    while v < value.len() {
        match pattern.get(p) {
            Some(Step::Any) => {
                retry = Some((p + 1, v));
                p += 1;
            }
            Some(Step::One) => (p, v) = (p + 1, v + 1),
            Some(Step::Plain(c)) if *c == value[v] => (p, v) = (p + 1, v + 1),
            Some(Step::Plain(_)) | None => match retry {
                Some((after, reached)) => {
                    retry = Some((after, reached + 1));
                    (p, v) = (after, reached + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|step| matches!(step, Step::Any))
}

enum Step {
    Any,
    One,
    Plain(char),
}

impl Step {
    fn parse(pattern: &str) -> Vec<Step> {
        let mut chars = pattern.chars();
        let next = |c| match c {
            '*' => Step::Any,
            '?' => Step::One,
            c => Step::Plain(c),
        };
        let mut steps = Vec::with_capacity(pattern.len());
        while let Some(c) = chars.next() {
            steps.push(match c {
                '\\' => Step::Plain(chars.next().unwrap_or('\\')),
                c => next(c),
            });
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_whole_values() {
        for (pattern, value, expected) in [
            ("default", "default", true),
            ("default", "defaults", false),
            ("Default", "default", false),
            ("def*", "default", true),
            ("*fault*", "default", true),
            ("d?fault", "default", true),
            ("d?ault", "default", false),
            ("*", "", true),
            ("?", "", false),
            ("", "", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybz", false),
            ("ü?", "üß", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
        // Would take years if every star could start over.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
    }
}
