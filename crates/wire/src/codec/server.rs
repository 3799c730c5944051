//! The server's side: requests in, answers and faults out.

use base::{Blame, Fault};

use super::{Encoded, Parts, request_id_header};
use crate::api::{Api, ErrorDefinition, OperationDefinition, Protocol};
use crate::flow::{ReadError, Reader};
use crate::json::{JsonReader, JsonWriter};
use crate::query::Params;
use crate::shape::Shape;
use crate::tree::TreeReader;
use crate::validate::{Validating, Violation, sentence};
use crate::xml::XmlWriter;

/// Why a request's body is not the operation's input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFault {
    #[error("{0}")]
    Malformed(ReadError),
    #[error("{}", sentence(.0))]
    Invalid(Vec<Violation>),
    #[error("The parameter {0} is not recognized")]
    UnknownParameter(String),
    #[error("the protocol {0:?} is not built yet")]
    Unsupported(Protocol),
}

impl From<ReadError> for DecodeFault {
    fn from(error: ReadError) -> Self {
        DecodeFault::Malformed(error)
    }
}

impl DecodeFault {
    /// The answer that the real service would give.
    pub fn fault(&self, api: &Api) -> Fault {
        match self {
            DecodeFault::Malformed(_) => Fault::caller(api.malformed_code, self).with_status(400),
            DecodeFault::Invalid(violations) => invalid(api, violations),
            DecodeFault::UnknownParameter(_) => Fault::caller("UnknownParameter", self).with_status(400),
            DecodeFault::Unsupported(_) => Fault::caller("NotImplemented", self).with_status(501),
        }
    }
}

/// Two services do without the framework's sentence, and name only the first broken constraint.
fn invalid(api: &Api, violations: &[Violation]) -> Fault {
    let fault = match (api.id, violations.first()) {
        ("ec2", Some(first)) => ec2_violation(first),
        ("ecr", Some(first)) => Fault::caller(api.invalid_code, ecr_violation(first)),
        _ => Fault::caller(api.invalid_code, sentence(violations)),
    };
    fault.with_status(400)
}

/// AWS: ECR quotes the constraint, in words that differ a little from the framework's.
fn ecr_violation(violation: &Violation) -> String {
    let constraint = violation.constraint.trim_start_matches("Member ");
    let constraint = match constraint.split_once("must satisfy regular expression pattern: ") {
        Some((_, pattern)) => format!("must satisfy regular expression '{pattern}'"),
        None => constraint.to_owned(),
    };
    format!("Invalid parameter at '{}' failed to satisfy constraint: '{constraint}'", violation.path)
}

/// AWS: EC2 has sentences and codes of its own.
fn ec2_violation(first: &Violation) -> Fault {
    match &first.value {
        None => Fault::caller(
            "MissingParameter",
            format!("The request must contain the parameter {}", first.path),
        ),
        Some(value) => {
            let text =
                format!("Value ({value}) for parameter {} is invalid. {}", first.path, first.constraint);
            Fault::caller("InvalidParameterValue", text)
        }
    }
}

/// Reads a request into `into`, the empty input of `operation`, and checks the model's constraints.
/// On an error `into` holds an unspecified part of the request and must not be used.
pub fn decode(
    protocol: Protocol,
    operation: &OperationDefinition,
    parts: &Parts<'_>,
    body: &[u8],
    into: &mut dyn Shape,
) -> Result<(), DecodeFault> {
    match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            // AWS: an empty body is an empty input.
            let body = if body.is_empty() { b"{}" } else { body };
            let text = std::str::from_utf8(body).map_err(|_| ReadError::syntax("The body is not UTF-8"))?;
            let mut reader = JsonReader::new(text);
            let violations = read(&mut reader, into)?;
            reader.finish()?;
            refuse(violations)
        }
        Protocol::Query | Protocol::Ec2 => {
            let form = if body.is_empty() { parts.query.as_bytes() } else { body };
            let params = Params::parse(form)?;
            let is_ec2 = protocol == Protocol::Ec2;
            if is_ec2 {
                known_parameters(&params, operation)?;
            }
            let mut reader = TreeReader::new(params.root(is_ec2));
            refuse(read(&mut reader, into)?)
        }
        other => Err(DecodeFault::Unsupported(other)),
    }
}

fn read(reader: &mut dyn Reader, into: &mut dyn Shape) -> Result<Vec<Violation>, ReadError> {
    let mut validating = Validating::new(reader);
    into.read(&mut validating)?;
    Ok(validating.finish())
}

fn refuse(violations: Vec<Violation>) -> Result<(), DecodeFault> {
    if violations.is_empty() { Ok(()) } else { Err(DecodeFault::Invalid(violations)) }
}

/// AWS: EC2 refuses a parameter that the operation does not have; the query services pass over it.
fn known_parameters(params: &Params, operation: &OperationDefinition) -> Result<(), DecodeFault> {
    const ENVELOPE: &[&str] = &[
        "Action",
        "Version",
        "AWSAccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "Expires",
        "SecurityToken",
    ];
    let members = operation.input.members();
    let mut unknown = params.names().filter(|name| {
        let is_member = members.iter().any(|member| member.query.split('.').next() == Some(name));
        !is_member && !ENVELOPE.contains(name) && !name.starts_with("X-Amz-")
    });
    match unknown.next() {
        Some(name) => Err(DecodeFault::UnknownParameter(name.to_owned())),
        None => Ok(()),
    }
}

