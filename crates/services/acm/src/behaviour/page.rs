//! Pages: a token is where in the order the last page ended.

/// AWS: a page without `MaxItems` has so many.
const MOST: usize = 1_000;

/// The items behind `token`, at most `most`, and the token of the next page. `place` gives each
/// item's place as a text; items stand in the order of their places, or in the reverse.
pub(crate) fn page<T>(
    items: Vec<T>,
    place: impl Fn(&T) -> String,
    is_descending: bool,
    token: Option<&str>,
    most: Option<i32>,
) -> (Vec<T>, Option<String>) {
    let most = most.map_or(MOST, |most| most.max(1) as usize);
    let is_behind = |item: &T| {
        token.is_none_or(|token| match is_descending {
            false => place(item).as_str() > token,
            true => place(item).as_str() < token,
        })
    };
    let mut items: Vec<T> = items.into_iter().filter(is_behind).collect();
    items.sort_by_key(|item| place(item));
    if is_descending {
        items.reverse();
    }
    let has_more = items.len() > most;
    items.truncate(most);
    let next = items.last().filter(|_| has_more).map(&place);
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_add_up_both_ways() {
        for most in 1..7 {
            for is_descending in [false, true] {
                let (mut all, mut token) = (Vec::new(), None);
                loop {
                    let names = vec!["c", "a", "e", "b", "d"];
                    let (items, next) =
                        page(names, |name| (*name).to_owned(), is_descending, token.as_deref(), Some(most));
                    all.extend(items);
                    token = next;
                    if token.is_none() {
                        break;
                    }
                }
                let mut expected = vec!["a", "b", "c", "d", "e"];
                if is_descending {
                    expected.reverse();
                }
                assert_eq!(all, expected);
            }
        }
    }
}
