//! The cluster query language: which container instances an expression means.
//!
//! ```text
//! or    := and (("or" | "||") and)*
//! and   := not (("and" | "&&") not)*
//! not   := ("not" | "!") not | "(" or ")" | test
//! test  := subject operator argument?
//! ```
//!
//! AWS: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html>

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base::Timestamp;
use regex_lite::Regex;

/// AWS: characters of an expression.
const LONGEST: usize = 2000;
/// Parentheses and negations within each other.
const DEEPEST: usize = 32;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFlaw {
    #[error("Invalid filter: the expression is longer than 2000 characters.")]
    TooLong,
    #[error("Invalid filter: unexpected '{0}'.")]
    Unexpected(String),
    #[error("Invalid filter: the expression ends too soon.")]
    Incomplete,
    #[error("Invalid filter: the expression is nested too deep.")]
    TooDeep,
    #[error("Invalid filter: '{0}' is not a subject.")]
    Subject(String),
    #[error("Invalid filter: {subject} does not take the operator '{operator}'.")]
    Operator { subject: String, operator: String },
    #[error("Invalid filter: '{0}' is not a pattern.")]
    Pattern(String),
    #[error("Invalid filter: '{0}' is not a date.")]
    Date(String),
}

/// What is known of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub attributes: &'a BTreeMap<String, Option<String>>,
    pub is_connected: bool,
    pub agent_version: Option<&'a str>,
    pub ec2_instance_id: Option<&'a str>,
    pub running: usize,
    /// Groups of its tasks.
    pub groups: &'a [String],
    pub registered_at: Timestamp,
}

/// An expression that was understood.
#[derive(Debug, Clone)]
pub enum Query {
    Or(Box<Query>, Box<Query>),
    And(Box<Query>, Box<Query>),
    Not(Box<Query>),
    Test(Subject, Test),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    AgentConnected,
    AgentVersion,
    Ec2InstanceId,
    RunningTasksCount,
    TaskGroup,
    /// Compared in whole seconds.
    RegisteredAt,
    Attribute(String),
}

#[derive(Debug, Clone)]
pub enum Test {
    Equals(String),
    In(Vec<String>),
    Matches(Regex),
    Exists,
    /// The value stands so to the argument, or equal to it where `or_equal`.
    Compares {
        order: Ordering,
        or_equal: bool,
        to: String,
    },
}

impl Query {
    pub fn parse(text: &str) -> Result<Query, QueryFlaw> {
        if text.chars().count() > LONGEST {
            return Err(QueryFlaw::TooLong);
        }
        let mut parser = Parser { rest: text, depth: 0 };
        let query = parser.or()?;
        match parser.peek() {
            "" => Ok(query),
            other => Err(QueryFlaw::Unexpected(String::from(other))),
        }
    }

    /// Whether the instance is meant. What has no value equals nothing, and matches nothing.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Query::Or(one, other) => one.holds(facts) || other.holds(facts),
            Query::And(one, other) => one.holds(facts) && other.holds(facts),
            Query::Not(query) => !query.holds(facts),
            Query::Test(subject, test) => subject.passes(test, facts),
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Result<Subject, QueryFlaw> {
        match text {
            "agentConnected" => Ok(Subject::AgentConnected),
            "agentVersion" => Ok(Subject::AgentVersion),
            "ec2InstanceId" => Ok(Subject::Ec2InstanceId),
            "runningTasksCount" => Ok(Subject::RunningTasksCount),
            "task:group" => Ok(Subject::TaskGroup),
            "registeredAt" => Ok(Subject::RegisteredAt),
            other => match other.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Subject::Attribute(String::from(name))),
                None => Err(QueryFlaw::Subject(String::from(other))),
            },
        }
    }

    fn values(&self, facts: &Facts<'_>) -> Vec<String> {
        let one = |text: Option<&str>| text.map(String::from).into_iter().collect();
        match self {
            Subject::AgentConnected => vec![facts.is_connected.to_string()],
            Subject::AgentVersion => one(facts.agent_version),
            Subject::Ec2InstanceId => one(facts.ec2_instance_id),
            Subject::RunningTasksCount => vec![facts.running.to_string()],
            Subject::TaskGroup => facts.groups.to_vec(),
            Subject::RegisteredAt => vec![facts.registered_at.as_secs().to_string()],
            Subject::Attribute(name) => one(facts.attributes.get(name).and_then(|value| value.as_deref())),
        }
    }

    fn passes(&self, test: &Test, facts: &Facts<'_>) -> bool {
        let values = self.values(facts);
        match test {
            Test::Equals(text) => values.contains(text),
            Test::In(texts) => values.iter().any(|value| texts.contains(value)),
            Test::Matches(pattern) => values.iter().any(|value| pattern.is_match(value)),
            Test::Exists => match self {
                Subject::Attribute(name) => facts.attributes.contains_key(name),
                _ => !values.is_empty(),
            },
            Test::Compares { order, or_equal, to } => values.iter().any(|value| {
                let found = compare(value, to);
                found == Some(*order) || (*or_equal && found == Some(Ordering::Equal))
            }),
        }
    }
}

