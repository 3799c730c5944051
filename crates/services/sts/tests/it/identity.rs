//! Who am I.

use aws_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse, op};
use base::Fault;
use service::{Caller, Platform};

use crate::world::{ACCOUNT, caller, platform, role};

async fn who(platform: &Platform, caller: Caller) -> Result<GetCallerIdentityResponse, Fault> {
    platform.call::<op::GetCallerIdentity>(caller, GetCallerIdentityRequest::default()).await
}

#[tokio::test]
async fn an_open_caller_is_its_accounts_root() {
    let answer = who(&platform(), caller()).await.unwrap();
    assert_eq!(answer.arn.as_deref(), Some("arn:aws:iam::111122223333:root"));
    assert_eq!(answer.account.as_deref(), Some(ACCOUNT));
    assert_eq!(answer.user_id.as_deref(), Some(ACCOUNT));
}

#[tokio::test]
async fn a_role_is_its_session() {
    let platform = platform();
    let role = role(&platform, r#""*""#, "").await;
    let answer = who(&platform, caller().with_role(&role.arn, "abc")).await.unwrap();
    assert_eq!(answer.arn.as_deref(), Some("arn:aws:sts::111122223333:assumed-role/task/abc"));
    assert_eq!(answer.user_id, Some(format!("{}:abc", role.role_id)));
    let gone = caller().with_role("arn:aws:iam::111122223333:role/gone", "abc");
    assert_eq!(who(&platform, gone).await.unwrap_err().code, "InvalidClientTokenId");
}
