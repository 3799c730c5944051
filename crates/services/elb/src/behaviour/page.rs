//! Pages of a list: `PageSize` and `Marker`.

use base::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::faults;

/// AWS: the most entries to a page, and as many by default.
const MOST: usize = 400;

/// Where a page starts and how long it may be.
#[derive(Debug)]
pub struct Page {
    after: Option<String>,
    limit: usize,
}

impl Page {
    /// Refuses a marker that none of our answers had. The size was checked with the model.
    pub fn of(size: Option<i32>, marker: Option<&str>) -> Result<Page, Fault> {
        let limit = size.and_then(|size| usize::try_from(size).ok()).map_or(MOST, |size| size.clamp(1, MOST));
        let decode = |marker: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(marker).ok()?;
            String::from_utf8(bytes).ok()
        };
        let after = match marker.filter(|marker| !marker.is_empty()) {
            None => None,
            Some(marker) => Some(
                decode(marker)
                    .ok_or_else(|| faults::invalid(format_args!("'{marker}' is not a valid marker")))?,
            ),
        };
        Ok(Page { after, limit })
    }

    /// The entries of `found` that fit, and the marker of the next page if there is one. `found` is
    /// in the order of its places.
    pub fn take<T>(&self, found: impl Iterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let mut found =
            found.skip_while(|(place, _)| self.after.as_ref().is_some_and(|after| place <= after)).peekable();
        let (mut entries, mut last) = (Vec::new(), None);
        for (place, entry) in found.by_ref().take(self.limit) {
            entries.push(entry);
            last = Some(place);
        }
        let marker = last.filter(|_| found.peek().is_some()).map(|place| URL_SAFE_NO_PAD.encode(place));
        (entries, marker)
    }
}
