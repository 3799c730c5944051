//! Names of load balancers and target groups.

use base::Fault;

use crate::faults;

const MOST: usize = 32;

/// AWS: a load balancer's name, that must not look like an internal one's DNS name.
pub fn balancer(name: &str) -> Result<(), Fault> {
    check("load balancer", "The load balancer", name)?;
    if name.starts_with("internal-") {
        return Err(faults::invalid(format_args!(
            "The load balancer name '{name}' cannot begin with 'internal-'"
        )));
    }
    Ok(())
}

pub fn group(name: &str) -> Result<(), Fault> {
    check("target group", "Target group", name)
}

fn check(noun: &str, start: &str, name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(faults::invalid(format_args!("A {noun} name must be specified")));
    }
    if name.chars().count() > MOST {
        return Err(faults::invalid(format_args!(
            "{start} name '{name}' cannot be longer than '{MOST}' characters"
        )));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(faults::invalid(format_args!(
            "{start} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(faults::invalid(format_args!(
            "{start} name '{name}' cannot begin or end with hyphens(-)"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_as_aws_wants_them() {
        for (name, is_name) in [
            ("a", true),
            ("web-1", true),
            (&"a".repeat(32), true),
            (&"a".repeat(33), false),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a_b", false),
            ("ä", false),
        ] {
            assert_eq!(super::balancer(name).is_ok(), is_name, "{name}");
            assert_eq!(super::group(name).is_ok(), is_name, "{name}");
        }
        assert!(super::balancer("internal-x").is_err());
        assert!(super::group("internal-x").is_ok());
    }
}
