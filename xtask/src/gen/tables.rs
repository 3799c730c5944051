//! `op.rs` and `api.rs` of a generated crate: operations, errors, the API itself.

use std::fmt::Write;

use anyhow::{Result, bail};

use super::ApiConfig;
use super::model::{Operation, Reference, Shape};
use super::names;
use super::tree::Tree;

/// `op.rs`: a marker type and a definition per operation.
pub fn operations(tree: &Tree<'_>) -> Result<String> {
    let mut text = String::from("use wire::{Operation, OperationDefinition};\n\n");
    for (name, operation) in &tree.operations {
        let constant = names::constant(name);
        let (input, input_schema) = side(&operation.input);
        let (output, output_schema) = side(&operation.output);
        let definition = definition(name, operation, &input_schema, &output_schema);
        writeln!(
            text,
            "#[derive(Debug, Clone, Copy)]
pub struct {name};

impl Operation for {name} {{
    type Input = {input};
    type Output = {output};
    const DEFINITION: &'static OperationDefinition = &{constant};
}}

pub(crate) static {constant}: OperationDefinition = {definition};
"
        )?;
    }
    Ok(text)
}

/// The Rust type and the schema of an operation's input or output.
fn side(reference: &Option<Reference>) -> (String, String) {
    match reference {
        Some(reference) => (
            format!("crate::{}", names::camel(&reference.shape)),
            format!("crate::schema::{}", names::constant(&reference.shape)),
        ),
        None => (String::from("wire::Empty"), String::from("wire::schema::plain::EMPTY")),
    }
}

fn definition(name: &str, operation: &Operation, input: &str, output: &str) -> String {
    let wrapper = operation.output.as_ref().and_then(|output| output.result_wrapper.as_deref()).unwrap_or("");
    let mut errors: Vec<&str> = operation.errors.iter().map(|error| error.shape.as_str()).collect();
    errors.sort_unstable();
    format!(
        "OperationDefinition {{
    name: {name:?},
    http_method: {:?},
    http_uri: {:?},
    input: &{input},
    output: &{output},
    result_wrapper: {wrapper:?},
    errors: &{errors:?},
}}",
        operation.http.method, operation.http.request_uri
    )
}

/// `api.rs`: the table of the API.
pub fn api(tree: &Tree<'_>, config: &ApiConfig) -> Result<String> {
    let metadata = &tree.model.metadata;
    let mut operations = String::new();
    for (name, _) in &tree.operations {
        writeln!(operations, "        &op::{},", names::constant(name))?;
    }
    let known: Vec<&str> = tree.model.operations.keys().map(String::as_str).collect();
    let mut protocols = Vec::new();
    let listed = if metadata.protocols.is_empty() {
        vec![metadata.protocol.clone()]
    } else {
        metadata.protocols.clone()
    };
    for protocol in &listed {
        protocols.push(format!("Protocol::{}", protocol_name(protocol, metadata.json_version.as_deref())?));
    }
    Ok(format!(
        "use wire::{{Api, Blame, ErrorDefinition, Protocol}};

use crate::op;

/// The API as this crate knows it.
pub static API: Api = Api {{
    id: {:?},
    signing_name: {:?},
    target_prefix: {:?},
    api_version: {:?},
    xml_namespace: {:?},
    protocols: &[{}],
    operations: &[
{operations}    ],
    known: &{known:?},
    errors: &[
{}    ],
    invalid_code: {:?},
    malformed_code: {:?},
}};
",
        config.name,
        metadata.signing_name.as_ref().unwrap_or(&metadata.endpoint_prefix),
        metadata.target_prefix.as_deref().unwrap_or(""),
        metadata.api_version,
        metadata.xml_namespace.as_deref().unwrap_or(""),
        protocols.join(", "),
        errors(tree)?,
        config.invalid,
        config.malformed,
    )
    .replace("Blame, ErrorDefinition, ", if has_errors(tree) { "Blame, ErrorDefinition, " } else { "" }))
}

fn protocol_name(protocol: &str, json_version: Option<&str>) -> Result<&'static str> {
    Ok(match (protocol, json_version) {
        ("json", Some("1.0")) => "AwsJson10",
        ("json", _) => "AwsJson11",
        ("query", _) => "Query",
        ("ec2", _) => "Ec2",
        ("rest-json", _) => "RestJson",
        ("rest-xml", _) => "RestXml",
        ("smithy-rpc-v2-cbor", _) => "RpcV2Cbor",
        (other, _) => bail!("unknown protocol {other}"),
    })
}

fn has_errors(tree: &Tree<'_>) -> bool {
    tree.model.shapes.values().any(|shape| shape.exception)
}

fn errors(tree: &Tree<'_>) -> Result<String> {
    let mut text = String::new();
    for (name, shape) in tree.model.shapes.iter().filter(|(_, shape)| shape.exception) {
        let mut members = shape.members.0.iter().map(|(name, _)| name.as_str());
        let message = members.find(|name| name.eq_ignore_ascii_case("message")).unwrap_or("message");
        let (code, status, blame) = error(name, shape);
        writeln!(
            text,
            "        ErrorDefinition {{ shape: {name:?}, code: {code:?}, status: {status}, blame: Blame::{blame}, message: {message:?} }},"
        )?;
    }
    Ok(text)
}

/// Code, status and whose fault it is.
fn error<'a>(name: &'a str, shape: &'a Shape) -> (&'a str, u16, &'static str) {
    let error = shape.error.as_ref();
    let code = error.and_then(|error| error.code.as_deref()).unwrap_or(name);
    let is_fault = shape.fault || error.is_some_and(|error| error.sender_fault == Some(false));
    let status = error.and_then(|error| error.http_status_code).unwrap_or(if is_fault { 500 } else { 400 });
    (code, status, if is_fault || status >= 500 { "Server" } else { "Caller" })
}
