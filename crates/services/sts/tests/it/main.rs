//! Requests in, answers out, over the memory store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use aws_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse, op};
use base::clock::Clock;
use base::{AccountId, Fault, Region};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use store::{Memory, Store};

fn platform() -> Platform {
    let builder = PlatformBuilder::default().with(service_sts::service()).with(service_iam::service());
    let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
    builder.build(store, Clock::new(Duration::ZERO), 7)
}

fn caller() -> Caller {
    Caller {
        account: AccountId::parse("111122223333").unwrap(),
        region: Region::default_region(),
        principal: Principal::Root,
        origin: Origin::Operator,
        request_id: String::from("test"),
    }
}

async fn who(platform: &Platform, caller: Caller) -> Result<GetCallerIdentityResponse, Fault> {
    platform.call::<op::GetCallerIdentity>(caller, GetCallerIdentityRequest::default()).await
}

#[tokio::test]
async fn an_open_caller_is_its_accounts_root() {
    let answer = who(&platform(), caller()).await.unwrap();
    assert_eq!(answer.arn.as_deref(), Some("arn:aws:iam::111122223333:root"));
    assert_eq!(answer.account.as_deref(), Some("111122223333"));
    assert_eq!(answer.user_id.as_deref(), Some("111122223333"));
}

#[tokio::test]
async fn a_role_is_its_session() {
    let platform = platform();
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}"#;
    let role = aws_iam::CreateRoleRequest {
        role_name: "task".into(),
        path: Some("/app/".into()),
        assume_role_policy_document: trust.into(),
        ..Default::default()
    };
    let role = platform.call::<aws_iam::op::CreateRole>(caller(), role).await.unwrap().role;
    let answer = who(&platform, caller().with_role(&role.arn, "abc")).await.unwrap();
    assert_eq!(answer.arn.as_deref(), Some("arn:aws:sts::111122223333:assumed-role/task/abc"));
    assert_eq!(answer.user_id, Some(format!("{}:abc", role.role_id)));
    let gone = caller().with_role("arn:aws:iam::111122223333:role/gone", "abc");
    assert_eq!(who(&platform, gone).await.unwrap_err().code, "InvalidClientTokenId");
}
