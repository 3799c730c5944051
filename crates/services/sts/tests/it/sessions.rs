//! Credentials for a while: who gets them, whose they are, when they end.

use aws_sts::{AssumeRoleRequest, GetAccessKeyInfoRequest, GetSessionTokenRequest, op};
use service::{Caller, KeyError, Platform, Principal};

use crate::world::{ACCOUNT, assume, caller, config, holder, pass, platform, role, role_for, tasks, wanted};

const TASKS: &str = r#"{"Service":"ecs-tasks.amazonaws.com"}"#;
const OWN: &str = r#"{"AWS":"111122223333"}"#;

#[tokio::test]
async fn a_session_acts_as_its_role() {
    let platform = platform();
    let role = role(&platform, TASKS, "").await;
    let request = AssumeRoleRequest { duration_seconds: Some(6 * 3_600), ..wanted(&role) };
    let answer = assume(&platform, tasks(), request).await.unwrap();
    let user = answer.assumed_role_user.unwrap();
    assert_eq!(user.arn, "arn:aws:sts::111122223333:assumed-role/task/abc");
    assert_eq!(user.assumed_role_id, format!("{}:abc", role.role_id));
    let credentials = answer.credentials.unwrap();
    assert_eq!((credentials.access_key_id.len(), credentials.secret_access_key.len()), (20, 40));
    assert_eq!(credentials.expiration, (config().wall)() + std::time::Duration::from_secs(6 * 3_600));
    let holder = holder(&platform, &credentials).unwrap().unwrap();
    assert_eq!(holder.account.as_str(), ACCOUNT);
    assert_eq!(holder.principal, Principal::Role { arn: role.arn, session: "abc".into() });
}

#[tokio::test]
async fn two_sessions_have_nothing_in_common() {
    let platform = platform();
    let role = role(&platform, TASKS, "").await;
    let first = assume(&platform, tasks(), wanted(&role)).await.unwrap().credentials.unwrap();
    let second = assume(&platform, tasks(), wanted(&role)).await.unwrap().credentials.unwrap();
    assert_ne!(first.access_key_id, second.access_key_id);
    assert_ne!(first.secret_access_key, second.secret_access_key);
    let mixed = platform.identity(&first.access_key_id, Some(&second.session_token));
    assert_eq!(mixed, Err(KeyError::Invalid));
}

#[tokio::test]
async fn a_key_is_good_with_its_token_until_it_expires() {
    let platform = platform();
    let role = role(&platform, TASKS, "").await;
    let credentials = assume(&platform, tasks(), wanted(&role)).await.unwrap().credentials.unwrap();
    let key = credentials.access_key_id.as_str();
    for token in [None, Some(""), Some("x"), Some(&*credentials.secret_access_key)] {
        assert_eq!(platform.identity(key, token), Err(KeyError::Invalid), "{token:?}");
    }
    pass(3_599);
    assert!(holder(&platform, &credentials).is_ok());
    pass(1);
    assert_eq!(holder(&platform, &credentials), Err(KeyError::Expired));
    pass(24 * 3_600 + 1);
    let wall = (config().wall)();
    let swept = platform.write("Sweep", caller(), move |tx| service_sts::sweep(tx, wall)).await.unwrap();
    assert_eq!(swept, 1);
    assert_eq!(holder(&platform, &credentials), Err(KeyError::Invalid));
}

#[tokio::test]
async fn other_keys_are_not_ours() {
    let platform = platform();
    for key in ["test", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", ACCOUNT] {
        assert_eq!(platform.identity(key, Some("token")), Ok(None), "{key}");
    }
}

#[track_caller]
fn denied(
    platform: &Platform,
    caller: Caller,
    request: AssumeRoleRequest,
) -> impl Future<Output = ()> + use<'_> {
    let (arn, at) = (request.role_arn.clone(), std::panic::Location::caller());
    async move {
        let fault = assume(platform, caller, request).await.unwrap_err();
        assert_eq!((&*fault.code, fault.status), ("AccessDenied", Some(403)), "{at}: {fault}");
        assert!(fault.message.ends_with(&format!("on resource: {arn}")), "{at}: {fault}");
    }
}

#[tokio::test]
async fn the_trust_policy_decides() {
    let platform = platform();
    let role = role(&platform, TASKS, "").await;
    denied(&platform, caller(), wanted(&role)).await;
    let ec2 = Caller { principal: Principal::Service("ec2.amazonaws.com"), ..tasks() };
    denied(&platform, ec2, wanted(&role)).await;
    // A service acts in the account that asked it to.
    let elsewhere = Caller { account: base::AccountId::default_account(), ..tasks() };
    denied(&platform, elsewhere, wanted(&role)).await;
    let gone = "arn:aws:iam::111122223333:role/gone".to_owned();
    denied(&platform, tasks(), AssumeRoleRequest { role_arn: gone, ..wanted(&role) }).await;
    // Its path is part of a role's name.
    let short = "arn:aws:iam::111122223333:role/task".to_owned();
    denied(&platform, tasks(), AssumeRoleRequest { role_arn: short, ..wanted(&role) }).await;
}

