//! GetCallerIdentity.

use aws_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};
use base::{AccountId, Arn, Fault};
use service::{Caller, Data, Principal};

use crate::faults;
use crate::state::assumed_role;

/// Not a plain read only because a session's user id holds the role's, which IAM knows.
pub(super) async fn get(cx: Data, _: GetCallerIdentityRequest) -> Result<GetCallerIdentityResponse, Fault> {
    let account = cx.caller.account.clone();
    let arn = arn(&cx.caller);
    let user_id = match &cx.caller.principal {
        Principal::Root | Principal::Service(_) => account.to_string(),
        Principal::Role { arn, session } => format!("{}:{session}", role_id(&cx, &account, arn).await?),
    };
    Ok(GetCallerIdentityResponse {
        user_id: Some(user_id),
        account: Some(account.to_string()),
        arn: Some(arn.to_string()),
    })
}

/// The caller as an ARN.
pub(super) fn arn(caller: &Caller) -> Arn {
    match &caller.principal {
        Principal::Root | Principal::Service(_) => Arn::new("iam", "", &caller.account, "root"),
        Principal::Role { arn, session } => assumed_role(arn, &caller.account, session),
    }
}

async fn role_id(cx: &Data, account: &AccountId, role_arn: &str) -> Result<String, Fault> {
    let caller = Caller::platform("sts.amazonaws.com", account.clone(), cx.caller.region.clone());
    let name = role_arn.rsplit('/').next().unwrap_or(role_arn);
    let request = aws_iam::GetRoleRequest { role_name: name.to_owned() };
    match cx.platform.call::<aws_iam::op::GetRole>(caller, request).await {
        Ok(answer) => Ok(answer.role.role_id),
        Err(_) => Err(faults::invalid_token()),
    }
}
