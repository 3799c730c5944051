//! From a request to the resource that answers it.

use std::future::Future;
use std::pin::Pin;

use base::clock;
use gateway::{Body, Endpoint, Peer};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use service::{Caller, Origin, Platform, Principal};
use service_ecr::{Config, Content, Registry as RegistryId, Tokens};

use crate::answer::{API_VERSION, Answer, Refusal, json, put, status};
use crate::path::{Resource, parameter};
use crate::{blob, login, manifest, upload};

/// AWS: a page of tags or repositories has at most 1,000 entries.
const PAGE: usize = 1_000;

/// The endpoint under `/v2/`.
pub struct Registry {
    platform: Platform,
    content: Content,
    tokens: Tokens,
    realm: String,
}

impl Registry {
    pub fn new(platform: Platform, config: &Config) -> Self {
        let content = Content::new(platform.clone(), config);
        Registry {
            platform,
            content,
            tokens: config.tokens.clone(),
            realm: format!("http://{}/", config.host),
        }
    }

    async fn answer(&self, request: Request<Incoming>, origin: &Origin) -> Answer {
        let path = request.uri().path().to_owned();
        let unknown =
            || Refusal::new(StatusCode::NOT_FOUND, "NAME_INVALID", format_args!("No such resource: {path}"));
        let resource = Resource::parse(&path).ok_or_else(unknown)?;
        let method = request.method().clone();
        let is_head = method == Method::HEAD;
        // A ticket is for one layer and stands for a password.
        if let Resource::Blob { repository, digest } = resource
            && let Some(ticket) = parameter(request.uri().query(), "ticket")
        {
            let registry =
                self.tokens.check_ticket(&ticket, repository, digest, clock::wall()).ok_or_else(|| {
                    Refusal::new(
                        StatusCode::FORBIDDEN,
                        "DENIED",
                        "The download URL is not valid or has expired",
                    )
                })?;
            return blob::get(&self.content, &registry, repository, digest, request.headers(), is_head);
        }
        let registry = login::registry(&self.tokens, request.headers(), clock::wall())?;
        let caller = self.caller(&registry, origin)?;
        let (content, name) = (&self.content, resource.repository());
        match (method, resource) {
            (Method::GET | Method::HEAD, Resource::Base) => Ok(json(&json!({}))),
            (Method::GET, Resource::Catalog) => Ok(self.catalog(&registry, request.uri().query())),
            (Method::GET, Resource::Tags { .. }) => self.tags(&registry, name, request.uri().query()),
            (Method::GET | Method::HEAD, Resource::Manifest { reference, .. }) => {
                manifest::get(content, &registry, name, reference, is_head)
            }
            (Method::PUT, Resource::Manifest { reference, .. }) => {
                manifest::put_manifest(content, caller, name, reference, request).await
            }
            (Method::GET | Method::HEAD, Resource::Blob { digest, .. }) => {
                blob::get(content, &registry, name, digest, request.headers(), is_head)
            }
            (Method::POST, Resource::Uploads { .. }) => {
                upload::begin(&self.platform, content, caller, name, request).await
            }
            (Method::PATCH, Resource::Upload { id, .. }) => {
                upload::append(content, &registry, name, id, request).await
            }
            (Method::PUT, Resource::Upload { id, .. }) => {
                upload::complete(content, caller, name, id, request).await
            }
            (Method::GET | Method::HEAD, Resource::Upload { id, .. }) => {
                upload::progress(content, &registry, name, id).await
            }
            (Method::DELETE, Resource::Upload { id, .. }) => upload::cancel(content, caller, name, id).await,
            (method, _) => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                format_args!("{method} is not supported here"),
            )),
        }
    }

    fn caller(&self, registry: &RegistryId, origin: &Origin) -> Result<Caller, Refusal> {
        let account = base::AccountId::parse(&registry.account);
        let region = base::Region::parse(&registry.region);
        let (Some(account), Some(region)) = (account, region) else {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", "The password names no registry"));
        };
        let request_id = self.platform.chance().uuid();
        let (principal, origin) = (Principal::Root, origin.clone());
        Ok(Caller { account, region, principal, origin, host: None, request_id })
    }

    fn catalog(&self, registry: &RegistryId, query: Option<&str>) -> Response<Body> {
        let (page, next) = page(self.content.repositories(registry), query);
        let mut response = json(&json!({ "repositories": page }));
        link(&mut response, "/v2/_catalog", next.as_deref());
        response
    }

    fn tags(&self, registry: &RegistryId, name: &str, query: Option<&str>) -> Answer {
        let (page, next) = page(self.content.tags(registry, name)?, query);
        let mut response = json(&json!({ "name": name, "tags": page }));
        link(&mut response, &format!("/v2/{name}/tags/list"), next.as_deref());
        Ok(response)
    }
}

/// `?n=` entries after `?last=`, and the last of them where more follow.
fn page(all: Vec<String>, query: Option<&str>) -> (Vec<String>, Option<String>) {
    let size = parameter(query, "n").and_then(|n| n.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let last = parameter(query, "last");
    let mut rest =
        all.into_iter().skip_while(|name| last.as_ref().is_some_and(|last| name <= last)).peekable();
    let page: Vec<String> = rest.by_ref().take(size).collect();
    let next = rest.peek().and_then(|_| page.last().cloned());
    (page, next)
}

fn link(response: &mut Response<Body>, path: &str, last: Option<&str>) {
    if let Some(last) = last {
        put(response, http::header::LINK, &format!("<{path}?last={last}&n={PAGE}>; rel=\"next\""));
    }
}

impl Endpoint for Registry {
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>> {
        Box::pin(async move {
            let is_head = request.method() == Method::HEAD;
            let mut response = match self.answer(request, &peer.origin).await {
                Ok(response) => response,
                Err(refusal) if is_head && refusal.status != StatusCode::UNAUTHORIZED => {
                    status(refusal.status)
                }
                Err(refusal) => refusal.response(&self.realm),
            };
            put(&mut response, API_VERSION, "registry/2.0");
            response
        })
    }
}
