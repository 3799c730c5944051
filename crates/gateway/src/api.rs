//! AWS requests: which API and operation, who signed, and the answer in the protocol's form.

use std::time::Duration;

use base::{AccountId, Fault, Region};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use service::{Caller, Identity, KeyError, Operation, Origin, Platform, Principal, Service};
use wire::sigv4::{Claim, ClaimError};
use wire::{Api, Encoded, Parts, Protocol};

use crate::body::{Body, bytes, gather};
use crate::route::Peer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Answers in whose name a request for no API that we have is refused.
static NO_API: Api = Api {
    id: "none",
    signing_name: "",
    target_prefix: "",
    api_version: "",
    xml_namespace: "",
    protocols: &[],
    operations: &[],
    known: &[],
    errors: &[],
    invalid_code: "ValidationException",
    malformed_code: "SerializationException",
};

/// The AWS side of the one port.
pub struct Apis {
    platform: Platform,
    body_limit: usize,
    body_timeout: Duration,
}

/// What a request asks for, before anything of it is believed.
struct Asked<'a> {
    protocol: Protocol,
    service: Option<&'a Service>,
    api: &'static Api,
    operation: String,
}

impl Apis {
    pub fn new(platform: Platform, body_limit: usize, body_timeout: Duration) -> Self {
        Apis { platform, body_limit, body_timeout }
    }

    /// Whether a request is an AWS client's, whatever its path.
    pub fn claims(&self, request: &Request<Incoming>) -> bool {
        let headers = request.headers();
        let is_signed =
            headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
        is_signed
            || headers.contains_key("x-amz-target")
            || request.uri().query().is_some_and(|query| query.contains("X-Amz-Algorithm="))
            || (request.method() == Method::POST && request.uri().path() == "/")
    }

    /// Whether a request is signed with a key that the platform issued and that is good.
    pub fn is_borne(&self, request: &Request<Incoming>) -> bool {
        let query = request.uri().query().unwrap_or_default();
        let claim = Claim::parse(request.headers(), query).ok().flatten();
        claim.is_some_and(|claim| {
            let found = self.platform.identity(&claim.access_key, claim.token.as_deref());
            matches!(found, Ok(Some(_)))
        })
    }