#[tokio::test]
async fn conditions_of_the_guides_hold() {
    let source = r#","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:us-east-1:111122223333:*"},
        "StringEquals":{"aws:SourceAccount":"111122223333"}}"#;
    let world = platform();
    let role = role(&world, TASKS, source).await;
    assert!(assume(&world, tasks(), wanted(&role)).await.is_ok());
    let region = base::Region::parse("eu-west-1").unwrap();
    denied(&world, Caller { region, ..tasks() }, wanted(&role)).await;
}

#[tokio::test]
async fn an_external_id_must_fit() {
    let platform = platform();
    let role = role(&platform, OWN, r#","Condition":{"StringEquals":{"sts:ExternalId":"Sesame"}}"#).await;
    let with = |id: &str| AssumeRoleRequest { external_id: Some(id.into()), ..wanted(&role) };
    assert!(assume(&platform, caller(), with("Sesame")).await.is_ok());
    denied(&platform, caller(), with("sesame")).await;
    denied(&platform, caller(), wanted(&role)).await;
}

#[tokio::test]
async fn what_is_not_evaluated_is_named() {
    let platform = platform();
    let role = role(&platform, OWN, r#","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#).await;
    let fault = assume(&platform, caller(), wanted(&role)).await.unwrap_err();
    assert_eq!(fault.code, "ValidationError");
    assert!(fault.message.contains("Condition.Bool.aws:MultiFactorAuthPresent"), "{fault}");
    let policy = AssumeRoleRequest { policy: Some("{}".into()), ..wanted(&role) };
    let fault = assume(&platform, caller(), policy).await.unwrap_err();
    assert!(fault.message.contains("'Policy'"), "{fault}");
}

#[tokio::test]
async fn a_source_identity_needs_its_own_permission() {
    let named =
        |role: &aws_iam::Role| AssumeRoleRequest { source_identity: Some("ada".into()), ..wanted(role) };
    let world = platform();
    let role = role(&world, OWN, "").await;
    let fault = assume(&world, caller(), named(&role)).await.unwrap_err();
    assert!(fault.message.contains("sts:SetSourceIdentity"), "{fault}");
    let world = platform();
    let role = role_for(&world, OWN, r#"["sts:AssumeRole","sts:SetSourceIdentity"]"#, "").await;
    let answer = assume(&world, caller(), named(&role)).await.unwrap();
    assert_eq!(answer.source_identity.as_deref(), Some("ada"));
}

#[tokio::test]
async fn sessions_last_as_long_as_they_may() {
    let platform = platform();
    let role = role(&platform, r#"{"AWS":"*"}"#, "").await;
    let lasting = |secs| AssumeRoleRequest { duration_seconds: Some(secs), ..wanted(&role) };
    assert!(assume(&platform, caller(), lasting(3_600)).await.is_ok());
    let fault = assume(&platform, caller(), lasting(3_601)).await.unwrap_err();
    assert!(fault.message.contains("MaxSessionDuration"), "{fault}");
    let chained = caller().with_role(&role.arn, "abc");
    let fault = assume(&platform, chained.clone(), lasting(7_200)).await.unwrap_err();
    assert!(fault.message.contains("role chaining"), "{fault}");
    assert!(assume(&platform, chained, lasting(900)).await.is_ok());
    let fault = assume(&platform, caller(), lasting(899)).await.unwrap_err();
    assert_eq!(fault.code, "ValidationError");
}

#[tokio::test]
async fn an_account_has_sessions_of_its_own() {
    let platform = platform();
    let request = GetSessionTokenRequest::default;
    let answer = platform.call::<op::GetSessionToken>(caller(), request()).await.unwrap();
    let credentials = answer.credentials.unwrap();
    let found = holder(&platform, &credentials).unwrap().unwrap();
    assert_eq!((found.account.as_str(), found.principal), (ACCOUNT, Principal::Root));
    let info = GetAccessKeyInfoRequest { access_key_id: credentials.access_key_id };
    let info = platform.call::<op::GetAccessKeyInfo>(caller(), info).await.unwrap();
    assert_eq!(info.account.as_deref(), Some(ACCOUNT));
    let role = caller().with_role("arn:aws:iam::111122223333:role/task", "abc");
    let fault = platform.call::<op::GetSessionToken>(role, request()).await.unwrap_err();
    assert_eq!(fault.code, "AccessDenied");
}
