//! Filter patterns: which events a search answers.
//!
//! Four forms, told apart by their first character: terms, `{ … }` over events that are JSON,
//! `[ … ]` over fields between spaces, and a regular expression `%…%`, which may also stand for a
//! value in the two before it.
//! AWS: "Filter pattern syntax", CloudWatch Logs user guide.

mod fields;
mod json;
mod terms;
mod value;

use fields::Fields;
use json::Condition;
use regex_lite::Regex;
use terms::Terms;

/// A parsed pattern.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Everything,
    Terms(Terms),
    Json(Condition),
    Fields(Fields),
    Regex(Regex),
}

/// Why a pattern is none; said to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub String);

impl Unreadable {
    fn at(what: impl std::fmt::Display) -> Self {
        Unreadable(format!("Invalid filter pattern: {what}"))
    }
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let text = text.trim();
        match text.chars().next() {
            None => Ok(Pattern::Everything),
            Some('{') => json::parse(text).map(Pattern::Json),
            Some('[') => fields::parse(text).map(Pattern::Fields),
            Some('%') => match value::regex(&text[1..])? {
                (regex, "") => Ok(Pattern::Regex(regex)),
                (_, rest) => Err(Unreadable::at(format_args!("unexpected '{rest}'"))),
            },
            Some(_) => terms::parse(text).map(Pattern::Terms),
        }
    }

    pub fn matches(&self, message: &str) -> bool {
        match self {
            Pattern::Everything => true,
            Pattern::Terms(terms) => terms.matches(message),
            Pattern::Json(condition) => condition.matches(message),
            Pattern::Fields(fields) => fields.matches(message),
            Pattern::Regex(regex) => regex.is_match(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for message in matching {
            assert!(parsed.matches(message), "{pattern} should match {message}");
        }
        for message in others {
            assert!(!parsed.matches(message), "{pattern} should not match {message}");
        }
    }

    #[test]
    fn terms() {
        let (both, error, warn) = ("ERROR WARN message", "ERROR message", "WARN message");
        check("", &["anything", ""], &[]);
        check("ERROR", &[both, error, "Exiting with ERRORCODE: -1"], &[warn, "error"]);
        check("ERROR WARN", &[both], &[error, warn]);
        check("?ERROR ?WARN", &[both, error, warn], &["INFO message"]);
        check("ERROR -WARN", &[error], &[both, warn]);
        check("\"ERROR message\"", &[error], &[both]);
        check("ERROR - \"Exiting\"", &[error], &["Exiting with ERRORCODE: -1"]);
        check(r#""say \"hi\"""#, &[r#"they say "hi""#], &["they say hi"]);
        check("-WARN", &[error], &[warn]);
    }

    const EVENT: &str = r#"{
        "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "latency": 50.5,
        "arrayKey": ["value", "another value"], "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": null, "ThisFlag": true, "user": {"id": 1, "email": "John.Stiles@example.com"},
        "coordinates": [[0, 1, 2], [4, 5, 6]], "code": "400"
    }"#;

    #[test]
    fn json_conditions_that_hold() {
        for pattern in [
            r#"{ $.eventType = "UpdateTrail" }"#,
            "{ $.sourceIPAddress != 123.123.* }",
            r#"{ $.arrayKey[0] = "value" }"#,
            "{ $.objectList[1].id = 2 }",
            "{ $.SomeObject IS NULL }",
            "{ $.SomeOtherObject NOT EXISTS }",
            "{ $.ThisFlag IS TRUE }",
            "{ ($.user.id = 1) && ($.eventType = \"*Trail\") }",
            "{ $.eventType = nonmatch || $.coordinates[1][0] = 4 && $.latency > 5e1 }",
            "{ $.latency >= 50.5 && $.latency <= 50.5 && $.latency < +51 && $.latency = * }",
            "{ $.code = 400 }",
            "{$.eventType=Update*}",
        ] {
            check(pattern, &[EVENT], &["not JSON", "[1]"]);
        }
    }

    #[test]
    fn json_conditions_that_do_not() {
        for pattern in [
            r#"{ ($.user.id = 2 && $.arrayKey[0] = "nonmatch") || $.arrayKey[1] = "value" }"#,
            "{ ($.user.id = 1 || $.coordinates[0][1] = nonmatch) && $.arrayKey[1] = nomatch }",
            "{ $.arrayKey = 1 }",
            "{ $.arrayKey != 1 }",
            "{ $.missing != 1 }",
            "{ $.missing IS NULL }",
            "{ $.SomeObject NOT EXISTS }",
            "{ $.ThisFlag IS FALSE }",
            "{ $.latency > 51 }",
            "{ $.eventType > 1 }",
            "{ $.eventType = Upd*ail }",
        ] {
            check(pattern, &[], &[EVENT]);
        }
    }

    const LINE: &str =
        r#"127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324"#;

    #[test]
    fn fields() {
        for pattern in [
            "[ip, user, username, timestamp, request, status_code, bytes]",
            "[..., status_code, bytes]",
            "[ip, user, ..., status_code = 5*, bytes > 1000]",
            "[ip, user, ...]",
            "[..., request=*gif*, status_code=5*,]",
            "[ip, user, username, timestamp = 10/Oct*, request, status_code = 4* || status_code = 500, bytes]",
            "[..., status_code = 5* && status_code != 503, bytes]",
            "[...]",
        ] {
            check(pattern, &[LINE], &[]);
        }
        for pattern in [
            "[ip, user]",
            "[ip, user, username, timestamp, request, status_code, bytes, more]",
            "[..., status_code = 4*, bytes]",
            "[..., bytes > 6000]",
            "[..., bytes > x]",
        ] {
            check(pattern, &[], &[LINE]);
        }
        check("[w1=ERROR, w2]", &["ERROR message"], &["ERROR WARN message", "WARN message"]);
        check("[w1=!ERROR&&w1=!WARN, w2]", &["INFO message"], &["ERROR message"]);
    }

    #[test]
    fn regular_expressions() {
        check("%colou?r%", &["a color", "colours"], &["Color"]);
        check("%^10\\.10\\.[0-9]{1,3}|x$%", &["10.10.7", "box"], &["10a10.7", "x."]);
        check("{ $.user.email = %^John.*com$% && $.code != %5..% }", &[EVENT], &[]);
        check("[..., status = %[45]00%, bytes]", &[LINE], &["a 300 5"]);
    }

    proptest::proptest! {
        /// Whatever a caller writes is read or refused, and whatever was logged is looked at.
        #[test]
        fn any_text_is_read_or_refused(pattern in "[%{\\[]?[ $.a0=!<>&|()*\"?%,{}\\[\\]-]{0,24}", message: String) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
                pattern.matches(&format!("{{\"a\": [{message:?}, 0]}}"));
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "\"open",
            "%open",
            "%a b%",
            "%(a)%",
            "%a% b",
            "%[%",
            "%a{1000}{1000}{1000}%",
            "ERROR %x%",
            "ERR.OR",
            "-",
            "?",
            "{",
            "{}",
            "{ $.a }",
            "{ $.a = }",
            "{ a = 1 }",
            "{ $.a = 1 } x",
            "{ ($.a = 1 }",
            "{ $.a = %x }",
            "[",
            "[a",
            "[a, ..., b, ...]",
            "[a = ]",
            "[a b]",
            "{ $.a IS ODD }",
            "{ $.a[x] = 1 }",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
        let deep = format!("{{ {}$.a = 1 }}", "(".repeat(100_000));
        assert!(Pattern::parse(&deep).is_err());
    }
}
