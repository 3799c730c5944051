//! Tables of an API: its operations, errors and protocols.

use base::Blame;

use crate::schema::{Schema, plain};
use crate::shape::Shape;

/// A wire protocol. REST and CBOR are named so that tables can hold them; the codecs refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    AwsJson10,
    AwsJson11,
    Query,
    Ec2,
    RestJson,
    RestXml,
    RpcV2Cbor,
}

/// One AWS API, as far as it is generated.
#[derive(Debug)]
pub struct Api {
    /// The short name: `ecs`.
    pub id: &'static str,
    /// The name in credential scopes.
    pub signing_name: &'static str,
    /// The part of `X-Amz-Target` before the dot; empty where the API has none.
    pub target_prefix: &'static str,
    pub api_version: &'static str,
    /// Of XML answers; empty where the API has none.
    pub xml_namespace: &'static str,
    pub protocols: &'static [Protocol],
    /// The operations whose shapes are generated.
    pub operations: &'static [&'static OperationDefinition],
    /// The name of every operation of the model, sorted.
    pub known: &'static [&'static str],
    pub errors: &'static [ErrorDefinition],
    /// The code with which the service answers a broken constraint.
    pub invalid_code: &'static str,
    /// The code with which the service answers a body that it cannot read.
    pub malformed_code: &'static str,
}

impl Api {
    /// The generated operation of that name.
    pub fn operation(&self, name: &str) -> Option<&'static OperationDefinition> {
        self.operations.iter().copied().find(|operation| operation.name == name)
    }

    /// Whether the model has an operation of that name, generated or not.
    pub fn knows(&self, name: &str) -> bool {
        self.known.binary_search(&name).is_ok()
    }

    /// The entry of the error table for a shape name or a query code.
    pub fn error(&self, code: &str) -> Option<&'static ErrorDefinition> {
        self.errors.iter().find(|error| error.shape == code || error.code == code)
    }
}

/// One operation of an API.
#[derive(Debug)]
pub struct OperationDefinition {
    pub name: &'static str,
    pub http_method: &'static str,
    /// The path with its `{labels}`.
    pub http_uri: &'static str,
    pub input: &'static Schema,
    pub output: &'static Schema,
    /// Query: the element around the output's members; empty where there is none.
    pub result_wrapper: &'static str,
    /// Shape names of the errors that the model names for this operation.
    pub errors: &'static [&'static str],
}

impl OperationDefinition {
    /// Whether the model names no output.
    pub fn has_no_output(&self) -> bool {
        std::ptr::eq(self.output, &plain::EMPTY)
    }

    /// Whether the model names no input.
    pub fn has_no_input(&self) -> bool {
        std::ptr::eq(self.input, &plain::EMPTY)
    }
}

/// One error of an API.
#[derive(Debug)]
pub struct ErrorDefinition {
    /// The shape's name, which the JSON protocols carry as `__type`.
    pub shape: &'static str,
    /// The code of the query protocols.
    pub code: &'static str,
    pub status: u16,
    pub blame: Blame,
    /// The member that holds the message.
    pub message: &'static str,
}

/// The marker type of an operation ties its shapes to its definition.
pub trait Operation {
    type Input: Shape + Default;
    type Output: Shape + Default;
    const DEFINITION: &'static OperationDefinition;
}
