//! Conditions of rules: what may be written, and what is meant.

use aws_elbv2 as aws;
use base::Fault;
use core_routing::{Condition, Pattern, QueryPair};

use crate::faults;

/// AWS: of one rule.
const MOST_VALUES: usize = 5;
const MOST_WILDCARDS: usize = 6;
/// AWS: of one value, of a header's name and of a method.
const LONGEST: usize = 128;
const LONGEST_NAME: usize = 40;

const FIELDS: [&str; 6] =
    ["http-request-method", "path-pattern", "host-header", "query-string", "http-header", "source-ip"];

/// All conditions of a rule.
pub fn of(asked: Vec<aws::RuleCondition>) -> Result<Vec<Condition>, Fault> {
    if asked.is_empty() {
        return Err(faults::invalid("A condition must be specified"));
    }
    let conditions: Vec<Condition> = asked.into_iter().map(one).collect::<Result<_, _>>()?;
    for field in ["http-request-method", "path-pattern", "host-header", "source-ip"] {
        if conditions.iter().filter(|condition| field_of(condition) == field).count() > 1 {
            return Err(faults::invalid(format_args!("A rule can only have one '{field}' condition")));
        }
    }
    if conditions.iter().map(count).sum::<usize>() > MOST_VALUES {
        return Err(faults::invalid(format_args!("A rule can only have '{MOST_VALUES}' condition values")));
    }
    if conditions.iter().map(wildcards).sum::<usize>() > MOST_WILDCARDS {
        return Err(faults::invalid(format_args!(
            "A rule can only have '{MOST_WILDCARDS}' condition wildcards"
        )));
    }
    Ok(conditions)
}

fn field_of(condition: &Condition) -> &'static str {
    match condition {
        Condition::Host(_) => "host-header",
        Condition::Path(_) => "path-pattern",
        Condition::Header { .. } => "http-header",
        Condition::Method(_) => "http-request-method",
        Condition::Query(_) => "query-string",
        Condition::SourceIp(_) => "source-ip",
    }
}

fn count(condition: &Condition) -> usize {
    match condition {
        Condition::Host(values) | Condition::Path(values) | Condition::Header { values, .. } => values.len(),
        Condition::Method(values) | Condition::SourceIp(values) => values.len(),
        Condition::Query(pairs) => pairs.len(),
    }
}

fn wildcards(condition: &Condition) -> usize {
    let stars = |text: &str| text.bytes().filter(|byte| matches!(byte, b'*' | b'?')).count();
    match condition {
        Condition::Host(values) | Condition::Path(values) | Condition::Header { values, .. } => values
            .iter()
            .map(|value| match value {
                Pattern::Wildcard(text) => stars(text),
                Pattern::Regex(_) => 0,
            })
            .sum(),
        Condition::Method(_) | Condition::SourceIp(_) => 0,
        Condition::Query(pairs) => {
            pairs.iter().map(|pair| stars(&pair.value) + pair.key.as_deref().map_or(0, stars)).sum()
        }
    }
}

fn one(asked: aws::RuleCondition) -> Result<Condition, Fault> {
    let field = asked.field.clone().filter(|field| !field.is_empty());
    let field = field.ok_or_else(|| faults::invalid("A condition field must be specified"))?;
    if !FIELDS.contains(&field.as_str()) {
        return Err(faults::invalid(format_args!(
            "Condition field '{field}' must be one of '[{}]'",
            FIELDS.join(", ")
        )));
    }
    check_members(&field, &asked)?;
    let lists = (asked.values.unwrap_or_default(), asked.regex_values.unwrap_or_default());
    match field.as_str() {
        "host-header" => {
            let config = asked.host_header_config;
            let config = config.map(|one| (one.values, one.regex_values));
            Ok(Condition::Host(patterns(&field, lists, config, check_host)?))
        }
        "path-pattern" => {
            let config = asked.path_pattern_config;
            let config = config.map(|one| (one.values, one.regex_values));
            Ok(Condition::Path(patterns(&field, lists, config, check_path)?))
        }
        "http-header" => {
            let config = asked.http_header_config.unwrap_or_default();
            let name = config.http_header_name.unwrap_or_default();
            check_header_name(&name)?;
            let regexes = if lists.1.is_empty() { config.regex_values.unwrap_or_default() } else { lists.1 };
            let lists = (config.values.unwrap_or_default(), regexes);
            let values = patterns(&field, lists, None, check_text)?;
            Ok(Condition::Header { name, values })
        }
        "http-request-method" => {
            let values = asked.http_request_method_config.unwrap_or_default().values.unwrap_or_default();
            check_list(&field, &values)?;
            values.iter().try_for_each(|value| check_method(value))?;
            Ok(Condition::Method(values))
        }
        "query-string" => {
            let values = asked.query_string_config.unwrap_or_default().values.unwrap_or_default();
            query(&field, values)
        }
        _ => {
            let config = asked.source_ip_config.unwrap_or_default();
            if config.ip_address_type.is_some() {
                return Err(faults::invalid(
                    "'IpAddressType' of SourceIpConfig is not supported on load balancers with type 'application'",
                ));
            }
            let values = config.values.unwrap_or_default();
            check_list(&field, &values)?;
            values.iter().try_for_each(|value| check_range(value))?;
            Ok(Condition::SourceIp(values))
        }
    }
}