/// The answer of `operation`. `output` is its output shape.
pub fn encode(
    protocol: Protocol,
    api: &Api,
    operation: &OperationDefinition,
    output: &dyn Shape,
    request_id: &str,
) -> Encoded {
    let (content_type, body) = match protocol {
        Protocol::Query => ("text/xml", query_answer(api, operation, output, request_id)),
        Protocol::Ec2 => ("text/xml;charset=UTF-8", ec2_answer(api, operation, output, request_id)),
        // AWS: an operation without an output answers an empty body in JSON 1.1, `{}` in 1.0.
        Protocol::AwsJson11 if operation.has_no_output() => (protocol.content_type(), Vec::new()),
        // `decode` has refused the protocols that are not built, so that no answer arises in one.
        _ => (protocol.content_type(), json(output)),
    };
    let headers = vec![("content-type", content_type.to_owned()), request_id_header(request_id)];
    Encoded { status: 200, headers, body }
}

fn json(output: &dyn Shape) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    output.write(&mut writer);
    writer.finish()
}

fn query_answer(api: &Api, operation: &OperationDefinition, output: &dyn Shape, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new(false);
    let root = format!("{}Response", operation.name);
    writer.open(&root, api.xml_namespace);
    if !operation.has_no_output() {
        let result = match operation.result_wrapper {
            "" => &format!("{}Result", operation.name),
            wrapper => wrapper,
        };
        writer.open(result, "");
        output.write(&mut writer);
        writer.close(result);
    }
    writer.open("ResponseMetadata", "");
    writer.leaf("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&root);
    writer.finish().into_bytes()
}

fn ec2_answer(api: &Api, operation: &OperationDefinition, output: &dyn Shape, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new(true);
    let root = format!("{}Response", operation.name);
    writer.open(&root, api.xml_namespace);
    writer.leaf("requestId", request_id);
    if operation.has_no_output() {
        // AWS: EC2 says so, though the model has no such member.
        writer.leaf("return", "true");
    }
    output.write(&mut writer);
    writer.close(&root);
    writer.finish().into_bytes()
}

/// A refusal, in the protocol's error form, with the status that the API's table has for its code.
pub fn encode_fault(protocol: Protocol, api: &Api, fault: &Fault, request_id: &str) -> Encoded {
    let known = api.error(&fault.code);
    let by_blame = if fault.blame == Blame::Server { 500 } else { 400 };
    let status = known.map(|error| error.status).or(fault.status).unwrap_or(by_blame);
    let (content_type, body) = match protocol {
        Protocol::Query => ("text/xml", query_fault(api, fault, known, request_id)),
        Protocol::Ec2 => ("text/xml;charset=UTF-8", ec2_fault(fault, known, request_id)),
        _ => (protocol.content_type(), json_fault(fault, known)),
    };
    let mut headers = vec![("content-type", content_type.to_owned()), request_id_header(request_id)];
    if !matches!(protocol, Protocol::Query | Protocol::Ec2) {
        let shape = known.map_or(&*fault.code, |error| error.shape);
        headers.push(("x-amzn-errortype", shape.to_owned()));
    }
    Encoded { status, headers, body }
}

fn json_fault(fault: &Fault, known: Option<&ErrorDefinition>) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    writer.open();
    writer.extra("__type", known.map_or(&fault.code, |error| error.shape));
    if !fault.message.is_empty() {
        writer.extra(known.map_or("message", |error| error.message), &fault.message);
    }
    for (name, value) in &fault.members {
        writer.extra(name, value);
    }
    writer.close();
    writer.finish()
}

fn query_fault(api: &Api, fault: &Fault, known: Option<&ErrorDefinition>, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new(false);
    writer.open("ErrorResponse", api.xml_namespace);
    writer.open("Error", "");
    writer.leaf("Type", if fault.blame == Blame::Server { "Receiver" } else { "Sender" });
    writer.leaf("Code", known.map_or(&fault.code, |error| error.code));
    if !fault.message.is_empty() {
        writer.leaf("Message", &fault.message);
    }
    for (name, value) in &fault.members {
        writer.leaf(name, value);
    }
    writer.close("Error");
    writer.leaf("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish().into_bytes()
}

fn ec2_fault(fault: &Fault, known: Option<&ErrorDefinition>, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new(true);
    writer.open("Response", "");
    writer.open("Errors", "");
    writer.open("Error", "");
    writer.leaf("Code", known.map_or(&fault.code, |error| error.code));
    if !fault.message.is_empty() {
        writer.leaf("Message", &fault.message);
    }
    for (name, value) in &fault.members {
        writer.leaf(name, value);
    }
    writer.close("Error");
    writer.close("Errors");
    writer.leaf("RequestID", request_id);
    writer.close("Response");
    writer.finish().into_bytes()
}
