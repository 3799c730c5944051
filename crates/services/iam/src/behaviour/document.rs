//! Whether a text has the shape of a policy document.
//!
//! AWS: "IAM JSON policy elements reference". What an action or a condition means is not looked at.

use serde_json::{Map, Value};

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Who may assume a role.
    Trust,
    /// What a role may do.
    Permissions,
}

/// Why a text is no policy; said to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub String);

impl Malformed {
    fn new(text: impl Into<String>) -> Self {
        Malformed(text.into())
    }

    fn syntax() -> Self {
        Malformed::new("Syntax errors in policy.")
    }
}

const STATEMENT: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

pub(crate) fn check(text: &str, purpose: Purpose) -> Result<(), Malformed> {
    let document: Value =
        serde_json::from_str(text).map_err(|_| Malformed::new("This policy contains invalid Json"))?;
    let document = document.as_object().ok_or_else(|| Malformed::new("This policy contains invalid Json"))?;
    if document.keys().any(|key| !matches!(key.as_str(), "Version" | "Id" | "Statement")) {
        return Err(Malformed::syntax());
    }
    match document.get("Version") {
        None => {}
        Some(Value::String(version)) if matches!(version.as_str(), "2012-10-17" | "2008-10-17") => {}
        Some(_) => return Err(Malformed::syntax()),
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return Err(Malformed::syntax()),
    };
    for statement in statements {
        check_statement(statement.as_object().ok_or_else(Malformed::syntax)?, purpose)?;
    }
    Ok(())
}

fn check_statement(statement: &Map<String, Value>, purpose: Purpose) -> Result<(), Malformed> {
    if statement.keys().any(|key| !STATEMENT.contains(&key.as_str())) {
        return Err(Malformed::syntax());
    }
    match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow" | "Deny") => {}
        _ => return Err(Malformed::syntax()),
    }
    let is_condition = |condition: &Value| {
        condition.as_object().is_some_and(|operators| operators.values().all(Value::is_object))
    };
    if !statement.get("Condition").is_none_or(is_condition) {
        return Err(Malformed::syntax());
    }
    let actions = either(statement, "Action", "NotAction")?
        .ok_or_else(|| Malformed::new("Policy statement must contain actions."))?;
    match purpose {
        Purpose::Trust => check_trust(statement, &actions),
        Purpose::Permissions => check_permissions(statement, &actions),
    }
}

fn check_trust(statement: &Map<String, Value>, actions: &[&str]) -> Result<(), Malformed> {
    if statement.contains_key("Resource") || statement.contains_key("NotResource") {
        return Err(Malformed::new("Has prohibited field Resource"));
    }
    let principal = statement.get("Principal").or_else(|| statement.get("NotPrincipal"));
    match principal {
        None => return Err(Malformed::new("Missing required field Principal")),
        Some(Value::String(star)) if star == "*" => {}
        Some(Value::Object(kinds)) if !kinds.is_empty() => check_principals(kinds)?,
        Some(_) => return Err(Malformed::syntax()),
    }
    match actions.iter().all(|action| action.to_lowercase().starts_with("sts:")) {
        true => Ok(()),
        false => Err(Malformed::new("AssumeRole policy may only specify STS AssumeRole actions.")),
    }
}

fn check_principals(kinds: &Map<String, Value>) -> Result<(), Malformed> {
    for (kind, who) in kinds {
        if !matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
            return Err(Malformed::new(format!("Invalid principal in policy: {kind}")));
        }
        texts(who)?;
    }
    Ok(())
}

fn check_permissions(statement: &Map<String, Value>, actions: &[&str]) -> Result<(), Malformed> {
    if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
        return Err(Malformed::new("Policy document should not specify a principal."));
    }
    if actions.iter().any(|action| *action != "*" && !action.contains(':')) {
        let message = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
        return Err(Malformed::new(message));
    }
    let resources = either(statement, "Resource", "NotResource")?
        .ok_or_else(|| Malformed::new("Policy statement must contain resources."))?;
    let is_arn = |resource: &&str| resource.starts_with("arn:") || resource.starts_with('*');
    match resources.iter().find(|resource| !is_arn(resource)) {
        None => Ok(()),
        Some(resource) => Err(Malformed(format!("Resource {resource} must be in ARN format or \"*\"."))),
    }
}

