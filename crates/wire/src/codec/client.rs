//! The client's side: requests out, answers and faults in.

use base::Fault;

use crate::api::{Api, OperationDefinition, Protocol};
use crate::flow::ReadError;
use crate::json::{JsonReader, JsonWriter};
use crate::query::QueryWriter;
use crate::shape::Shape;
use crate::tree::TreeReader;
use crate::xml::Element;

/// A request, ready to be signed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    /// Path and query.
    pub uri: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Why an answer is not the operation's output.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The service refused the request.
    #[error("{0}")]
    Fault(Fault),
    /// The service, or whoever answered in its place, does not speak the protocol.
    #[error("the answer (status {status}) is not readable")]
    Unreadable { status: u16, source: ReadError },
    #[error("the protocol {0:?} is not built yet")]
    Unsupported(Protocol),
}

/// The request that asks for `operation` with `input`.
pub fn encode_request(
    protocol: Protocol,
    api: &Api,
    operation: &OperationDefinition,
    input: &dyn Shape,
) -> Result<Request, ResponseError> {
    let mut headers = vec![("content-type", protocol.content_type().to_owned())];
    let body = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            headers.push(("x-amz-target", format!("{}.{}", api.target_prefix, operation.name)));
            let mut writer = JsonWriter::new();
            input.write(&mut writer);
            writer.finish()
        }
        Protocol::Query | Protocol::Ec2 => {
            let is_ec2 = protocol == Protocol::Ec2;
            let mut writer = QueryWriter::new(operation.name, api.api_version, is_ec2);
            input.write(&mut writer);
            writer.finish().into_bytes()
        }
        other => return Err(ResponseError::Unsupported(other)),
    };
    Ok(Request { method: "POST", uri: String::from("/"), headers, body })
}

/// Reads an answer into `into`, the empty output of `operation`.
pub fn decode_response(
    protocol: Protocol,
    operation: &OperationDefinition,
    status: u16,
    headers: &http::HeaderMap,
    body: &[u8],
    into: &mut dyn Shape,
) -> Result<(), ResponseError> {
    let unreadable = |source| ResponseError::Unreadable { status, source };
    if !(200..300).contains(&status) {
        let fault = match protocol {
            Protocol::Query | Protocol::Ec2 => xml_fault(body, status),
            _ => json_fault(headers, body, status),
        };
        return Err(ResponseError::Fault(fault.map_err(unreadable)?));
    }
    match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 if operation.has_no_output() => Ok(()),
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            let body = if body.is_empty() { b"{}" } else { body };
            read_json(body, into).map_err(unreadable)
        }
        Protocol::Query | Protocol::Ec2 => read_xml(operation, body, into).map_err(unreadable),
        other => Err(ResponseError::Unsupported(other)),
    }
}

fn read_json(body: &[u8], into: &mut dyn Shape) -> Result<(), ReadError> {
    let mut reader = JsonReader::new(utf8(body)?);
    into.read(&mut reader)?;
    reader.finish()
}

fn utf8(body: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(body).map_err(|_| ReadError::syntax("The body is not UTF-8"))
}

fn read_xml(operation: &OperationDefinition, body: &[u8], into: &mut dyn Shape) -> Result<(), ReadError> {
    if operation.has_no_output() || body.is_empty() {
        return Ok(());
    }
    let root = Element::parse(body)?;
    let wrapped = match operation.result_wrapper {
        "" => root.child(&format!("{}Result", operation.name)),
        wrapper => root.child(wrapper),
    };
    into.read(&mut TreeReader::new(wrapped.unwrap_or(&root)))
}

fn json_fault(headers: &http::HeaderMap, body: &[u8], status: u16) -> Result<Fault, ReadError> {
    let body = if body.is_empty() { b"{}" } else { body };
    let mut scalars = JsonReader::new(utf8(body)?).scalars()?;
    let mut take = |names: &[&str]| {
        let at = scalars.iter().position(|(name, _)| names.contains(&name.as_str()))?;
        Some(scalars.swap_remove(at).1)
    };
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = header.or_else(|| take(&["__type"])).or_else(|| take(&["code", "Code"]));
    let message = take(&["message", "Message", "errorMessage"]).unwrap_or_default();
    let code = code.as_deref().map_or("UnknownError", bare_code).to_owned();
    Ok(if status >= 500 { Fault::server(code, message) } else { Fault::caller(code, message) }
        .with_status(status))
}

/// `aws.protocoltests#FooError:http://…` → `FooError`.
fn bare_code(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(code, _)| code);
    code.rsplit_once('#').map_or(code, |(_, code)| code)
}

fn xml_fault(body: &[u8], status: u16) -> Result<Fault, ReadError> {
    let root = Element::parse(body)?;
    let error = root.child("Error").or_else(|| root.child("Errors").and_then(|errors| errors.child("Error")));
    let error = error.ok_or_else(|| ReadError::syntax("an error answer without an Error element"))?;
    let text = |name| error.child(name).map(|child| child.text.clone()).unwrap_or_default();
    let (code, message) = (text("Code"), text("Message"));
    Ok(if status >= 500 { Fault::server(code, message) } else { Fault::caller(code, message) }
        .with_status(status))
}
