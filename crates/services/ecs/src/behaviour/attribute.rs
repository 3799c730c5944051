//! Attributes of container instances: what names and values look like.

/// AWS: attributes of his own that a customer may give to one instance.
pub const MOST: usize = 10;

/// Why an attribute is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeFlaw {
    #[error("Attribute name '{0}' must have 1 to 128 characters: letters, digits and - _ / \\ .")]
    Name(String),
    #[error("The value of attribute '{0}' must have 1 to 128 characters and no white space at its ends.")]
    Value(String),
}

pub fn check(name: &str, value: Option<&str>) -> Result<(), AttributeFlaw> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'\\' | b'.');
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_plain) {
        return Err(AttributeFlaw::Name(String::from(name)));
    }
    let is_value = |b: u8| is_plain(b) || matches!(b, b'@' | b':' | b' ');
    let Some(value) = value else { return Ok(()) };
    if value.is_empty() || value.len() > 128 || value.trim() != value || !value.bytes().all(is_value) {
        return Err(AttributeFlaw::Value(String::from(name)));
    }
    Ok(())
}

/// AWS: attributes that only an agent or the platform itself sets.
pub fn is_reserved(name: &str) -> bool {
    ["ecs.", "com.amazonaws.ecs."].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        for good in ["stack", "a.b/c-d_e", "1"] {
            assert_eq!(check(good, Some("x y:@z")), Ok(()), "{good}");
        }
        for bad in ["", "a b", "ü", "a:b"] {
            assert!(check(bad, None).is_err(), "{bad:?}");
        }
        for bad in ["", " x", "x ", "ä"] {
            assert!(check("name", Some(bad)).is_err(), "{bad:?}");
        }
        assert!(check(&"x".repeat(129), None).is_err());
        assert!(is_reserved("ecs.os-type") && !is_reserved("stack"));
    }
}
