//! The published protocol vectors, each in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base::Fault;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;
use wire::{Api, Blame, ErrorDefinition, OperationDefinition, Parts, Protocol, ResponseError, Schema};

use crate::dynamic::Dynamic;
use crate::model::{Model, leak, text};

const SUITES: [(&str, Protocol); 4] = [
    ("json", Protocol::AwsJson11),
    ("json_1_0", Protocol::AwsJson10),
    ("query", Protocol::Query),
    ("ec2", Protocol::Ec2),
];

/// One case, with the API that its suite describes.
struct Case {
    protocol: Protocol,
    api: &'static Api,
    operation: &'static OperationDefinition,
    error: Option<&'static Schema>,
    json: Json,
}

type Check = fn(&Case) -> Result<(), String>;

#[test]
fn requests_decode() {
    run("input", "server-decode", server_decode);
}

#[test]
fn requests_encode() {
    run("input", "client-encode", client_encode);
}

#[test]
fn answers_encode() {
    run("output", "server-encode", server_encode);
}

#[test]
fn answers_decode() {
    run("output", "client-decode", client_decode);
}

fn run(folder: &str, direction: &str, check: Check) {
    let exceptions = exceptions(direction);
    let mut seen = BTreeSet::new();
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, protocol) in SUITES {
        let path = format!("{}/tests/vectors/{folder}/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let suites: Json = serde_json::from_slice(&fs::read(Path::new(&path)).unwrap()).unwrap();
        for suite in suites.as_array().unwrap() {
            for json in suite["cases"].as_array().unwrap() {
                let id = format!("{name} {}", json["id"].as_str().unwrap());
                let result = check(&case(protocol, suite, json));
                match (result, exceptions.contains_key(&id)) {
                    (Ok(()), false) => passed += 1,
                    (Ok(()), true) => failures.push(format!("{id}: listed as an exception, but passes")),
                    (Err(why), false) => failures.push(format!("{id}: {why}")),
                    (Err(_), true) => {}
                }
                seen.insert(id);
            }
        }
    }
    failures
        .extend(exceptions.keys().filter(|id| !seen.contains(*id)).map(|id| format!("{id}: no such case")));
    assert!(failures.is_empty(), "{} failures, {passed} passed\n{}", failures.len(), failures.join("\n"));
    assert!(passed > 100, "only {passed} cases ran");
}