/// AWS: a condition has the members of its field alone, and one form of them.
fn check_members(field: &str, asked: &aws::RuleCondition) -> Result<(), Fault> {
    let configs = [
        ("HostHeaderConfig", asked.host_header_config.is_some(), "host-header"),
        ("PathPatternConfig", asked.path_pattern_config.is_some(), "path-pattern"),
        ("HttpHeaderConfig", asked.http_header_config.is_some(), "http-header"),
        ("QueryStringConfig", asked.query_string_config.is_some(), "query-string"),
        ("HttpRequestMethodConfig", asked.http_request_method_config.is_some(), "http-request-method"),
        ("SourceIpConfig", asked.source_ip_config.is_some(), "source-ip"),
    ];
    if let Some((member, _, _)) = configs.iter().find(|(_, is_there, of)| *is_there && *of != field) {
        return Err(faults::invalid(format_args!(
            "You cannot provide '{member}' for a condition of type '{field}'"
        )));
    }
    let own = configs.iter().find(|(_, is_there, _)| *is_there).map(|(member, _, _)| *member);
    let has_values = asked.values.as_ref().is_some_and(|values| !values.is_empty());
    let takes_values = matches!(field, "host-header" | "path-pattern");
    let has_regexes = asked.regex_values.as_ref().is_some_and(|values| !values.is_empty());
    if has_regexes && !takes_values && field != "http-header" {
        return Err(faults::invalid(format_args!(
            "You cannot provide RegexValues for a condition of type '{field}'"
        )));
    }
    match own {
        Some(member) if has_values => Err(faults::invalid(format_args!(
            "You cannot provide both Values and '{member}' for a condition of type '{field}'"
        ))),
        _ if has_values && !takes_values => {
            Err(faults::invalid(format_args!("You cannot provide Values for a condition of type '{field}'")))
        }
        _ => Ok(()),
    }
}

type Lists = (Vec<String>, Vec<String>);
/// Values and regular expressions, as a request has them.
type Asked = (Option<Vec<String>>, Option<Vec<String>>);

fn patterns(
    field: &str,
    (values, regexes): Lists,
    config: Option<Asked>,
    check: fn(&str) -> Result<(), Fault>,
) -> Result<Vec<Pattern>, Fault> {
    let (in_config, regexes_in_config) = config.unwrap_or_default();
    let (in_config, regexes_in_config) =
        (in_config.unwrap_or_default(), regexes_in_config.unwrap_or_default());
    let values = if values.is_empty() { in_config } else { values };
    let regexes = if regexes.is_empty() { regexes_in_config } else { regexes };
    if !values.is_empty() && !regexes.is_empty() {
        return Err(faults::invalid(format_args!(
            "You cannot provide both Values and RegexValues for a condition of type '{field}'"
        )));
    }
    check_list(field, if regexes.is_empty() { &values } else { &regexes })?;
    values.iter().try_for_each(|value| check(value))?;
    regexes.iter().try_for_each(|value| check_regex(value, LONGEST))?;
    Ok(values.into_iter().map(Pattern::Wildcard).chain(regexes.into_iter().map(Pattern::Regex)).collect())
}

fn check_list(field: &str, values: &[String]) -> Result<(), Fault> {
    if values.is_empty() {
        return Err(faults::invalid(format_args!("A condition value must be specified for '{field}'")));
    }
    let mut sorted: Vec<_> = values.iter().collect();
    sorted.sort();
    if sorted.windows(2).any(|two| two[0] == two[1]) {
        return Err(faults::invalid("Condition values must be unique"));
    }
    Ok(())
}