/// Versions and numbers part by part; what has another part in it cannot be compared.
fn compare(one: &str, other: &str) -> Option<Ordering> {
    let parts = |text: &str| -> Option<Vec<u64>> {
        text.trim_start_matches('v').split('.').map(|part| part.parse().ok()).collect()
    };
    Some(parts(one)?.cmp(&parts(other)?))
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

/// Longer signs before those that they begin with.
const SIGNS: [&str; 17] =
    ["==", "!=", ">=", "<=", "=~", "!~", "!in", "!exists", "&&", "||", ">", "<", "!", "(", ")", "[", "]"];

impl<'a> Parser<'a> {
    /// The next sign, comma or word, without taking it; empty at the end.
    fn peek(&self) -> &'a str {
        let rest = self.rest.trim_start();
        if let Some(sign) = SIGNS.into_iter().chain([","]).find(|sign| rest.starts_with(sign)) {
            return &rest[..sign.len()];
        }
        let is_sign = |c: char| c.is_whitespace() || "=!<>&|()[],".contains(c);
        &rest[..rest.find(is_sign).unwrap_or(rest.len()).max(rest.chars().next().map_or(0, char::len_utf8))]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = &self.rest.trim_start()[token.len()..];
        token
    }

    fn takes(&mut self, tokens: &[&str]) -> bool {
        let is_there = tokens.contains(&self.peek());
        if is_there {
            self.next();
        }
        is_there
    }

    fn or(&mut self) -> Result<Query, QueryFlaw> {
        let mut query = self.and()?;
        while self.takes(&["or", "||"]) {
            query = Query::Or(Box::new(query), Box::new(self.and()?));
        }
        Ok(query)
    }

    fn and(&mut self) -> Result<Query, QueryFlaw> {
        let mut query = self.not()?;
        while self.takes(&["and", "&&"]) {
            query = Query::And(Box::new(query), Box::new(self.not()?));
        }
        Ok(query)
    }

    fn not(&mut self) -> Result<Query, QueryFlaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(QueryFlaw::TooDeep);
        }
        let query = if self.takes(&["not", "!"]) {
            Query::Not(Box::new(self.not()?))
        } else if self.takes(&["("]) {
            let query = self.or()?;
            if !self.takes(&[")"]) {
                return Err(self.unexpected());
            }
            query
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(query)
    }

    fn unexpected(&self) -> QueryFlaw {
        match self.peek() {
            "" => QueryFlaw::Incomplete,
            other => QueryFlaw::Unexpected(String::from(other)),
        }
    }

    fn test(&mut self) -> Result<Query, QueryFlaw> {
        let name = self.word()?;
        let subject = Subject::parse(&name)?;
        let operator = String::from(self.next());
        let (test, is_negated) = match operator.as_str() {
            "" => return Err(QueryFlaw::Incomplete),
            "==" | "equals" => (Test::Equals(self.word()?), false),
            "!=" | "not_equals" => (Test::Equals(self.word()?), true),
            "in" => (Test::In(self.list()?), false),
            "!in" | "not_in" => (Test::In(self.list()?), true),
            "=~" | "matches" => (Test::Matches(self.pattern()?), false),
            "!~" | "not_matches" => (Test::Matches(self.pattern()?), true),
            "exists" => (Test::Exists, false),
            "!exists" | "not_exists" => (Test::Exists, true),
            ">" | "greater_than" => (self.comparison(Ordering::Greater, false)?, false),
            ">=" | "greater_than_equal" => (self.comparison(Ordering::Greater, true)?, false),
            "<" | "less_than" => (self.comparison(Ordering::Less, false)?, false),
            "<=" | "less_than_equal" => (self.comparison(Ordering::Less, true)?, false),
            _ => return Err(QueryFlaw::Unexpected(operator)),
        };
        if !takes(&subject, &test) {
            return Err(QueryFlaw::Operator { subject: name, operator });
        }
        let test = if subject == Subject::RegisteredAt { dated(test)? } else { test };
        let query = Query::Test(subject, test);
        Ok(if is_negated { Query::Not(Box::new(query)) } else { query })
    }

    fn word(&mut self) -> Result<String, QueryFlaw> {
        let token = self.peek();
        if token.is_empty() || token == "," || SIGNS.contains(&token) {
            return Err(self.unexpected());
        }
        Ok(String::from(self.next()))
    }

    /// `[a, b]`.
    fn list(&mut self) -> Result<Vec<String>, QueryFlaw> {
        if !self.takes(&["["]) {
            return Err(self.unexpected());
        }
        let mut words = vec![self.word()?];
        while self.takes(&[","]) {
            words.push(self.word()?);
        }
        if self.takes(&["]"]) { Ok(words) } else { Err(self.unexpected()) }
    }

    /// Up to the next white space, whatever signs are in it; a closing parenthesis that the pattern
    /// did not open is the expression's.
    fn pattern(&mut self) -> Result<Regex, QueryFlaw> {
        let rest = self.rest.trim_start();
        let mut open = 0_i32;
        let is_over = |c: char| {
            open += i32::from(c == '(') - i32::from(c == ')');
            c.is_whitespace() || open < 0
        };
        let end = rest.find(is_over).unwrap_or(rest.len());
        let text = &rest[..end];
        self.rest = &rest[end..];
        if text.is_empty() {
            return Err(self.unexpected());
        }
        // AWS: the whole value is matched, as Java does.
        Regex::new(&format!("^(?:{text})$")).map_err(|_| QueryFlaw::Pattern(String::from(text)))
    }

    fn comparison(&mut self, order: Ordering, or_equal: bool) -> Result<Test, QueryFlaw> {
        Ok(Test::Compares { order, or_equal, to: self.word()? })
    }
}

