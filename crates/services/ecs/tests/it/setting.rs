use aws::op;
use aws_ecs as aws;
use base::Fault;

use crate::world::{INVALID, World, refused};

const ROOT: &str = "arn:aws:iam::000000000000:root";
const ROLE: &str = "arn:aws:iam::000000000000:role/deploy";

fn put(world: &mut World, name: &str, value: &str, who: Option<&str>) -> Result<aws::Setting, Fault> {
    let principal_arn = who.map(String::from);
    let request = aws::PutAccountSettingRequest { name: name.into(), value: value.into(), principal_arn };
    world.call::<op::PutAccountSetting>(request).map(|answer| answer.setting.unwrap())
}

fn list(world: &mut World, who: &str, is_effective: bool) -> Vec<(String, String)> {
    let mut request = aws::ListAccountSettingsRequest {
        principal_arn: Some(who.into()),
        effective_settings: Some(is_effective),
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = world.call::<op::ListAccountSettings>(request.clone()).unwrap();
        let settings = answer.settings.unwrap();
        assert!(settings.len() <= 10);
        all.extend(settings.into_iter().map(|setting| (setting.name.unwrap(), setting.value.unwrap())));
        request.next_token = answer.next_token;
        if request.next_token.is_none() {
            return all;
        }
    }
}

fn value(settings: &[(String, String)], name: &str) -> Option<String> {
    settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[test]
fn without_any_the_defaults_hold() {
    let mut world = World::new();
    assert_eq!(list(&mut world, ROOT, false), []);
    let all = list(&mut world, ROOT, true);
    assert_eq!(all.len(), 11);
    for (name, default) in [
        ("taskLongArnFormat", "enabled"),
        ("containerInsights", "disabled"),
        ("fargateTaskRetirementWaitPeriod", "7"),
        ("defaultLogDriverMode", "non-blocking"),
        ("guardDutyActivate", "off"),
    ] {
        assert_eq!(value(&all, name).as_deref(), Some(default), "{name}");
    }
}

#[test]
fn ones_own_goes_before_the_accounts() {
    let mut world = World::new();
    let mode = "defaultLogDriverMode";
    let setting = put(&mut world, mode, "blocking", None).unwrap();
    assert_eq!((setting.principal_arn.as_deref(), setting.r#type.as_deref()), (Some(ROOT), Some("user")));
    assert_eq!(value(&list(&mut world, ROLE, true), mode).as_deref(), Some("blocking"));
    assert_eq!(value(&list(&mut world, ROLE, false), mode), None);
    put(&mut world, mode, "non-blocking", Some(ROLE)).unwrap();
    assert_eq!(value(&list(&mut world, ROLE, true), mode).as_deref(), Some("non-blocking"));
    assert_eq!(value(&list(&mut world, ROOT, true), mode).as_deref(), Some("blocking"));
    let delete =
        |who: &str| aws::DeleteAccountSettingRequest { name: mode.into(), principal_arn: Some(who.into()) };
    let answer = world.call::<op::DeleteAccountSetting>(delete(ROLE)).unwrap();
    assert_eq!(answer.setting.unwrap().value.as_deref(), Some("blocking"));
    let answer = world.call::<op::DeleteAccountSetting>(delete(ROOT)).unwrap();
    assert_eq!(answer.setting.unwrap().value.as_deref(), Some("non-blocking"));
    let request = aws::PutAccountSettingDefaultRequest {
        name: "fargateTaskRetirementWaitPeriod".into(),
        value: "14".into(),
    };
    world.call::<op::PutAccountSettingDefault>(request).unwrap();
    let all = list(&mut world, ROLE, true);
    assert_eq!(value(&all, "fargateTaskRetirementWaitPeriod").as_deref(), Some("14"));
    // Another region has its own.
    let request = aws::ListAccountSettingsRequest { max_results: Some(10), ..Default::default() };
    let answer = world.call_in::<op::ListAccountSettings>("eu-west-1", request).unwrap();
    assert_eq!(answer.settings.unwrap(), []);
}

#[test]
fn lists_are_filtered() {
    let mut world = World::new();
    put(&mut world, "defaultLogDriverMode", "blocking", None).unwrap();
    put(&mut world, "awsvpcTrunking", "enabled", None).unwrap();
    let mut names = |name: Option<&str>, value: Option<&str>| {
        let request = aws::ListAccountSettingsRequest {
            name: name.map(String::from),
            value: value.map(String::from),
            ..Default::default()
        };
        let answer = world.call::<op::ListAccountSettings>(request)?;
        Ok(answer.settings.unwrap().into_iter().filter_map(|setting| setting.name).collect::<Vec<_>>())
    };
    assert_eq!(names(None, None).unwrap(), ["awsvpcTrunking", "defaultLogDriverMode"]);
    assert_eq!(names(Some("awsvpcTrunking"), Some("enabled")).unwrap(), ["awsvpcTrunking"]);
    assert_eq!(names(Some("awsvpcTrunking"), Some("disabled")).unwrap(), [""; 0]);
    let message = "A value can only be given with the name of its setting.";
    refused(names(None, Some("enabled")), INVALID, message);
}

#[test]
fn what_has_no_effect_is_refused() {
    let mut world = World::new();
    let table = [
        ("containerInsights", "enhanced", "containerInsights 'enhanced' is not supported by Boxship yet."),
        ("taskLongArnFormat", "disabled", "taskLongArnFormat 'disabled' is not supported by Boxship yet."),
        ("tagResourceAuthorization", "on", "tagResourceAuthorization 'on' is not supported by Boxship yet."),
        ("awsvpcTrunking", "maybe", "The setting awsvpcTrunking takes the values: enabled, disabled."),
        ("guardDutyActivate", "on", "The setting guardDutyActivate is managed by AWS and cannot be changed."),
    ];
    for (name, value, message) in table {
        refused(put(&mut world, name, value, None), INVALID, message);
    }
    let message = "principalArn must be the ARN of a user, a role or the root user of this account.";
    for who in ["root", "arn:aws:iam::111111111111:root", "arn:aws:iam::000000000000:group/x"] {
        refused(put(&mut world, "awsvpcTrunking", "enabled", Some(who)), INVALID, message);
    }
    assert_eq!(list(&mut world, ROOT, false), []);
}
