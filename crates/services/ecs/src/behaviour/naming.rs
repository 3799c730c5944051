//! Names as ECS takes them.

/// Letters, digits, hyphens and underscores, 1 to 255: clusters, families, containers, volumes.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `startedBy`: letters, digits and `-_/.`, up to 128.
pub fn is_started_by(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.'))
}

/// A task id: 32 hexadecimal digits, or a UUID as old tasks had it.
pub fn is_task_id(text: &str) -> bool {
    matches!(text.len(), 32 | 36) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// `family`, `family:revision`; the revision is a positive number.
pub fn family_and_revision(text: &str) -> Option<(&str, Option<u32>)> {
    match text.split_once(':') {
        None => is_name(text).then_some((text, None)),
        Some((family, revision)) => {
            let revision = revision.parse().ok().filter(|n| *n > 0)?;
            is_name(family).then_some((family, Some(revision)))
        }
    }
}