/// A test of a date, with the date as seconds.
fn dated(test: Test) -> Result<Test, QueryFlaw> {
    match test {
        Test::Equals(text) => Ok(Test::Equals(seconds(text)?)),
        Test::Compares { order, or_equal, to } => Ok(Test::Compares { order, or_equal, to: seconds(to)? }),
        other @ (Test::In(_) | Test::Matches(_) | Test::Exists) => Ok(other),
    }
}

/// AWS: `2018-06-18T22:28:28+00:00`, with `Z` or without a zone, or the date alone.
fn seconds(text: String) -> Result<String, QueryFlaw> {
    let plain = text.trim_end_matches("+00:00").trim_end_matches('Z');
    let whole = if plain.contains('T') { format!("{plain}Z") } else { format!("{plain}T00:00:00Z") };
    match Timestamp::parse(&whole) {
        Some(at) => Ok(at.as_secs().to_string()),
        None => Err(QueryFlaw::Date(text)),
    }
}

/// AWS: which operators a subject has.
fn takes(subject: &Subject, test: &Test) -> bool {
    match (subject, test) {
        (_, Test::Equals(_)) => true,
        (Subject::Attribute(_), Test::Exists) => true,
        (_, Test::Exists) => false,
        (
            Subject::AgentVersion | Subject::RunningTasksCount | Subject::RegisteredAt,
            Test::Compares { .. },
        ) => true,
        (_, Test::Compares { .. }) => false,
        (
            Subject::AgentVersion | Subject::RunningTasksCount | Subject::RegisteredAt,
            Test::In(_) | Test::Matches(_),
        ) => false,
        (_, Test::In(_) | Test::Matches(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> Result<bool, QueryFlaw> {
        let attributes = [
            ("ecs.instance-type", Some("t3.large")),
            ("ecs.availability-zone", Some("us-east-1a")),
            ("ecs.capability.task-eni", None),
            ("stack", Some("production")),
        ];
        let attributes = attributes.map(|(name, value)| (String::from(name), value.map(String::from)));
        let facts = Facts {
            attributes: &attributes.into(),
            is_connected: true,
            agent_version: Some("1.62.0"),
            ec2_instance_id: Some("i-1"),
            running: 3,
            groups: &[String::from("family:web"), String::from("service:production")],
            registered_at: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
        };
        Query::parse(text).map(|query| query.holds(&facts))
    }

    #[test]
    fn what_holds() {
        for text in [
            "attribute:stack == production",
            "attribute:stack==production",
            "attribute:stack equals production",
            "attribute:stack != test",
            "attribute:absent != test",
            "attribute:ecs.capability.task-eni exists",
            "attribute:absent !exists",
            "attribute:absent not_exists",
            "attribute:ecs.instance-type =~ t3.*",
            "attribute:ecs.instance-type =~ (t3|m5)\\..+",
            "(attribute:ecs.instance-type =~ (t3|m5)\\.large) and runningTasksCount > 0",
            "attribute:ecs.instance-type !~ t3",
            "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
            "attribute:ecs.availability-zone !in [us-east-1c]",
            "attribute:ecs.availability-zone not_in [us-east-1c,us-east-1d]",
            "agentConnected == true",
            "agentVersion >= 1.9.0 && agentVersion < 1.100",
            "ec2InstanceId in ['i-2', i-1]",
            "runningTasksCount == 3",
            "runningTasksCount <= 3 and not runningTasksCount < 3",
            "task:group == service:production",
            "task:group != service:test",
            "registeredAt > 2026-01-02 and registeredAt < 2026-01-03",
            "registeredAt == 2026-01-02T03:04:05+00:00",
            "registeredAt >= 2026-01-02T03:04:05Z",
            "registeredAt != 2026-01-02T03:04:06",
            "attribute:stack == test or attribute:stack == production",
            "attribute:stack == test || !(attribute:stack == test && runningTasksCount == 3)",
            // and binds tighter than or.
            "runningTasksCount == 3 or runningTasksCount == 3 and runningTasksCount == 4",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn what_does_not_hold() {
        for text in [
            "attribute:stack == Production",
            "attribute:absent == x",
            "attribute:absent exists",
            "attribute:stack !exists",
            "attribute:ecs.instance-type =~ t3",
            "attribute:ecs.capability.task-eni =~ .*",
            "agentConnected == false",
            "agentVersion > 1.62.0",
            "task:group == service:test",
            "not attribute:stack == production",
            "(runningTasksCount == 3 or runningTasksCount == 3) and runningTasksCount == 4",
        ] {
            assert_eq!(holds(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression() {
        for (text, message) in [
            ("", "Invalid filter: the expression ends too soon."),
            ("attribute:stack", "Invalid filter: the expression ends too soon."),
            ("attribute:stack ==", "Invalid filter: the expression ends too soon."),
            ("attribute:stack is x", "Invalid filter: unexpected 'is'."),
            ("attribute: == x", "Invalid filter: 'attribute:' is not a subject."),
            ("stack == x", "Invalid filter: 'stack' is not a subject."),
            ("(runningTasksCount == 1", "Invalid filter: the expression ends too soon."),
            ("runningTasksCount == 1)", "Invalid filter: unexpected ')'."),
            ("runningTasksCount == 1 2", "Invalid filter: unexpected '2'."),
            ("ec2InstanceId in i-1", "Invalid filter: unexpected 'i-1'."),
            ("ec2InstanceId in [i-1", "Invalid filter: the expression ends too soon."),
            ("ec2InstanceId in []", "Invalid filter: unexpected ']'."),
            ("ec2InstanceId > i-1", "Invalid filter: ec2InstanceId does not take the operator '>'."),
            ("agentVersion exists", "Invalid filter: agentVersion does not take the operator 'exists'."),
            ("attribute:x =~ (", "Invalid filter: '(' is not a pattern."),
            ("registeredAt > yesterday", "Invalid filter: 'yesterday' is not a date."),
            ("registeredAt =~ 2026.*", "Invalid filter: registeredAt does not take the operator '=~'."),
            ("= == =", "Invalid filter: '=' is not a subject."),
        ] {
            assert_eq!(holds(text).map_err(|flaw| flaw.to_string()), Err(String::from(message)), "{text}");
        }
        assert_eq!(holds(&"!".repeat(100)), Err(QueryFlaw::TooDeep));
        assert_eq!(holds(&"x".repeat(2001)), Err(QueryFlaw::TooLong));
    }

    /// Whatever comes in, it is answered.
    #[test]
    fn any_text_is_answered() {
        let parts =
            ["attribute:a", "==", "!", "(", ")", "[", "]", ",", "in", "and", "=", "&", "é", "=~", "or", "x"];
        let mut chance = base::Chance::new(7);
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..chance.below(9) {
                text.push_str(parts[chance.below(parts.len() as u64) as usize]);
                if chance.below(2) == 0 {
                    text.push(' ');
                }
            }
            let _ = holds(&text);
        }
    }
}
