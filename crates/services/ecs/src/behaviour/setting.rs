//! The account settings that there are: AWS's defaults, and the values that they take.
//!
//! AWS: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>

use self::SettingName::*;

/// A setting of the API, in the order of their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingName {
    AwsvpcTrunking,
    ContainerInsights,
    ContainerInstanceLongArnFormat,
    DefaultLogDriverMode,
    FargateEventWindows,
    FargateFipsMode,
    FargateTaskRetirementWaitPeriod,
    GuardDutyActivate,
    ServiceLongArnFormat,
    TagResourceAuthorization,
    TaskLongArnFormat,
}

/// Why a setting does not take a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingFlaw {
    #[error("The setting {name} takes the values: {values}.")]
    Value { name: &'static str, values: String },
    #[error("{name} '{value}' is not supported by Boxship yet.")]
    NotYet { name: &'static str, value: String },
    #[error("The setting {0} is managed by AWS and cannot be changed.")]
    Managed(&'static str),
}

/// One row of the table.
struct Row {
    name: &'static str,
    default: &'static str,
    /// Values that we act on.
    takes: &'static [&'static str],
    /// Values that AWS takes besides.
    not_yet: &'static [&'static str],
}

impl SettingName {
    pub const ALL: [SettingName; 11] = [
        AwsvpcTrunking,
        ContainerInsights,
        ContainerInstanceLongArnFormat,
        DefaultLogDriverMode,
        FargateEventWindows,
        FargateFipsMode,
        FargateTaskRetirementWaitPeriod,
        GuardDutyActivate,
        ServiceLongArnFormat,
        TagResourceAuthorization,
        TaskLongArnFormat,
    ];

    pub fn parse(text: &str) -> Option<SettingName> {
        SettingName::ALL.into_iter().find(|name| name.text() == text)
    }

    pub fn text(self) -> &'static str {
        self.row().name
    }

    /// What holds where nobody has set it.
    pub fn default(self) -> &'static str {
        self.row().default
    }

    /// AWS: one that it sets itself.
    pub fn is_managed(self) -> bool {
        self == GuardDutyActivate
    }

    fn row(self) -> Row {
        let row = |name, default, takes, not_yet| Row { name, default, takes, not_yet };
        match self {
            // Interfaces of an instance are not limited here, whichever way.
            AwsvpcTrunking => row("awsvpcTrunking", "disabled", &["enabled", "disabled"], &[]),
            ContainerInsights => {
                row("containerInsights", "disabled", &["disabled"], &["enabled", "enhanced"])
            }
            // AWS: nobody has short ARNs any more.
            ContainerInstanceLongArnFormat => {
                row("containerInstanceLongArnFormat", "enabled", &["enabled"], &["disabled"])
            }
            DefaultLogDriverMode => {
                row("defaultLogDriverMode", "non-blocking", &["blocking", "non-blocking"], &[])
            }
            FargateEventWindows => row("fargateEventWindows", "disabled", &["disabled"], &["enabled"]),
            FargateFipsMode => row("fargateFIPSMode", "disabled", &["disabled"], &["enabled"]),
            // No task is retired here, however long the wait.
            FargateTaskRetirementWaitPeriod => {
                row("fargateTaskRetirementWaitPeriod", "7", &["0", "7", "14"], &[])
            }
            GuardDutyActivate => row("guardDutyActivate", "off", &[], &[]),
            ServiceLongArnFormat => row("serviceLongArnFormat", "enabled", &["enabled"], &["disabled"]),
            // AWS has it on; here, policies do not decide anything yet.
            TagResourceAuthorization => row("tagResourceAuthorization", "off", &["off"], &["on"]),
            TaskLongArnFormat => row("taskLongArnFormat", "enabled", &["enabled"], &["disabled"]),
        }
    }

    /// Whether it can be set to `value`.
    pub fn check(self, value: &str) -> Result<(), SettingFlaw> {
        let row = self.row();
        if self.is_managed() {
            return Err(SettingFlaw::Managed(row.name));
        }
        if row.takes.contains(&value) {
            return Ok(());
        }
        if row.not_yet.contains(&value) {
            return Err(SettingFlaw::NotYet { name: row.name, value: String::from(value) });
        }
        let values: Vec<&str> = row.takes.iter().chain(row.not_yet).copied().collect();
        Err(SettingFlaw::Value { name: row.name, values: values.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_models() {
        let names: Vec<&str> = SettingName::ALL.into_iter().map(SettingName::text).collect();
        assert!(names.is_sorted());
        for name in SettingName::ALL {
            assert_eq!(SettingName::parse(name.text()), Some(name));
            assert!(name.is_managed() || name.check(name.default()).is_ok(), "{name:?}");
        }
        assert_eq!(SettingName::parse("dualStackIPv6"), None);
    }

    #[test]
    fn values() {
        assert!(DefaultLogDriverMode.check("blocking").is_ok());
        let flaw = FargateTaskRetirementWaitPeriod.check("3").unwrap_err();
        assert_eq!(
            flaw.to_string(),
            "The setting fargateTaskRetirementWaitPeriod takes the values: 0, 7, 14."
        );
        let flaw = ContainerInsights.check("enhanced").unwrap_err();
        assert_eq!(flaw.to_string(), "containerInsights 'enhanced' is not supported by Boxship yet.");
        assert!(matches!(GuardDutyActivate.check("on"), Err(SettingFlaw::Managed(_))));
    }
}
