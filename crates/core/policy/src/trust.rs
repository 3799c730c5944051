//! Whether a role's trust policy lets a caller do something with it.
//!
//! AWS: "Policy evaluation logic": an explicit denial wins, an allowing statement is needed.

use base::{AccountId, Arn, Region};
use serde_json::Value;

use crate::condition::{self, Context};
use crate::pattern::fits;

/// Who wants to assume a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The account itself.
    Root(AccountId),
    Role {
        account: AccountId,
        role: String,
        session: Arn,
    },
    /// `ecs-tasks.amazonaws.com`.
    Service(&'static str),
}

/// A service of the platform that acts within `account` and `region`, with what a trust policy may
/// ask about it.
pub fn of_service(name: &'static str, account: &AccountId, region: &Region) -> (Who, Context) {
    // AWS: a task's role knows its source by account and region, and nothing finer.
    let source = Arn::new("ecs", region.as_str(), account, "*");
    let context = Context::from([
        ("aws:principalisawsservice", String::from("true")),
        ("aws:principalservicename", name.to_owned()),
        ("aws:sourceaccount", account.to_string()),
        ("aws:sourcearn", source.to_string()),
    ]);
    (Who::Service(name), context)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
    /// It depends on this, which is not evaluated here.
    Unknown(String),
}

/// What the trust policy `policy`, a document that has the shape of one, says of `action`
/// (`AssumeRole`).
pub fn judge(policy: &str, action: &str, who: &Who, context: &Context) -> Verdict {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return Verdict::Denied };
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => return Verdict::Denied,
    };
    let (mut is_allowed, mut unknown) = (false, None);
    for statement in statements {
        if !names(statement, action, who) {
            continue;
        }
        let is_denial = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
        let holds = statement.get("Condition").map_or(Ok(true), |all| condition::hold(all, context));
        match (holds, is_denial) {
            (Ok(true), true) => return Verdict::Denied,
            (Ok(true), false) => is_allowed = true,
            (Ok(false), _) => {}
            // A denial that may be meant is no permission.
            (Err(name), true) => return Verdict::Unknown(name),
            (Err(name), false) => unknown = Some(name),
        }
    }
    match (is_allowed, unknown) {
        (true, _) => Verdict::Allowed,
        (false, Some(name)) => Verdict::Unknown(name),
        (false, None) => Verdict::Denied,
    }
}

/// Whether a statement is about this action and this caller.
fn names(statement: &Value, action: &str, who: &Who) -> bool {
    let action = format!("sts:{action}").to_lowercase();
    let has = |list: &Value| texts(list).iter().any(|pattern| fits(&pattern.to_lowercase(), &action));
    let is_action = match (statement.get("Action"), statement.get("NotAction")) {
        (Some(list), _) => has(list),
        (None, Some(list)) => !has(list),
        (None, None) => false,
    };
    is_action
        && match (statement.get("Principal"), statement.get("NotPrincipal")) {
            (Some(principal), _) => is_principal(principal, who),
            (None, Some(principal)) => !is_principal(principal, who),
            (None, None) => false,
        }
}

fn is_principal(principal: &Value, who: &Who) -> bool {
    if principal.as_str() == Some("*") {
        return true;
    }
    let kind = match who {
        Who::Service(_) => "Service",
        Who::Root(_) | Who::Role { .. } => "AWS",
    };
    let is_named = |named: &&str| match who {
        Who::Service(name) => named == name,
        Who::Root(account) => *named == "*" || is_account(named, account),
        Who::Role { account, role, session } => {
            *named == "*" || named == role || *named == session.as_str() || is_account(named, account)
        }
    };
    principal.get(kind).is_some_and(|list| texts(list).iter().any(is_named))
}

