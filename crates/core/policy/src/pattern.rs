//! Patterns of policies: `*` stands for any text, `?` for one character.

/// Whether `text` fits.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star has to stand for one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether an ARN fits, part by part: a star does not reach over a colon, but in the last part.
pub(crate) fn fits_arn(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == arn.len() && pattern.iter().zip(&arn).all(|(pattern, part)| fits(pattern, part))
}

#[cfg(test)]
mod tests {
    use super::{fits, fits_arn};

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "abc"),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            ("*b*b*", "abab"),
            ("", ""),
            ("ä?", "äö"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a?c", "ac"), ("a*c", "abd"), ("*a", "ab"), ("A", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn parts_of_arns() {
        let task = "arn:aws:ecs:eu-west-1:111122223333:task/demo/1";
        assert!(fits_arn("arn:aws:ecs:eu-west-1:111122223333:*", task));
        assert!(fits_arn("arn:aws:ecs:*:*:task/demo/?", task));
        for other in ["arn:aws:ecs:*", "arn:*:111122223333:*", "arn:aws:ecs:us-*:*:*", "*"] {
            assert!(!fits_arn(other, task), "{other}");
        }
    }
}
