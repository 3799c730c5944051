//! Tags as requests carry them.

use aws_ec2::{Tag, TagSpecification};
use base::{Fault, Tags};

use crate::faults::{self, Kind};

/// AWS: of any resource.
const MOST_TAGS: usize = 50;
/// AWS: characters of a key and of a value.
const MOST_KEY: usize = 127;
const MOST_VALUE: usize = 255;
/// What only the platform itself may set.
const RESERVED: &str = "aws:";

/// Those that a request that makes a resource of `kind` gives it.
pub fn of_specifications(kind: Kind, specifications: Option<Vec<TagSpecification>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for specification in specifications.unwrap_or_default() {
        let named = specification.resource_type.unwrap_or_default();
        if named != kind.name() {
            return Err(faults::invalid(format_args!(
                "'{named}' is not a valid taggable resource type for this operation."
            )));
        }
        for (key, value) in checked(specification.tags.unwrap_or_default())? {
            if tags.insert(key.clone(), value).is_some() {
                return Err(faults::invalid(format_args!("Duplicate tag key '{key}' specified.")));
            }
        }
    }
    within_limit(&tags)?;
    Ok(tags)
}

/// Keys with values; a value that is left out is empty.
pub fn checked(tags: Vec<Tag>) -> Result<Vec<(String, String)>, Fault> {
    let one = |tag: Tag| {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        check_key(&key)?;
        if value.chars().count() > MOST_VALUE {
            return Err(faults::invalid(format_args!(
                "Tag value exceeds the maximum length of {MOST_VALUE} characters."
            )));
        }
        Ok((key, value))
    };
    tags.into_iter().map(one).collect()
}

fn check_key(key: &str) -> Result<(), Fault> {
    if key.is_empty() {
        return Err(faults::invalid("Tag key cannot be empty."));
    }
    if key.starts_with(RESERVED) {
        return Err(faults::invalid(format_args!(
            "Tag keys starting with 'aws:' are reserved for internal use: '{key}'"
        )));
    }
    if key.chars().count() > MOST_KEY {
        return Err(faults::invalid(format_args!(
            "Tag key exceeds the maximum length of {MOST_KEY} characters."
        )));
    }
    Ok(())
}

pub fn within_limit(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > MOST_TAGS {
        return Err(Fault::caller("TagLimitExceeded", "More than 50 tags specified."));
    }
    Ok(())
}
