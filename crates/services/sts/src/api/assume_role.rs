//! AssumeRole.

use aws_sts::{AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser};
use base::{AccountId, Arn, Fault, Timestamp};
use core_policy::{Context, Verdict, Who, judge, of_service, url_decoded};
use service::{Caller, Principal, Tx};

use super::identity;
use super::session_token::issue;
use crate::faults;
use crate::seal::Seal;
use crate::state::{Holder, assumed_role};

/// AWS: without a word a session lasts an hour, and a role that a role assumes no longer.
const HOUR: i32 = 3_600;

pub(super) fn assume(
    tx: &mut Tx<'_>,
    request: AssumeRoleRequest,
    seal: &Seal,
    wall: Timestamp,
) -> Result<AssumeRoleResponse, Fault> {
    let (account, name) = role_of(&request.role_arn)?;
    let asks = identity::arn(tx.caller);
    let denied = |action: &str| faults::denied(&asks, action, &request.role_arn);
    let by_platform = Caller::platform("sts.amazonaws.com", account.clone(), tx.caller.region.clone());
    let found = tx.call_as::<aws_iam::op::GetRole>(&by_platform, aws_iam::GetRoleRequest { role_name: name });
    let role = found.map_err(|_| denied("AssumeRole"))?.role;
    if role.arn != request.role_arn {
        return Err(denied("AssumeRole"));
    }
    let (who, context) = asker(tx.caller, &request);
    // A service of the platform acts within the account that asked it to.
    if matches!(who, Who::Service(_)) && tx.caller.account != account {
        return Err(denied("AssumeRole"));
    }
    let trust = url_decoded(role.assume_role_policy_document.as_deref().unwrap_or_default());
    let mut actions = vec!["AssumeRole"];
    actions.extend(request.source_identity.as_ref().map(|_| "SetSourceIdentity"));
    for action in actions {
        match judge(&trust, action, &who, &context) {
            Verdict::Allowed => {}
            Verdict::Denied => return Err(denied(action)),
            Verdict::Unknown(what) => return Err(faults::refuse(&format!("the trust policy's {what}"))),
        }
    }
    let secs = request.duration_seconds.unwrap_or(HOUR);
    check_duration(&who, secs, role.max_session_duration.unwrap_or(HOUR))?;
    let session = request.role_session_name;
    let holder = Holder::Role {
        arn: role.arn.clone(),
        session: session.clone(),
        source_identity: request.source_identity.clone(),
    };
    let user = AssumedRoleUser {
        assumed_role_id: format!("{}:{session}", role.role_id),
        arn: assumed_role(&role.arn, &account, &session).to_string(),
    };
    Ok(AssumeRoleResponse {
        credentials: Some(issue(tx, seal, &account, holder, secs, wall)),
        assumed_role_user: Some(user),
        source_identity: request.source_identity,
        ..AssumeRoleResponse::default()
    })
}

/// Account and name of a role's ARN.
fn role_of(text: &str) -> Result<(AccountId, String), Fault> {
    let invalid = || faults::invalid(format_args!("{text} is invalid"));
    let arn = Arn::parse(text).map_err(|_| invalid())?;
    let account = AccountId::parse(arn.account()).ok_or_else(invalid)?;
    let name = arn.resource().strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    let is_role = arn.service() == "iam" && arn.region().is_empty();
    let name = name.filter(|name| is_role && !name.is_empty()).ok_or_else(invalid)?;
    Ok((account, name.to_owned()))
}

/// Who asks, with what a trust policy may ask about it.
/// AWS: "IAM and AWS STS condition context keys".
fn asker(caller: &Caller, request: &AssumeRoleRequest) -> (Who, Context) {
    let (who, mut context) = match &caller.principal {
        // AWS: "roles may not be assumed by root accounts". In open mode everybody is root, so it
        // stands for the account's administrator here.
        Principal::Root => {
            let principal = [("aws:principalarn", identity::arn(caller).to_string())];
            (Who::Root(caller.account.clone()), Context::from(principal))
        }
        Principal::Role { arn, .. } => {
            let (account, role) = (caller.account.clone(), arn.clone());
            let who = Who::Role { account, role, session: identity::arn(caller) };
            (who, Context::from([("aws:principalarn", arn.clone())]))
        }
        Principal::Service(name) => of_service(name, &caller.account, &caller.region),
    };
    if !matches!(who, Who::Service(_)) {
        context.insert("aws:principalaccount", caller.account.to_string());
        context.insert("aws:principalisawsservice", String::from("false"));
    }
    context.insert("sts:rolesessionname", request.role_session_name.clone());
    context.extend(request.external_id.clone().map(|id| ("sts:externalid", id)));
    context.extend(request.source_identity.clone().map(|id| ("sts:sourceidentity", id)));
    (who, context)
}

/// AWS: services' sessions are not bound by the role's maximum.
fn check_duration(who: &Who, secs: i32, most: i32) -> Result<(), Fault> {
    match who {
        Who::Service(_) => Ok(()),
        Who::Role { .. } if secs > HOUR => Err(faults::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        )),
        Who::Root(_) | Who::Role { .. } if secs > most => Err(faults::invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )),
        Who::Root(_) | Who::Role { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::role_of;

    #[test]
    fn an_arn_of_a_role() {
        let (account, name) = role_of("arn:aws:iam::111122223333:role/app/web").unwrap();
        assert_eq!((account.as_str(), name.as_str()), ("111122223333", "web"));
        for other in [
            "web",
            "arn:aws:iam::1:role/web",
            "arn:aws:iam::111122223333:user/web",
            "arn:aws:iam::111122223333:role/",
        ] {
            assert!(role_of(other).is_err(), "{other}");
        }
    }
}