/// Lines of `direction suite case: reason`.
fn exceptions(direction: &str) -> BTreeMap<String, String> {
    let path = format!("{}/tests/vectors/exceptions.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut exceptions = BTreeMap::new();
    for line in lines {
        let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
        let (of, id) = name.split_once(' ').unwrap();
        if of == direction {
            exceptions.insert(id.to_owned(), reason.to_owned());
        }
    }
    exceptions
}

fn case(protocol: Protocol, suite: &Json, json: &Json) -> Case {
    let given = &json["given"];
    let model = Model { shapes: &suite["shapes"], is_ec2: protocol == Protocol::Ec2 };
    let side = |name: &str| match given[name]["shape"].as_str() {
        Some(shape) => model.schema(shape),
        None => &wire::schema::plain::EMPTY,
    };
    let operation = leak(OperationDefinition {
        name: text(given["name"].as_str().unwrap()),
        http_method: "POST",
        http_uri: "/",
        input: side("input"),
        output: side("output"),
        result_wrapper: text(given["output"]["resultWrapper"].as_str().unwrap_or("")),
        errors: &[],
    });
    let metadata = &suite["metadata"];
    let of = |name: &str| text(metadata[name].as_str().unwrap_or(""));
    let errors: Vec<ErrorDefinition> = given["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| definition(&suite["shapes"], error["shape"].as_str().unwrap()))
        .collect();
    let api = leak(Api {
        id: "vectors",
        signing_name: "vectors",
        target_prefix: of("targetPrefix"),
        api_version: of("apiVersion"),
        xml_namespace: "https://example.com/",
        protocols: &[],
        operations: &[],
        known: &[],
        errors: Box::leak(errors.into_boxed_slice()),
        invalid_code: "ValidationException",
        malformed_code: "SerializationException",
    });
    let error = given["errors"][0]["shape"].as_str().map(|shape| model.schema(shape));
    Case { protocol, api, operation, error, json: json.clone() }
}

fn definition(shapes: &Json, name: &str) -> ErrorDefinition {
    let shape = &shapes[name];
    let is_fault = shape["fault"] == true;
    ErrorDefinition {
        shape: text(name),
        code: text(shape["error"]["code"].as_str().unwrap_or(name)),
        status: shape["error"]["httpStatusCode"].as_u64().unwrap_or(if is_fault { 500 } else { 400 }) as u16,
        blame: if is_fault { Blame::Server } else { Blame::Caller },
        message: if shape["members"]["Message"].is_object() { "Message" } else { "message" },
    }
}

fn same(found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug) -> Result<(), String> {
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    if found == expected { Ok(()) } else { Err(format!("\n  found    {found}\n  expected {expected}")) }
}

fn server_decode(case: &Case) -> Result<(), String> {
    let serialized = &case.json["serialized"];
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let body = serialized["body"].as_str().unwrap_or("").as_bytes();
    let mut found = Dynamic::new(case.operation.input);
    wire::decode(case.protocol, case.operation, &parts, body, &mut found)
        .map_err(|error| error.to_string())?;
    same(&found, &Dynamic::from_json(case.operation.input, &case.json["params"]))
}

fn client_encode(case: &Case) -> Result<(), String> {
    let serialized = &case.json["serialized"];
    let input = Dynamic::from_json(case.operation.input, &case.json["params"]);
    let request = wire::encode_request(case.protocol, case.api, case.operation, &input).unwrap();
    same(&request.method, &serialized["method"].as_str().unwrap())?;
    same(&request.uri, &serialized["uri"].as_str().unwrap())?;
    for (name, value) in serialized["headers"].as_object().into_iter().flatten() {
        let found = request.headers.iter().find(|(found, _)| name.eq_ignore_ascii_case(found));
        same(&found.map(|(_, value)| value.as_str()), &value.as_str())?;
    }
    match serialized["body"].as_str() {
        Some(body) if case.protocol == Protocol::Query || case.protocol == Protocol::Ec2 => {
            same(&pairs(std::str::from_utf8(&request.body).unwrap()), &pairs(body))
        }
        Some(body) => same_json(&request.body, body),
        None => Ok(()),
    }
}

fn pairs(form: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = form.split('&').collect();
    pairs.sort_unstable();
    pairs
}

fn same_json(found: &[u8], expected: &str) -> Result<(), String> {
    let found = serde_json::from_slice::<Json>(found).map_err(|error| error.to_string())?;
    same(&numbers(found), &numbers(serde_json::from_str(expected).unwrap()))
}

/// 1 and 1.0 are one number.
fn numbers(json: Json) -> Json {
    match json {
        Json::Number(number) => match number.as_f64().filter(|value| value.fract() == 0.0) {
            Some(value) if number.as_i64().is_none() => Json::from(value as i64),
            _ => Json::Number(number),
        },
        Json::Array(items) => Json::Array(items.into_iter().map(numbers).collect()),
        Json::Object(entries) => {
            Json::Object(entries.into_iter().map(|(key, value)| (key, numbers(value))).collect())
        }
        other => other,
    }
}

fn client_decode(case: &Case) -> Result<(), String> {
    let response = &case.json["response"];
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
    }
    let status = response["status_code"].as_u64().unwrap() as u16;
    let body = response["body"].as_str().unwrap_or("").as_bytes();
    let mut found = Dynamic::new(case.operation.output);
    let result = wire::decode_response(case.protocol, case.operation, status, &headers, body, &mut found);
    match (result, case.json["errorCode"].as_str()) {
        (Ok(()), None) => same(&found, &Dynamic::from_json(case.operation.output, &case.json["result"])),
        (Err(ResponseError::Fault(fault)), Some(code)) => {
            same(&&*fault.code, &code)?;
            match case.json["errorMessage"].as_str() {
                Some(message) => same(&fault.message.as_str(), &message),
                None => Ok(()),
            }
        }
        (other, _) => Err(format!("{other:?}")),
    }
}

fn server_encode(case: &Case) -> Result<(), String> {
    let response = &case.json["response"];
    let encoded = match case.json["errorCode"].as_str() {
        Some(code) => wire::encode_fault(case.protocol, case.api, &fault(case, code), "foo-id"),
        None => {
            let output = Dynamic::from_json(case.operation.output, &case.json["result"]);
            wire::encode(case.protocol, case.api, case.operation, &output, "requestid")
        }
    };
    same(&u64::from(encoded.status), &response["status_code"].as_u64().unwrap())?;
    let expected = response["body"].as_str().unwrap_or("");
    match case.protocol {
        Protocol::Query | Protocol::Ec2 if expected.is_empty() => Ok(()),
        Protocol::Query | Protocol::Ec2 => {
            // Real services declare their namespace on errors, too.
            let expected =
                expected.replace("<ErrorResponse>", "<ErrorResponse xmlns=\"https://example.com/\">");
            same(&xml::parse(std::str::from_utf8(&encoded.body).unwrap()), &xml::parse(&expected))
        }
        _ if expected.is_empty() && encoded.body.is_empty() => Ok(()),
        _ if expected.is_empty() => same_json(&encoded.body, "{}"),
        _ if encoded.body.is_empty() => same_json(b"{}", expected),
        // No service but of the tests' own puts its namespace before a code.
        _ => same_json(&encoded.body, &expected.replace("aws.protocoltests.json10#", "")),
    }
}

fn fault(case: &Case, code: &str) -> Fault {
    let error = &case.json["error"];
    let message = case.json["errorMessage"].as_str().unwrap_or("");
    let mut fault = Fault::caller(code.to_owned(), message);
    for (name, value) in error.as_object().into_iter().flatten().filter(|(name, _)| *name != "Message") {
        // Members that are no strings cannot stand in a fault: such cases are exceptions.
        fault = fault.with_member(text(name), value.as_str().unwrap_or("not a string"));
    }
    let _ = case.error;
    fault
}

mod xml {
    //! Documents as text that ignores white space, order of siblings and request ids.

    use quick_xml::Reader;
    use quick_xml::events::{BytesStart, Event};

    #[derive(Debug, Default)]
    struct Element {
        start: String,
        text: String,
        children: Vec<Element>,
    }

    pub fn parse(document: &str) -> String {
        let mut reader = Reader::from_str(document);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => open.push(Element { start: tag(&start), ..Element::default() }),
                Event::Empty(start) => {
                    let element = Element { start: tag(&start), ..Element::default() };
                    open.last_mut().unwrap().children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(element);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::CData(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(name) => open.last_mut().unwrap().text.push_str(&format!("&{};", &*name)),
                Event::Eof => break,
                _ => {}
            }
        }
        render(&open.pop().unwrap())
    }

    fn tag(start: &BytesStart<'_>) -> String {
        let mut attributes: Vec<String> = start
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                format!("{}={}", attribute.key.as_ref(), &*attribute.value)
            })
            .collect();
        attributes.sort();
        format!("{} {}", start.name().as_ref(), attributes.join(" "))
    }

    fn render(element: &Element) -> String {
        const ENVELOPE: [&str; 2] = ["ResponseMetadata ", "requestId "];
        let children = element.children.iter().filter(|child| !ENVELOPE.contains(&child.start.as_str()));
        let mut children: Vec<String> = children.map(render).collect();
        let is_text = children.is_empty() && !element.text.trim().is_empty();
        let text = if is_text { element.text.as_str() } else { "" };
        // Items of lists keep their order, being of one name; members may come in any.
        children.sort_by(|a, b| order(a).cmp(&order(b)));
        format!("<{}>{text}{}</>", element.start, children.concat())
    }

    /// By name; entries of maps by their keys as well, for maps have no order.
    fn order(rendered: &str) -> (&str, &str) {
        let is_entry =
            rendered.contains("><key >") || rendered.contains("><K >") || rendered.contains("><Attribute >");
        (rendered.split([' ', '>']).next().unwrap(), if is_entry { rendered } else { "" })
    }
}
