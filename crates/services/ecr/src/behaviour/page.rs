//! Pages of a listing: an opaque token that names the last entry of the page before.

use base::Fault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::faults;

/// AWS: `maxResults` goes up to 1,000; 100 where it is not given.
const DEFAULT_SIZE: usize = 100;

/// Cuts a page of `size` out of `entries` (in order of `key`), behind the entry that `token` names.
/// Answers the page and the token of the next one.
pub fn cut<T>(
    entries: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    size: Option<i32>,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let after = token.map(open).transpose()?;
    let size = size.map_or(DEFAULT_SIZE, |size| usize::try_from(size).unwrap_or(DEFAULT_SIZE));
    let mut rest =
        entries.skip_while(|entry| after.as_ref().is_some_and(|after| key(entry) <= *after)).peekable();
    let page: Vec<T> = rest.by_ref().take(size).collect();
    let next = match (rest.peek(), page.last()) {
        (Some(_), Some(last)) => Some(URL_SAFE_NO_PAD.encode(key(last))),
        _ => None,
    };
    Ok((page, next))
}

fn open(token: &str) -> Result<String, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| faults::invalid("Invalid parameter at 'nextToken': the token is not valid"))
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all: Vec<String> = (0..25).map(|n| format!("repo-{n:02}")).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = cut(all.iter().cloned(), String::clone, token.as_deref(), Some(10)).unwrap();
            seen.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert!(cut(all.iter().cloned(), String::clone, Some("!"), None).is_err());
    }
}