/// The texts of the one of two members that is there.
fn either<'a>(
    statement: &'a Map<String, Value>,
    plain: &str,
    negated: &str,
) -> Result<Option<Vec<&'a str>>, Malformed> {
    match (statement.get(plain), statement.get(negated)) {
        (Some(_), Some(_)) => Err(Malformed::syntax()),
        (Some(value), None) | (None, Some(value)) => texts(value).map(Some),
        (None, None) => Ok(None),
    }
}

/// One text or a list of some.
fn texts(value: &Value) -> Result<Vec<&str>, Malformed> {
    let texts: Option<Vec<&str>> = match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts.filter(|texts| !texts.is_empty()).ok_or_else(Malformed::syntax)
}

/// The size that counts against the limits. AWS: white space does not.
pub(crate) fn size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::{Purpose, check, size};

    #[track_caller]
    fn fails(text: &str, purpose: Purpose, message: &str) {
        assert_eq!(check(text, purpose).unwrap_err().0, message, "{text}");
    }

    #[test]
    fn documents_of_the_guides_pass() {
        for text in [
            r#"{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow",
                "Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root"]},
                "Action":["sts:AssumeRole","sts:TagSession"],
                "Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:*:*:*"}}}}"#,
            r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*"}]}"#,
        ] {
            assert_eq!(check(text, Purpose::Trust), Ok(()), "{text}");
        }
        for text in [
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","logs:*"],
                "Resource":["arn:aws:s3:::bucket/*","*"]}]}"#,
            r#"{"Version":"2008-10-17","Id":"x","Statement":[{"Effect":"Deny","NotAction":"*","NotResource":"*"}]}"#,
        ] {
            assert_eq!(check(text, Purpose::Permissions), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_policy_is_told_why() {
        let syntax = "Syntax errors in policy.";
        for text in [
            "{}",
            r#"{"Statement":[]}"#,
            r#"{"Statement":"x"}"#,
            r#"{"Statement":[1]}"#,
            r#"{"Version":"2020-01-01","Statement":[{}]}"#,
            r#"{"Statements":[]}"#,
            r#"{"Statement":[{"Effect":"Maybe","Action":"s3:*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":[],"Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Extra":1}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":1}}]}"#,
        ] {
            fails(text, Purpose::Permissions, syntax);
        }
        for text in ["", "[]", "{", "1"] {
            fails(text, Purpose::Permissions, "This policy contains invalid Json");
        }
        let deep = "[".repeat(100_000);
        fails(&deep, Purpose::Trust, "This policy contains invalid Json");
        for (statement, message) in [
            (r#""Action":"s3:*""#, "Policy statement must contain resources."),
            (r#""Resource":"*""#, "Policy statement must contain actions."),
            (r#""Action":"s3:*","Resource":"bucket""#, "Resource bucket must be in ARN format or \"*\"."),
            (
                r#""Action":"Get","Resource":"*""#,
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (
                r#""Action":"s3:*","Resource":"*","Principal":"*""#,
                "Policy document should not specify a principal.",
            ),
        ] {
            let text = format!(r#"{{"Statement":[{{"Effect":"Allow",{statement}}}]}}"#);
            fails(&text, Purpose::Permissions, message);
        }
        for (statement, message) in [
            (r#""Action":"sts:AssumeRole""#, "Missing required field Principal"),
            (r#""Action":"sts:AssumeRole","Principal":"*","Resource":"*""#, "Has prohibited field Resource"),
            (
                r#""Action":"s3:Get","Principal":"*""#,
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
            (r#""Action":"sts:AssumeRole","Principal":{"Who":"x"}"#, "Invalid principal in policy: Who"),
        ] {
            let text = format!(r#"{{"Statement":[{{"Effect":"Allow",{statement}}}]}}"#);
            fails(&text, Purpose::Trust, message);
        }
    }

    #[test]
    fn white_space_has_no_size() {
        assert_eq!(size(" { \n} "), 2);
    }
}