fn check_length(value: &str) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(faults::invalid("A condition value must not be empty"));
    }
    if value.chars().count() > LONGEST {
        return Err(faults::invalid(format_args!(
            "Condition value '{value}' cannot be longer than '{LONGEST}' characters"
        )));
    }
    Ok(())
}

fn bad_character(value: &str) -> Fault {
    faults::invalid(format_args!("Condition value '{value}' contains a character that is not valid"))
}

/// AWS: a host has a dot, and letters alone (or a wildcard) behind the last.
fn check_host(value: &str) -> Result<(), Fault> {
    check_length(value)?;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'*' | b'?');
    if !value.bytes().all(is_known) {
        return Err(bad_character(value));
    }
    if value == "*" {
        return Ok(());
    }
    let last = value.rsplit_once('.').map(|(_, last)| last);
    let is_last = |last: &str| last.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'*' | b'?'));
    if last.is_some_and(is_last) {
        return Ok(());
    }
    Err(faults::invalid(format_args!(
        "The host name '{value}' must have at least one '.' character, and only letters after the last"
    )))
}

fn check_path(value: &str) -> Result<(), Fault> {
    check_length(value)?;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || br#"_-.$/~"'@:+&*?!%,;=()#[]\"#.contains(&byte);
    if value.bytes().all(is_known) { Ok(()) } else { Err(bad_character(value)) }
}

fn check_text(value: &str) -> Result<(), Fault> {
    check_length(value)?;
    if value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) { Ok(()) } else { Err(bad_character(value)) }
}

/// A regular expression of at most `longest` characters that can be compiled, and not into much.
pub fn check_regex(value: &str, longest: usize) -> Result<(), Fault> {
    if value.is_empty() || value.chars().count() > longest {
        return Err(faults::invalid(format_args!(
            "A regular expression must have from 1 to '{longest}' characters: '{value}'"
        )));
    }
    core_routing::check_regex(value)
        .map_err(|_| faults::invalid(format_args!("The regular expression '{value}' is not valid")))
}

fn check_header_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(faults::invalid(
            "A HttpHeaderName must be specified for a condition of type 'http-header'",
        ));
    }
    if name.len() > LONGEST_NAME {
        return Err(faults::invalid(format_args!(
            "The header name '{name}' cannot be longer than '{LONGEST_NAME}' characters"
        )));
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(is_token) {
        return Err(faults::invalid(format_args!(
            "The header name '{name}' contains a character that is not valid"
        )));
    }
    if name.eq_ignore_ascii_case("host") {
        return Err(faults::invalid(
            "You cannot use an HTTP header condition for the host header; use a host-header condition",
        ));
    }
    Ok(())
}

fn check_method(value: &str) -> Result<(), Fault> {
    let is_method = (1..=LONGEST_NAME).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    if is_method {
        return Ok(());
    }
    Err(faults::invalid(format_args!(
        "The HTTP request method '{value}' must have from 1 to '{LONGEST_NAME}' characters of A-Z, hyphen (-), and underscore (_)"
    )))
}

fn query(field: &str, values: Vec<aws::QueryStringKeyValuePair>) -> Result<Condition, Fault> {
    let texts: Vec<String> = values.iter().map(|pair| format!("{:?}={:?}", pair.key, pair.value)).collect();
    check_list(field, &texts)?;
    let pair = |pair: aws::QueryStringKeyValuePair| {
        let key = pair.key.filter(|key| !key.is_empty());
        if let Some(key) = &key {
            check_text(key)?;
        }
        let value = pair.value.unwrap_or_default();
        check_text(&value)?;
        Ok(QueryPair { key, value })
    };
    values.into_iter().map(pair).collect::<Result<_, _>>().map(Condition::Query)
}

/// AWS: `a.b.c.d/n` or an IPv6 range; the address of a broadcast is none.
fn check_range(value: &str) -> Result<(), Fault> {
    let is_range = value.split_once('/').is_some_and(|(address, prefix)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(address)) if !address.is_broadcast() => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            _ => return false,
        };
        prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
    });
    if is_range {
        return Ok(());
    }
    Err(faults::invalid(format_args!("The source IP '{value}' must be in CIDR format")))
}
