//! `{ $.a.b[0] = "text" && ($.c > 5 || $.d NOT EXISTS) }` over events that are JSON.

use serde_json::Value;

use super::Unreadable;
use super::value::{Operator, Wanted};

/// Parentheses nest at most so deep.
const DEEPEST: usize = 32;

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Test(Vec<Step>, Test),
}

/// From a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    At(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Test {
    Compares(Compared),
    IsNull,
    Is(bool),
    IsAbsent,
}

#[derive(Debug, Clone)]
pub(crate) struct Compared {
    operator: Operator,
    wanted: Wanted,
}

impl Condition {
    pub fn matches(&self, message: &str) -> bool {
        serde_json::from_str::<Value>(message).is_ok_and(|event| event.is_object() && self.holds(&event))
    }

    fn holds(&self, event: &Value) -> bool {
        match self {
            Condition::All(conditions) => conditions.iter().all(|condition| condition.holds(event)),
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.holds(event)),
            Condition::Test(path, test) => {
                let found = path.iter().try_fold(event, |value, step| match step {
                    Step::Key(key) => value.get(key),
                    Step::At(at) => value.get(at),
                });
                test.holds(found)
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        match self {
            Test::IsAbsent => found.is_none(),
            Test::IsNull => found.is_some_and(Value::is_null),
            Test::Is(flag) => found.and_then(Value::as_bool) == Some(*flag),
            // AWS: an array or an object does not fit the pattern, whatever the operator.
            Test::Compares(Compared { operator, wanted }) => match found {
                Some(Value::String(text)) => wanted.holds(*operator, text),
                Some(Value::Number(number)) => wanted.holds(*operator, &number.to_string()),
                Some(Value::Bool(flag)) => wanted.holds(*operator, if *flag { "true" } else { "false" }),
                None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => false,
            },
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Condition, Unreadable> {
    let mut parser = Parser { rest: text.strip_prefix('{').unwrap_or(text) };
    let condition = parser.any(0)?;
    parser.expect("}")?;
    match parser.rest.trim().is_empty() {
        true => Ok(condition),
        false => Err(Unreadable::at(format_args!("unexpected '{}'", parser.rest.trim()))),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Condition, Unreadable> {
        let mut conditions = vec![self.all(depth)?];
        while self.takes("||") {
            conditions.push(self.all(depth)?);
        }
        Ok(one_or(conditions, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, Unreadable> {
        let mut conditions = vec![self.one(depth)?];
        while self.takes("&&") {
            conditions.push(self.one(depth)?);
        }
        Ok(one_or(conditions, Condition::All))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, Unreadable> {
        if self.takes("(") {
            if depth == DEEPEST {
                return Err(Unreadable::at("its parentheses nest too deep"));
            }
            let condition = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(condition);
        }
        self.expect("$")?;
        let path = self.path()?;
        Ok(Condition::Test(path, self.test()?))
    }

    fn path(&mut self) -> Result<Vec<Step>, Unreadable> {
        let mut path = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
                let (key, behind) = rest.split_at(end.unwrap_or(rest.len()));
                if key.is_empty() {
                    return Err(Unreadable::at("a property has no name"));
                }
                path.push(Step::Key(key.to_owned()));
                self.rest = behind;
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                let (at, behind) = rest.split_once(']').ok_or_else(|| Unreadable::at("']' is missing"))?;
                let at = at.trim().parse().map_err(|_| Unreadable::at(format_args!("'{at}' is no index")))?;
                path.push(Step::At(at));
                self.rest = behind;
            } else {
                return Ok(path);
            }
        }
    }

    fn test(&mut self) -> Result<Test, Unreadable> {
        self.rest = self.rest.trim_start();
        let words = [
            (["IS", "NULL"], Test::IsNull),
            (["IS", "TRUE"], Test::Is(true)),
            (["IS", "FALSE"], Test::Is(false)),
            (["NOT", "EXISTS"], Test::IsAbsent),
        ];
        for ([first, second], test) in words {
            let behind =
                self.rest.strip_prefix(first).and_then(|rest| rest.trim_start().strip_prefix(second));
            if let Some(behind) = behind {
                self.rest = behind;
                return Ok(test);
            }
        }
        let (operator, behind) =
            Operator::split(self.rest).ok_or_else(|| Unreadable::at("a property has no comparison"))?;
        let (wanted, behind) = Wanted::split(behind.trim_start(), &['}', ')', '&', '|'])?;
        self.rest = behind;
        Ok(Test::Compares(Compared { operator, wanted }))
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(behind) => {
                self.rest = behind;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Unreadable> {
        match self.takes(token) {
            true => Ok(()),
            false => Err(Unreadable::at(format_args!("'{token}' is missing"))),
        }
    }
}

fn one_or(mut conditions: Vec<Condition>, several: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match (conditions.len(), conditions.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            conditions.extend(last);
            several(conditions)
        }
    }
}
