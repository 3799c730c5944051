//! A command line as words.
//!
//! AWS: in a container the agent splits a command as a shell would, but runs no shell: quotes,
//! backslashes and comments count; variables, globs and pipes do not.

/// Why a command line has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    #[error("EOF found when expecting closing quote")]
    Quote,
    #[error("EOF found after escape character")]
    Escape,
}

/// Splits a command line. Without words, it has none.
pub fn split(line: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                // Up to the end of its line.
                for character in characters.by_ref() {
                    if character == '\n' {
                        break;
                    }
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(Unfinished::Quote)? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next().ok_or(Unfinished::Quote)? {
                        '"' => break,
                        // AWS: a backslash between double quotes escapes any character.
                        '\\' => word.push(characters.next().ok_or(Unfinished::Quote)?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => {
                let escaped = characters.next().ok_or(Unfinished::Escape)?;
                word.get_or_insert_default().push(escaped);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A command line that [`split`]s into these words.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,@%+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_their_words() {
        let check = |line: &str, words: &[&str]| {
            assert_eq!(split(line).unwrap(), words, "{line}");
        };
        check("", &[]);
        check("  \t ", &[]);
        check("/bin/sh", &["/bin/sh"]);
        check("ls -la  /tmp", &["ls", "-la", "/tmp"]);
        check(r#"sh -c "echo hi && exit 3""#, &["sh", "-c", "echo hi && exit 3"]);
        check(r#"sh -c 'a "b" $c'"#, &["sh", "-c", "a \"b\" $c"]);
        check(r#"echo "a \"b\"""#, &["echo", "a \"b\""]);
        check(r"a\ b 'c'\''d'", &["a b", "c'd"]);
        check("echo '' \"\"", &["echo", "", ""]);
        check("echo $HOME *", &["echo", "$HOME", "*"]);
        check("ls # all of it\n-l a#b", &["ls", "-l", "a#b"]);
        assert_eq!(split("echo 'a"), Err(Unfinished::Quote));
        assert_eq!(split("echo \"a"), Err(Unfinished::Quote));
        assert_eq!(split("echo a\\"), Err(Unfinished::Escape));
    }

    proptest! {
        #[test]
        fn joined_words_split_again(words in proptest::collection::vec(any::<String>(), 0..6)) {
            prop_assert_eq!(split(&join(&words)).unwrap(), words);
        }
    }
}
