//! Pages of a list: `maxResults` and `nextToken`.

use base::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::Key;

use crate::faults;

/// AWS: the lists of ECS have at most so many entries to a page, and as many by default.
const MOST: usize = 100;

/// Where a page starts and how long it may be.
pub struct Page {
    pub after: Option<Key>,
    pub limit: usize,
}

impl Page {
    /// Refuses a size out of range, and a token that we did not make for a list under `prefix`.
    pub fn of(prefix: &Key, max_results: Option<i32>, next_token: Option<&str>) -> Result<Page, Fault> {
        Page::within(MOST, prefix, max_results, next_token)
    }

    /// [`Page::of`] for a list that has at most so many entries to a page.
    pub fn within(
        most: usize,
        prefix: &Key,
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Page, Fault> {
        let limit = match max_results {
            None => most,
            Some(asked) => match usize::try_from(asked) {
                Ok(asked) if (1..=most).contains(&asked) => asked,
                _ => return Err(faults::invalid(format_args!("maxResults must be between 1 and {most}."))),
            },
        };
        let after = match next_token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => {
                let key = decode(token).filter(|key| key.is_under(prefix));
                Some(key.ok_or_else(|| faults::invalid("Invalid token."))?)
            }
        };
        Ok(Page { after, limit })
    }

    /// The first entries of `found` that fit, and the token of the next page if there is one.
    /// `found` starts behind `after`; each entry comes with the key of its place.
    pub fn take<T>(&self, found: impl Iterator<Item = (Key, T)>) -> (Vec<T>, Option<String>) {
        let mut found = found;
        let mut entries = Vec::new();
        let mut last = None;
        for (key, entry) in found.by_ref().take(self.limit) {
            entries.push(entry);
            last = Some(key);
        }
        let token = last.filter(|_| found.next().is_some()).map(|key| URL_SAFE_NO_PAD.encode(key.as_str()));
        (entries, token)
    }
}

fn decode(token: &str) -> Option<Key> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    Some(Key::from_text(&text))
}