/// AWS: an account is named by its number or by its root's ARN, and means everyone in it.
fn is_account(named: &str, account: &AccountId) -> bool {
    named == account.as_str() || named == format!("arn:aws:iam::{account}:root")
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, Region};

    use super::{Context, Verdict, Who, judge, of_service};

    const TASKS: Who = Who::Service("ecs-tasks.amazonaws.com");

    fn root() -> Who {
        Who::Root(AccountId::parse("111122223333").unwrap())
    }

    fn role() -> Who {
        let account = AccountId::parse("111122223333").unwrap();
        let session = Arn::new("sts", "", &account, "assumed-role/app/s");
        Who::Role { role: "arn:aws:iam::111122223333:role/x/app".into(), account, session }
    }

    #[track_caller]
    fn check(statements: &str, who: &Who, expected: Verdict) {
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        let context = Context::from([("sts:externalid", "yes".to_owned())]);
        assert_eq!(judge(&policy, "AssumeRole", who, &context), expected, "{policy}");
    }

    fn allow(principal: &str) -> String {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}"#)
    }

    #[test]
    fn principals() {
        let service = allow(r#"{"Service":["ec2.amazonaws.com","ecs-tasks.amazonaws.com"]}"#);
        check(&service, &TASKS, Verdict::Allowed);
        check(&service, &root(), Verdict::Denied);
        check(&allow(r#"{"Service":"ecs.amazonaws.com"}"#), &TASKS, Verdict::Denied);
        for account in [
            r#"{"AWS":"111122223333"}"#,
            r#"{"AWS":["x","arn:aws:iam::111122223333:root"]}"#,
            r#"{"AWS":"*"}"#,
        ] {
            check(&allow(account), &root(), Verdict::Allowed);
            check(&allow(account), &role(), Verdict::Allowed);
            check(&allow(account), &TASKS, Verdict::Denied);
        }
        for one in [
            r#"{"AWS":"arn:aws:iam::111122223333:role/x/app"}"#,
            r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/app/s"}"#,
        ] {
            check(&allow(one), &role(), Verdict::Allowed);
            check(&allow(one), &root(), Verdict::Denied);
        }
        check(&allow(r#"{"AWS":"444455556666"}"#), &root(), Verdict::Denied);
        check(&allow(r#"{"Federated":"*"}"#), &root(), Verdict::Denied);
        check(&allow(r#""*""#), &TASKS, Verdict::Allowed);
    }

    #[test]
    fn denials_and_actions() {
        let deny = r#"{"Effect":"Deny","Principal":"*","Action":"sts:*"}"#;
        check(&format!("[{},{deny}]", allow(r#""*""#)), &root(), Verdict::Denied);
        check(r#"{"Effect":"Allow","Principal":"*","Action":"STS:assume*"}"#, &root(), Verdict::Allowed);
        check(r#"{"Effect":"Allow","Principal":"*","Action":"sts:TagSession"}"#, &root(), Verdict::Denied);
        check(
            r#"{"Effect":"Allow","Principal":"*","NotAction":"sts:TagSession"}"#,
            &root(),
            Verdict::Allowed,
        );
        let but = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}"#;
        let both = format!("[{},{but}]", allow(r#""*""#));
        check(&both, &root(), Verdict::Allowed);
        check(&both, &TASKS, Verdict::Denied);
    }

    #[test]
    fn conditions() {
        let when = |effect: &str, condition: &str| {
            format!(
                r#"{{"Effect":"{effect}","Principal":"*","Action":"sts:AssumeRole","Condition":{condition}}}"#
            )
        };
        let yes = r#"{"StringEquals":{"sts:ExternalId":"yes"}}"#;
        let no = r#"{"StringEquals":{"sts:ExternalId":"no"}}"#;
        let unknown = r#"{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}"#;
        let name = || Verdict::Unknown("Condition.DateLessThan.aws:CurrentTime".to_owned());
        check(&when("Allow", yes), &root(), Verdict::Allowed);
        check(&when("Allow", no), &root(), Verdict::Denied);
        check(&when("Allow", unknown), &root(), name());
        check(&format!("[{},{}]", when("Allow", unknown), when("Allow", yes)), &root(), Verdict::Allowed);
        check(&format!("[{},{}]", when("Allow", yes), when("Deny", unknown)), &root(), name());
        check(&format!("[{},{}]", when("Allow", yes), when("Deny", no)), &root(), Verdict::Allowed);
    }
    #[test]
    fn a_service_acts_for_an_account_and_a_region() {
        let policy = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},
            "Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:eu-west-1:111122223333:*"},
            "StringEquals":{"aws:SourceAccount":"111122223333"}}}}"#;
        let verdict = |account: &str, region: &str| {
            let (account, region) = (AccountId::parse(account).unwrap(), Region::parse(region).unwrap());
            let (who, context) = of_service("ecs-tasks.amazonaws.com", &account, &region);
            judge(policy, "AssumeRole", &who, &context)
        };
        assert_eq!(verdict("111122223333", "eu-west-1"), Verdict::Allowed);
        assert_eq!(verdict("111122223333", "eu-west-2"), Verdict::Denied);
        assert_eq!(verdict("444455556666", "eu-west-1"), Verdict::Denied);
    }
}
