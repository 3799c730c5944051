//! A client of the AWS APIs, as small as the commands need it: signed requests over the one port.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use base::clock;
use base::{AccountId, Fault, Region, Secret};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use wire::sigv4::{Credentials, Signed, payload_hash, sign};
use wire::{Api, Operation, ResponseError};

use crate::http;

/// The APIs that commands use.
static APIS: [&Api; 6] =
    [&aws_ecs::API, &aws_ecr::API, &aws_logs::API, &aws_iam::API, &aws_ec2::API, &aws_elbv2::API];

/// The service's refusal, for callers that look at its code.
#[derive(Debug)]
pub struct Refused(pub Fault);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl std::error::Error for Refused {}

/// Whether the service refused with this code.
pub fn refused_with(error: &anyhow::Error, code: &str) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.0.code == code)
}

/// Speaks to one server in the name of one account and region.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    account: AccountId,
    region: Region,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Client { address, account: AccountId::default_account(), region: Region::default_region() }
    }

    /// In the name that the shell has from `boxship env`, so that commands and the AWS CLI see the same
    /// tasks. Variables that are meant for another endpoint say nothing about this one.
    #[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    pub fn of_shell(address: SocketAddr) -> Self {
        Client::named_by(address, |name| std::env::var(name).ok())
    }

    fn named_by(address: SocketAddr, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut client = Client::new(address);
        let ours = format!("http://{}", http::host(address));
        if variable("AWS_ENDPOINT_URL").is_none_or(|url| url.trim_end_matches('/') != ours) {
            return client;
        }
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        if let Some(region) = region.and_then(|name| Region::parse(&name)) {
            client.region = region;
        }
        if let Some(account) = variable("AWS_ACCESS_KEY_ID").and_then(|key| AccountId::parse(&key)) {
            client.account = account;
        }
        client
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn account(&self) -> &AccountId {
        &self.account
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Runs one operation. The service's own refusal is a [`Refused`].
    pub async fn call<O: Operation>(&self, input: O::Input) -> Result<O::Output> {
        let operation = O::DEFINITION;
        let has = |api: &&&Api| api.operations.iter().any(|other| std::ptr::eq(*other, operation));
        let api = APIS.iter().find(has).context("an operation of an API that commands do not use")?;
        let protocol = api.protocols.iter().copied().find(|protocol| protocol.is_built());
        let protocol = protocol.context("an API without a protocol that is built")?;
        let request = wire::encode_request(protocol, api, operation, &input)?;
        let answer = http::send(self.address, self.signed(api.signing_name, request)?).await?;
        if let Some(refusal) = http::forbidden(&answer) {
            bail!("{refusal}");
        }
        let mut output = O::Output::default();
        let status = answer.status().as_u16();
        match wire::decode_response(protocol, operation, status, answer.headers(), answer.body(), &mut output)
        {
            Ok(()) => Ok(output),
            Err(ResponseError::Fault(fault)) => Err(Refused(fault).into()),
            Err(error) => {
                let text = String::from_utf8_lossy(answer.body()).chars().take(300).collect::<String>();
                Err(error).with_context(|| format!("{} answered: {text}", operation.name))
            }
        }
    }

    fn signed(&self, service: &str, request: wire::Request) -> Result<Request<Full<Bytes>>> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&http::host(self.address))?);
        for (name, value) in &request.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let credentials =
            Credentials { access_key: self.account.to_string(), secret: Secret::new("boxship"), token: None };
        let payload_hash = payload_hash(&request.body);
        let to_sign = Signed {
            method: request.method,
            path: "/",
            query: "",
            headers: &headers,
            payload_hash: &payload_hash,
            is_path_normalized: true,
        };
        for (name, value) in sign(&credentials, self.region.as_str(), service, clock::wall(), &to_sign) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value)?);
        }
        let mut sent =
            Request::builder().method(request.method).uri(request.uri).body(Full::from(request.body))?;
        *sent.headers_mut() = headers;
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_names_account_and_region_of_its_own_endpoint() {
        let named = |endpoint: &'static str| {
            let client = Client::named_by(([127, 0, 0, 1], 4566).into(), |name| match name {
                "AWS_ENDPOINT_URL" => Some(endpoint.to_owned()),
                "AWS_REGION" => Some(String::from("eu-west-1")),
                "AWS_ACCESS_KEY_ID" => Some(String::from("111122223333")),
                _ => None,
            });
            format!("{} {}", client.account(), client.region().as_str())
        };
        assert_eq!(named("http://localhost:4566"), "111122223333 eu-west-1");
        assert_eq!(named("http://localhost:4567"), "000000000000 us-east-1");
    }
}
