//! AWS Security Token Service: who asks.
//!
//! Owns no record: the gateway and the agent say in whose name a request comes.
//!
//! Deliberately ignores issuing credentials, which comes with the enforcement of policies.

use aws_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse, op};
use base::{Arn, Fault};
use service::{Acts, Caller, Data, Operation, Principal, Service};

/// The service with its operations.
pub fn service() -> Service {
    Service {
        api: &aws_sts::API,
        operations: vec![Operation::data::<op::GetCallerIdentity, _, _>(Acts::All, get_caller_identity)],
        kinds: |kinds| kinds,
        refuse,
        observe: None,
    }
}

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    let message = format_args!("Boxship does not support '{what}' of AWS STS yet.");
    // AWS: a common error of the query APIs, in no API's model.
    Fault::caller("ValidationError", message).with_status(400)
}

/// Not a plain read only because a session's user id holds the role's, which IAM knows.
async fn get_caller_identity(
    cx: Data,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, Fault> {
    let account = cx.caller.account.clone();
    let (arn, user_id) = match &cx.caller.principal {
        Principal::Root | Principal::Service(_) => {
            (Arn::new("iam", "", &account, "root"), account.to_string())
        }
        Principal::Role { arn, session } => {
            let name = arn.rsplit('/').next().unwrap_or(arn).to_owned();
            let resource = format!("assumed-role/{name}/{session}");
            let session_arn = Arn::new("sts", "", &account, resource);
            (session_arn, format!("{}:{session}", role_id(&cx, &name).await?))
        }
    };
    Ok(GetCallerIdentityResponse {
        user_id: Some(user_id),
        account: Some(account.to_string()),
        arn: Some(arn.to_string()),
    })
}

async fn role_id(cx: &Data, role_name: &str) -> Result<String, Fault> {
    let caller = Caller::platform("sts.amazonaws.com", cx.caller.account.clone(), cx.caller.region.clone());
    let request = aws_iam::GetRoleRequest { role_name: role_name.to_owned() };
    match cx.platform.call::<aws_iam::op::GetRole>(caller, request).await {
        Ok(answer) => Ok(answer.role.role_id),
        // AWS: the credentials of a role that is gone are no longer good.
        Err(_) => Err(Fault::caller(
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        )
        .with_status(403)),
    }
}
