//! A platform with STS and IAM whose wall clock a test can choose.

use std::cell::Cell;
use std::time::Duration;

use aws_sts::{AssumeRoleRequest, AssumeRoleResponse, Credentials, op};
use base::clock::Clock;
use base::{AccountId, Fault, Region, Secret, Timestamp};
use service::{Caller, Identity, KeyError, Origin, Platform, PlatformBuilder, Principal};
use store::{Memory, Store};

pub const ACCOUNT: &str = "111122223333";

const START: i64 = 1_800_000_000;

std::thread_local! {
    /// Of this test: each runs on a thread of its own. Handlers that write run on the writer's
    /// thread, for which the time is always the start.
    static PASSED: Cell<i64> = const { Cell::new(0) };
}

fn wall() -> Timestamp {
    Timestamp::from_secs(START + PASSED.get())
}

/// Lets wall time pass.
pub fn pass(secs: i64) {
    PASSED.set(PASSED.get() + secs);
}

pub fn config() -> service_sts::Config {
    service_sts::Config { secret: Secret::new("s"), wall }
}

pub fn platform() -> Platform {
    let config = config();
    let builder = PlatformBuilder::default()
        .issuing(service_sts::keys(&config))
        .with(service_sts::service(&config))
        .with(service_iam::service());
    let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
    builder.build(store, Clock::new(Duration::ZERO), 7)
}

pub fn caller() -> Caller {
    Caller {
        account: AccountId::parse(ACCOUNT).unwrap(),
        region: Region::default_region(),
        principal: Principal::Root,
        origin: Origin::Operator,
        host: None,
        request_id: String::from("test"),
    }
}

pub fn tasks() -> Caller {
    Caller::platform("ecs-tasks.amazonaws.com", AccountId::parse(ACCOUNT).unwrap(), Region::default_region())
}

/// Makes the role `/app/task` that `principal` may assume, with more members of the statement.
pub async fn role(platform: &Platform, principal: &str, more: &str) -> aws_iam::Role {
    role_for(platform, principal, r#""sts:AssumeRole""#, more).await
}

pub async fn role_for(platform: &Platform, principal: &str, action: &str, more: &str) -> aws_iam::Role {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":{action}{more}}}]}}"#
    );
    let role = aws_iam::CreateRoleRequest {
        role_name: "task".into(),
        path: Some("/app/".into()),
        assume_role_policy_document: trust,
        ..Default::default()
    };
    platform.call::<aws_iam::op::CreateRole>(caller(), role).await.unwrap().role
}

pub fn wanted(role: &aws_iam::Role) -> AssumeRoleRequest {
    AssumeRoleRequest {
        role_arn: role.arn.clone(),
        role_session_name: "abc".into(),
        ..AssumeRoleRequest::default()
    }
}

pub async fn assume(
    platform: &Platform,
    caller: Caller,
    request: AssumeRoleRequest,
) -> Result<AssumeRoleResponse, Fault> {
    platform.call::<op::AssumeRole>(caller, request).await
}

/// Whose the credentials are, as the one port asks.
pub fn holder(platform: &Platform, credentials: &Credentials) -> Result<Option<Identity>, KeyError> {
    platform.identity(&credentials.access_key_id, Some(&credentials.session_token))
}
