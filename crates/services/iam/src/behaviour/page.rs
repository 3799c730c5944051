//! Pages: a marker is the name that the last page ended with.

/// AWS: a page without `MaxItems` has so many.
const MOST: usize = 100;

/// One page of items that stand in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// `None` on the last page.
    pub marker: Option<String>,
}

/// The items behind `marker`, at most `max_items`.
pub(crate) fn page<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> String,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Page<T> {
    let most = max_items.map_or(MOST, |most| most.max(1) as usize);
    let behind = items.skip_while(|item| marker.is_some_and(|marker| name(item).as_str() <= marker));
    let mut items: Vec<T> = behind.take(most + 1).collect();
    let has_more = items.len() > most;
    items.truncate(most);
    let marker = items.last().filter(|_| has_more).map(name);
    Page { items, marker }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_add_up() {
        let names = ["a", "b", "c", "d", "e"];
        for most in 1..7 {
            let mut all: Vec<&&str> = Vec::new();
            let mut marker: Option<String> = None;
            loop {
                let page = page(names.iter(), |name| name.to_string(), marker.as_deref(), Some(most));
                all.extend(page.items);
                marker = page.marker;
                if marker.is_none() {
                    break;
                }
            }
            assert_eq!(all, names.iter().collect::<Vec<_>>());
        }
    }
}