    /// Answers any request; what is no AWS request is refused in the form of one.
    pub async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let request_id = self.platform.chance().uuid();
        let (parts, body) = request.into_parts();
        let body = match gather(body, self.body_limit, self.body_timeout).await {
            Ok(body) => body,
            Err(fault) => {
                let asked = self.asked(&parts, b"");
                return respond(wire::encode_fault(asked.protocol, asked.api, &fault, &request_id));
            }
        };
        let asked = self.asked(&parts, &body);
        let result = self.run(&asked, &parts, &body, peer, &request_id).await;
        let encoded = match result {
            Ok(encoded) => encoded,
            Err(fault) => {
                if fault.blame == base::Blame::Server {
                    tracing::warn!(api = asked.api.id, operation = asked.operation, %request_id, %fault, "failed");
                }
                wire::encode_fault(asked.protocol, asked.api, &fault, &request_id)
            }
        };
        tracing::debug!(
            api = asked.api.id,
            operation = asked.operation,
            status = encoded.status,
            %request_id,
            "answered"
        );
        respond(encoded)
    }

    /// Gives an answer that is no API's a request id of its own.
    pub fn identify(&self, response: &mut Response<Body>) {
        if !response.headers().contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&self.platform.chance().uuid())
        {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }

    /// Finds API and operation: by the target header, or by the form's `Action` with the scope of the
    /// signature, the version or the host to tell APIs apart.
    fn asked(&self, parts: &http::request::Parts, body: &[u8]) -> Asked<'_> {
        if let Some(target) = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
            return self.targeted(target, &parts.headers);
        }
        let query = parts.uri.query().unwrap_or_default();
        let form = if body.is_empty() { query.as_bytes() } else { body };
        let operation = wire::form_value(form, "Action").unwrap_or_default();
        let version = wire::form_value(form, "Version").unwrap_or_default();
        let scope = Claim::parse(&parts.headers, query).ok().flatten().map(|claim| claim.service);
        let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let named = |service: &&Service| {
            let api = service.api;
            let by_host = || host.split('.').next() == Some(api.signing_name) && host.contains(".amazonaws.");
            let by_version = || !version.is_empty() && api.api_version == version && api.knows(&operation);
            match &scope {
                Some(scope) => api.signing_name == scope,
                None => by_host() || by_version(),
            }
        };
        let service = self.platform.services().iter().find(named);
        let api = service.map_or(&NO_API, |service| service.api);
        let protocol = api.protocols.iter().copied().find(|protocol| protocol.is_built());
        Asked { protocol: protocol.unwrap_or(Protocol::Query), service, api, operation }
    }

    fn targeted(&self, target: &str, headers: &http::HeaderMap) -> Asked<'_> {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        let service = self.platform.services().iter().find(|service| service.api.target_prefix == prefix);
        let is_older = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/x-amz-json-1.0"));
        let protocol = if is_older { Protocol::AwsJson10 } else { Protocol::AwsJson11 };
        let api = service.map_or(&NO_API, |service| service.api);
        Asked { protocol, service, api, operation: operation.to_owned() }
    }

    async fn run(
        &self,
        asked: &Asked<'_>,
        parts: &http::request::Parts,
        body: &[u8],
        peer: &Peer,
        request_id: &str,
    ) -> Result<Encoded, Fault> {
        let caller = self.caller(asked.protocol, parts, peer, request_id);
        let Some(service) = asked.service else { return caller.and(Err(no_api(parts, asked))) };
        let operation = match find(service, asked) {
            // Some operations of AWS take no signature: that we lack one is said before that.
            Err(absent) if is_unsigned(&caller) && asked.api.knows(&asked.operation) => return Err(absent),
            found => found,
        };
        let (caller, operation) = (caller?, operation?);
        check_envelope(asked, parts, body)?;
        authorize(&caller, service, operation)?;
        let wire_parts = Parts {
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
        };
        let mut input = (operation.input)();
        wire::decode(asked.protocol, operation.definition, &wire_parts, body, input.as_mut())
            .map_err(|fault| fault.fault(asked.api))?;
        let output = self.platform.run(service, operation, caller, input).await?;
        Ok(wire::encode(asked.protocol, asked.api, operation.definition, output.as_ref(), request_id))
    }

    /// Who signed. Open mode proves nobody: the socket's owner was checked at accept, and the
    /// signature says only which account and region are meant. A key that the platform issued says
    /// more: whose it is, as long as it and its token are good. Enforce mode will verify signatures
    /// here.
    fn caller(
        &self,
        protocol: Protocol,
        parts: &http::request::Parts,
        peer: &Peer,
        request_id: &str,
    ) -> Result<Caller, Fault> {
        let suffix = if is_json(protocol) { "Exception" } else { "" };
        let incomplete =
            |text: String| Fault::caller(format!("IncompleteSignature{suffix}"), text).with_status(400);
        let query = parts.uri.query().unwrap_or_default();
        let claim =
            Claim::parse(&parts.headers, query).map_err(|error: ClaimError| incomplete(error.to_string()))?;
        let Some(claim) = claim else {
            let status = if is_json(protocol) { 400 } else { 403 };
            return Err(Fault::caller(
                format!("MissingAuthenticationToken{suffix}"),
                "Missing Authentication Token",
            )
            .with_status(status));
        };
        let region = Region::parse(&claim.region)
            .ok_or_else(|| incomplete(String::from("Credential should be scoped to a valid region.")))?;
        let found = self.platform.identity(&claim.access_key, claim.token.as_deref());
        let found = found.map_err(|error| bad_key(protocol, error))?;
        let Identity { account, principal } = found.unwrap_or_else(|| Identity {
            account: AccountId::parse(&claim.access_key).unwrap_or_else(AccountId::default_account),
            principal: Principal::Root,
        });
        let origin: Origin = peer.origin.clone();
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        Ok(Caller { account, region, principal, origin, host, request_id: request_id.to_owned() })
    }
}

fn is_unsigned(caller: &Result<Caller, Fault>) -> bool {
    caller.as_ref().is_err_and(|fault| fault.code.starts_with("MissingAuthenticationToken"))
}

