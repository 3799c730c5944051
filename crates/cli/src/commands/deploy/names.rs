//! What deploy calls the things that it makes, and how it knows them again.

use anyhow::{Result, bail};
use base::Region;

/// The tag on everything that deploy makes; its value is `CLUSTER/NAME`.
pub const TAG: &str = "boxship:deploy";

/// AWS: names of load balancers and target groups have 32 characters; `-green` must fit.
const LONGEST: usize = 26;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub cluster: String,
    pub service: String,
    region: String,
}

impl Names {
    /// Refuses a name that could not be a load balancer's.
    pub fn new(cluster: &str, service: &str, region: &Region) -> Result<Names> {
        let is_plain = service.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let is_ended = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let is_good = is_plain
            && is_ended(service.chars().next())
            && is_ended(service.chars().last())
            && service.len() <= LONGEST
            && !service.starts_with("internal-");
        if !is_good {
            bail!(
                "the name {service} is not one that a load balancer can have: 1 to {LONGEST} letters, digits and \
                 hyphens, no hyphen at either end, not internal-…; give another with --name"
            );
        }
        Ok(Names {
            cluster: cluster.to_owned(),
            service: service.to_owned(),
            region: region.as_str().to_owned(),
        })
    }

    /// The value of [`TAG`].
    pub fn owner(&self) -> String {
        format!("{}/{}", self.cluster, self.service)
    }

    /// The execution, task and infrastructure role. Roles are an account's, not a region's.
    pub fn role(&self) -> String {
        format!("{}-{}-boxship", self.service, self.region)
    }

    pub fn log_group(&self) -> String {
        format!("/boxship/{}", self.service)
    }

    /// The group of the balancer's interfaces, and that of the tasks'.
    pub fn front(&self) -> String {
        format!("{}-front", self.service)
    }

    pub fn tasks(&self) -> String {
        format!("{}-tasks", self.service)
    }

    /// The second target group, where traffic is shifted.
    pub fn green(&self) -> String {
        format!("{}-green", self.service)
    }

    /// What is said where something of the name is somebody else's.
    pub fn not_ours<T>(&self, what: &str, name: &str) -> Result<T> {
        bail!(
            "there is {what} {name} that `boxship deploy` did not make for {}: deploy under another --name",
            self.owner()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_balancer_can_have_are_refused() {
        let is_taken = |name: &str| Names::new("default", name, &Region::default_region()).is_ok();
        for good in ["web", "a", "Web-2", "a23456789-123456789-123456"] {
            assert!(is_taken(good), "{good}");
        }
        for bad in ["", "-web", "web-", "we_b", "internal-web", "a23456789-123456789-1234567", "wéb"] {
            assert!(!is_taken(bad), "{bad}");
        }
    }
}
