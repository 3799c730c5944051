//! awsJson: broken and hostile bodies, and the forms of values.

use aws_ecs::{ListClustersRequest, Task};
use http::HeaderMap;
use wire::{DecodeFault, Empty, Operation, Parts, Protocol, Shape, Timestamp};

fn decode<O: Operation>(body: &[u8]) -> Result<O::Input, DecodeFault> {
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let mut input = O::Input::default();
    wire::decode(Protocol::AwsJson11, O::DEFINITION, &parts, body, &mut input)?;
    Ok(input)
}

fn clusters(body: &str) -> Result<ListClustersRequest, String> {
    decode::<aws_ecs::op::ListClusters>(body.as_bytes()).map_err(|fault| fault.to_string())
}

/// What `ListClusters` makes of a body: the token that it carries, or the refusal.
fn check(body: &str, expected: &str) {
    let found = match clusters(body) {
        Ok(request) => format!("token {:?}", request.next_token),
        Err(fault) => fault,
    };
    assert_eq!(found, expected, "{body}");
}

#[test]
fn whatever_means_nothing_is_passed_over() {
    check("", "token None");
    check("{}", "token None");
    check(" \r\n\t{ } ", "token None");
    check(r#"{"nextToken":null}"#, "token None");
    check(
        r#"{"unknown":[{"a":[[],{}]},"x\"y",-1.5e+3,true,false,null],"nextToken":"a"}"#,
        r#"token Some("a")"#,
    );
    check(r#"{"nextToken":"a","nextToken":"b"}"#, r#"token Some("b")"#);
}

#[test]
fn strings_are_unescaped() {
    check(
        r#"{"nextToken":"a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00z"}"#,
        r#"token Some("a\"\\/\u{8}\u{c}\n\r\tä😀z")"#,
    );
    check(r#"{"next\u0054oken":"a"}"#, r#"token Some("a")"#);
    check(r#"{"nextToken":"\ud83d"}"#, "Half of a surrogate pair in a string");
    check(r#"{"nextToken":"\ude00"}"#, "Half of a surrogate pair in a string");
    check(r#"{"nextToken":"\x"}"#, "Unexpected character 'x' at offset 15");
    check(r#"{"nextToken":"\u12g4"}"#, "Unexpected character '1' at offset 16");
    check("{\"nextToken\":\"a\nb\"}", "Control character in a string at offset 15");
}

#[test]
fn broken_syntax_is_refused() {
    for body in
        ["{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":[", "{\"a\":\"\\", "{\"a\":\"\\u1"]
    {
        check(body, "Unexpected end of the body");
    }
    check("{}x", "Unexpected character 'x' at offset 2");
    check("{,}", "Unexpected character ',' at offset 1");
    check(r#"{"a":1,}"#, "Unexpected character '}' at offset 7");
    check(r#"{"a":01}"#, "Unexpected character '1' at offset 6");
    check(r#"{"a":.5}"#, "Unexpected character '.' at offset 5");
    check(r#"{"a":1.}"#, "Unexpected character '}' at offset 7");
    check(r#"{"a":[1,]}"#, "Unexpected character ']' at offset 8");
    check(r#"{"a":[1}"#, "Unexpected character '}' at offset 7");
    check(r#"{"a":nul}"#, "Unexpected character 'n' at offset 5");
    check("{'a':1}", "Unexpected character '\\'' at offset 1");
    check("Action=ListClusters", "Unexpected character 'A' at offset 0");
    check("ä", "Unexpected character 'ä' at offset 0");
}

#[test]
fn other_types_than_the_models_are_refused() {
    check("[]", "START_ARRAY cannot be converted to a structure");
    check("null", "NULL_VALUE cannot be converted to a structure");
    check(r#"{"nextToken":1}"#, "NUMBER_VALUE cannot be converted to String");
    check(r#"{"nextToken":{}}"#, "START_OBJECT cannot be converted to String");
    check(r#"{"maxResults":"1"}"#, "STRING_VALUE cannot be converted to Integer");
    check(r#"{"maxResults":1.5}"#, "1.5 cannot be converted to Integer");
    check(r#"{"maxResults":2147483648}"#, "2147483648 cannot be converted to Integer");
    check(r#"{"maxResults":1e400}"#, "1e400 cannot be converted to Integer");
    assert_eq!(clusters(r#"{"maxResults":1e1}"#).unwrap().max_results, Some(10));
}

#[test]
fn bodies_that_are_not_utf8_are_refused() {
    let fault = decode::<aws_ecs::op::ListClusters>(b"{\"nextToken\":\"\xff\"}").unwrap_err();
    assert_eq!(fault.to_string(), "The body is not UTF-8");
    assert_eq!(fault.fault(&aws_ecs::API).code, "SerializationException");
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{{\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        check(&nested(127), "token None");
        check(&nested(128), "nested deeper than 128 levels");
        check(&nested(10_000), "nested deeper than 128 levels");
    }
    check(&"[".repeat(1_000_000), "START_ARRAY cannot be converted to a structure");
}

#[test]
fn numbers_and_instants_have_the_protocols_forms() {
    let task = Task {
        created_at: Some(Timestamp::from_millis(1_700_000_000_120)),
        started_at: Some(Timestamp::from_secs(1_700_000_000)),
        stopped_at: Some(Timestamp::from_millis(-1)),
        version: Some(i64::MIN),
        ..Default::default()
    };
    let body = encode(&task);
    assert_eq!(
        body,
        r#"{"createdAt":1700000000.12,"startedAt":1700000000,"stoppedAt":-0.001,"version":-9223372036854775808}"#
    );
    let mut back = Task::default();
    let headers = HeaderMap::new();
    wire::decode_response(Protocol::AwsJson11, &DESCRIBED, 200, &headers, body.as_bytes(), &mut back)
        .unwrap();
    assert_eq!(back, task);
}

#[test]
fn documents_keep_what_they_hold() {
    let read = |body: &str| {
        let mut holder = Holder::default();
        let headers = HeaderMap::new();
        let parts = Parts { path: "/", query: "", headers: &headers };
        wire::decode(Protocol::AwsJson11, &NOTHING, &parts, body.as_bytes(), &mut holder)?;
        Ok::<_, DecodeFault>(holder)
    };
    let body = r#"{"any":{"a":[1,-2.5,"\"x",true,null,{}],"b":9223372036854775808}}"#;
    let holder = read(body).unwrap();
    assert_eq!(encode(&holder), body.replace("9223372036854775808", "9.223372036854776e18"));
    assert_eq!(wire::present::members(&holder), ["any"]);
    let deep = |depth: usize| format!("{{\"any\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&deep(127)).is_ok());
    assert_eq!(read(&deep(128)).unwrap_err().to_string(), "nested deeper than 128 levels");
}

#[derive(Debug, Default)]
struct Holder {
    any: Option<wire::Document>,
}

static HOLDER: wire::Schema = wire::Schema::new(
    "Holder",
    wire::Kind::Structure(&[wire::Member::new("any", &wire::schema::plain::DOCUMENT)]),
);

impl Shape for Holder {
    fn schema(&self) -> &'static wire::Schema {
        &HOLDER
    }

    fn read_member(&mut self, _: usize, from: &mut wire::Source<'_>) -> Result<(), wire::ReadError> {
        from.read(&mut self.any)
    }

    fn write_members(&self, to: &mut wire::Sink<'_>) {
        to.write(0, &self.any);
    }
}

#[test]
fn strings_are_escaped() {
    let request =
        ListClustersRequest { next_token: Some(String::from("\"\\/\u{1}\n\tä😀")), max_results: None };
    assert_eq!(encode(&request), "{\"nextToken\":\"\\\"\\\\/\\u0001\\n\\tä😀\"}");
}

#[test]
fn every_operation_takes_an_empty_object_or_names_what_it_misses() {
    let fault = decode::<aws_ecs::op::RunTask>(b"{}").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "1 validation error detected: Value null at 'taskDefinition' failed to satisfy constraint: Member must not be null"
    );
    assert_eq!(fault.fault(&aws_ecs::API).code, "InvalidParameterException");
}

#[test]
fn an_operation_without_output_answers_nothing() {
    let answer = wire::encode(Protocol::AwsJson11, &aws_ecs::API, &NOTHING, &Empty {}, "id");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    let answer = wire::encode(Protocol::AwsJson10, &aws_ecs::API, &NOTHING, &Empty {}, "id");
    assert_eq!(answer.body, b"{}");
}

#[test]
fn protocols_that_are_not_built_are_refused() {
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let fault = wire::decode(Protocol::RpcV2Cbor, &NOTHING, &parts, b"", &mut Empty {}).unwrap_err();
    assert_eq!(fault.fault(&aws_ecs::API).status, Some(501));
}

fn encode(shape: &dyn Shape) -> String {
    let answer = wire::encode(Protocol::AwsJson11, &aws_ecs::API, &DESCRIBED, shape, "id");
    String::from_utf8(answer.body).unwrap()
}

static NOTHING: wire::OperationDefinition = operation(&wire::schema::plain::EMPTY);
static ANYTHING: wire::Schema = wire::Schema::new("Anything", wire::Kind::Structure(&[]));
static DESCRIBED: wire::OperationDefinition = operation(&ANYTHING);

const fn operation(output: &'static wire::Schema) -> wire::OperationDefinition {
    wire::OperationDefinition {
        name: "Nothing",
        http_method: "POST",
        http_uri: "/",
        input: &wire::schema::plain::EMPTY,
        output,
        result_wrapper: "",
        errors: &[],
    }
}