/// AWS: each family of APIs has its own words for a key that opens nothing.
fn bad_key(protocol: Protocol, error: KeyError) -> Fault {
    let (code, status) = match (error, protocol) {
        (KeyError::Invalid, Protocol::Ec2) => {
            let message = "AWS was not able to validate the provided access credentials";
            return Fault::caller("AuthFailure", message).with_status(401);
        }
        (KeyError::Expired, Protocol::Ec2) => ("RequestExpired", 400),
        (KeyError::Invalid, protocol) if is_json(protocol) => ("UnrecognizedClientException", 400),
        (KeyError::Expired, protocol) if is_json(protocol) => ("ExpiredTokenException", 400),
        (KeyError::Invalid, _) => ("InvalidClientTokenId", 403),
        (KeyError::Expired, _) => ("ExpiredToken", 403),
    };
    Fault::caller(code, error).with_status(status)
}

fn is_json(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::AwsJson10 | Protocol::AwsJson11)
}

/// Whether the caller may. Open mode: whoever came in may; policies come with enforce mode.
fn authorize(_: &Caller, _: &Service, _: &Operation) -> Result<(), Fault> {
    Ok(())
}

fn no_api(parts: &http::request::Parts, asked: &Asked<'_>) -> Fault {
    let query = parts.uri.query().unwrap_or_default();
    let claim = Claim::parse(&parts.headers, query).ok().flatten();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let name = claim.map(|claim| claim.service).or_else(|| target.map(str::to_owned)).unwrap_or_default();
    let code = if is_json(asked.protocol) { "UnknownOperationException" } else { "NotImplemented" };
    Fault::caller(code, format_args!("Boxship does not offer the API '{name}' yet.")).with_status(501)
}

fn find<'a>(service: &'a Service, asked: &Asked<'_>) -> Result<&'a Operation, Fault> {
    if let Some(operation) = service.operation(&asked.operation) {
        return Ok(operation);
    }
    let (api, name) = (asked.api, &asked.operation);
    let is_known = api.knows(name);
    let code = if is_json(asked.protocol) { "UnknownOperationException" } else { "InvalidAction" };
    let message = match asked.protocol {
        _ if is_known => format!("Boxship does not offer the operation '{name}' of '{}' yet.", api.id),
        Protocol::Ec2 => format!("The action {name} is not valid for this web service."),
        Protocol::Query => format!("Could not find operation {name} for version {}", api.api_version),
        _ => String::new(),
    };
    Err(Fault::caller(code, message).with_status(400))
}

/// What stands around the input: method and content type of JSON, the version of forms.
fn check_envelope(asked: &Asked<'_>, parts: &http::request::Parts, body: &[u8]) -> Result<(), Fault> {
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_json(asked.protocol) {
        let plain = content_type.split(';').next().unwrap_or_default().trim();
        let is_right = matches!(plain, "application/x-amz-json-1.0" | "application/x-amz-json-1.1");
        if parts.method == Method::POST && is_right {
            return Ok(());
        }
        // AWS: the front ends of the JSON services find no operation then.
        let text = format!("{} with content type '{plain}' names no operation.", parts.method);
        return Err(Fault::caller("UnknownOperationException", text).with_status(400));
    }
    let query = parts.uri.query().unwrap_or_default();
    let form = if body.is_empty() { query.as_bytes() } else { body };
    let version = wire::form_value(form, "Version").unwrap_or_default();
    if version == asked.api.api_version {
        return Ok(());
    }
    let (api, name) = (asked.api, &asked.operation);
    Err(if asked.protocol == Protocol::Ec2 {
        let text = format!("The requested version ({version}) of service {} does not exist", api.id);
        Fault::caller("NoSuchVersion", text).with_status(400)
    } else {
        let version = if version.is_empty() { "NO_VERSION_SPECIFIED" } else { &version };
        let text = format!("Could not find operation {name} for version {version}");
        Fault::caller("InvalidAction", text).with_status(400)
    })
}

fn respond(encoded: Encoded) -> Response<Body> {
    let mut response = Response::new(bytes(encoded.body));
    *response.status_mut() =
        StatusCode::from_u16(encoded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in encoded.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
