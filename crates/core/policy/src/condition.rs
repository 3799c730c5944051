//! Conditions of trust policies.
//!
//! AWS: "IAM JSON policy elements: Condition operators" and "… global condition context keys".

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pattern::{fits, fits_arn};

/// What is known of a request, by key in lower case (`sts:externalid`). A key that may be known and
/// is not there is absent; any other cannot be evaluated.
pub type Context = BTreeMap<&'static str, String>;

/// Keys that [`Context`] may have.
const KEYS: [&str; 9] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
];

/// Whether all of a statement's conditions hold.
///
/// # Errors
/// The name of what cannot be evaluated.
pub(crate) fn hold(conditions: &Value, context: &Context) -> Result<bool, String> {
    let mut all = true;
    for (operator, keys) in conditions.as_object().into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            all &= holds(operator, key, values, context)?;
        }
    }
    Ok(all)
}

fn holds(operator: &str, key: &str, values: &Value, context: &Context) -> Result<bool, String> {
    let unknown = || format!("Condition.{operator}.{key}");
    let lower = key.to_lowercase();
    if !KEYS.contains(&lower.as_str()) {
        return Err(unknown());
    }
    let values = texts(values).ok_or_else(unknown)?;
    if values.iter().any(|value| value.contains("${")) {
        return Err(unknown());
    }
    let present = context.get(lower.as_str()).map(String::as_str);
    let (name, is_optional) = match operator.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (operator, false),
    };
    if name == "Null" && !is_optional {
        return Ok(values.iter().any(|value| value.eq_ignore_ascii_case("true") == present.is_none()));
    }
    let (matches, is_negated): (fn(&str, &str) -> bool, bool) = match name {
        "StringEquals" => (|value, text| value == text, false),
        "StringNotEquals" => (|value, text| value == text, true),
        "StringEqualsIgnoreCase" => (|value, text| value.to_lowercase() == text.to_lowercase(), false),
        "StringNotEqualsIgnoreCase" => (|value, text| value.to_lowercase() == text.to_lowercase(), true),
        "StringLike" => (fits, false),
        "StringNotLike" => (fits, true),
        "ArnEquals" | "ArnLike" => (fits_arn, false),
        "ArnNotEquals" | "ArnNotLike" => (fits_arn, true),
        "Bool" => (|value, text| value.eq_ignore_ascii_case(text), false),
        _ => return Err(unknown()),
    };
    Ok(match present {
        Some(text) => values.iter().any(|value| matches(value, text)) != is_negated,
        // AWS: what is not there equals nothing.
        None => is_negated || is_optional,
    })
}

/// Texts, numbers and truth values, one or a list of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_str};

    use super::{Context, hold};

    #[track_caller]
    fn check(conditions: &str, expected: Result<bool, &str>) {
        let conditions: Value = from_str(conditions).unwrap();
        let context = Context::from([
            ("sts:externalid", "Sesame".to_owned()),
            ("aws:sourcearn", "arn:aws:ecs:eu-west-1:111122223333:task/1".to_owned()),
        ]);
        let found = hold(&conditions, &context);
        assert_eq!(
            found.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|name| *name),
            "{conditions}"
        );
    }

    #[test]
    fn operators() {
        for (conditions, expected) in [
            (r#"{"StringEquals":{"sts:ExternalId":"Sesame"}}"#, true),
            (r#"{"StringEquals":{"sts:externalid":["x","Sesame"]}}"#, true),
            (r#"{"StringEquals":{"sts:ExternalId":"sesame"}}"#, false),
            (r#"{"StringEqualsIgnoreCase":{"sts:ExternalId":"sesame"}}"#, true),
            (r#"{"StringNotEquals":{"sts:ExternalId":"Sesame"}}"#, false),
            (r#"{"StringLike":{"sts:ExternalId":"Ses*"}}"#, true),
            (r#"{"StringNotLike":{"sts:ExternalId":"Ses*"}}"#, false),
            (r#"{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:*:111122223333:*"}}"#, true),
            (r#"{"ArnNotLike":{"aws:SourceArn":"arn:aws:ecs:*:111122223333:*"}}"#, false),
            (r#"{"Null":{"sts:ExternalId":"false"}}"#, true),
            (r#"{"Null":{"sts:ExternalId":true}}"#, false),
            (r#"{"Null":{"aws:SourceAccount":"true"}}"#, true),
            // Not there.
            (r#"{"StringEquals":{"aws:SourceAccount":"1"}}"#, false),
            (r#"{"StringNotEquals":{"aws:SourceAccount":"1"}}"#, true),
            (r#"{"StringEqualsIfExists":{"aws:SourceAccount":"1"}}"#, true),
            (r#"{"StringEqualsIfExists":{"sts:ExternalId":"1"}}"#, false),
            // All of several.
            (r#"{"StringEquals":{"sts:ExternalId":"Sesame","aws:SourceAccount":"1"}}"#, false),
        ] {
            check(conditions, Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_named() {
        for (conditions, name) in [
            (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, "Condition.IpAddress.aws:SourceIp"),
            (r#"{"NumericLessThan":{"sts:ExternalId":"3"}}"#, "Condition.NumericLessThan.sts:ExternalId"),
            (
                r#"{"ForAnyValue:StringEquals":{"sts:ExternalId":"3"}}"#,
                "Condition.ForAnyValue:StringEquals.sts:ExternalId",
            ),
            (
                r#"{"StringEquals":{"sts:RoleSessionName":"${aws:username}"}}"#,
                "Condition.StringEquals.sts:RoleSessionName",
            ),
        ] {
            check(conditions, Err(name));
        }
    }
}
