//! The operator's endpoints under `/_boxship/`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use authority::Seal;
use aws_ecs::op::{DescribeClusters, ListClusters};
use aws_ecs::{DescribeClustersRequest, ListClustersRequest};
use base::{AccountId, Region};
use control::Engine;
use gateway::{Body, Endpoint, Peer, bytes, text};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use service::{Caller, Origin, Platform};

use crate::balancers::Balancing;
use crate::clock;
use crate::figures;
use crate::host::{Host, Places, Pulls};
use crate::load::Loader;
use crate::options::{Options, RuntimeChoice};

/// Bytes of an operator's request, images excepted.
const BODY: usize = 64 << 10;

/// AWS: a container has two minutes at most between the stop signal and SIGKILL; containers that
/// others depend on come later.
const LONGEST_STOP: Duration = Duration::from_secs(300);

/// What the endpoints act on.
pub struct Admin {
    pub platform: Platform,
    pub options: Options,
    pub host: Arc<Host>,
    pub engine: Engine,
    pub loader: Loader,
    pub pulls: Pulls,
    pub seal: Arc<Seal>,
    pub balancers: Arc<Balancing>,
    pub(crate) warnings: Vec<String>,
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(bytes(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(status: StatusCode, why: impl std::fmt::Display) -> Response<Body> {
    answer(status, &json!({ "error": why.to_string() }))
}

async fn body(request: Request<Incoming>) -> Result<Value, Response<Body>> {
    let read =
        tokio::time::timeout(Duration::from_secs(20), Limited::new(request.into_body(), BODY).collect());
    let body = match read.await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return Err(refuse(StatusCode::BAD_REQUEST, "the body could not be read")),
    };
    serde_json::from_slice(&body)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("not JSON: {error}")))
}

impl Admin {
    /// What was to say at start, and what has shown itself since.
    pub fn warnings(&self) -> Vec<String> {
        let own = self.warnings.iter().cloned().chain(self.host.warning());
        own.chain(self.balancers.warnings()).collect()
    }

    /// How many tasks run and have stopped, in the default account and region.
    pub async fn tasks(&self) -> (i64, i64) {
        let caller = || Caller::platform("boxship", AccountId::default_account(), Region::default_region());
        let clusters = self.platform.call::<ListClusters>(caller(), ListClustersRequest::default()).await;
        let Some(arns) =
            clusters.ok().and_then(|clusters| clusters.cluster_arns).filter(|arns| !arns.is_empty())
        else {
            return (0, 0);
        };
        let request = DescribeClustersRequest { clusters: Some(arns), ..Default::default() };
        let clusters = self.platform.call::<DescribeClusters>(caller(), request).await;
        let clusters = clusters.ok().and_then(|answer| answer.clusters).unwrap_or_default();
        let sum = |count: fn(&aws_ecs::Cluster) -> Option<i32>| {
            clusters.iter().filter_map(count).map(i64::from).sum::<i64>()
        };
        (sum(|cluster| cluster.running_tasks_count), sum(|cluster| cluster.pending_tasks_count))
    }

    async fn health(&self) -> Response<Body> {
        let services: Vec<_> = self.platform.services().iter().map(|service| service.api.id).collect();
        let (running, pending) = self.tasks().await;
        answer(
            StatusCode::OK,
            &json!({
                "status": "ready",
                "version": env!("CARGO_PKG_VERSION"),
                "runtime": self.options.runtime.name(),
                "data_dir": self.options.data_dir,
                "services": services,
                "instance": self.options.instance.as_ref().map(|instance| &instance.cluster),
                "tasks": { "running": running, "pending": pending },
                "warnings": self.warnings(),
            }),
        )
    }

    async fn advance(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(simulated) = &self.host.simulated else {
            return refuse(
                StatusCode::CONFLICT,
                format_args!(
                    "only the simulated runtime has a clock that moves; this one is {}",
                    RuntimeChoice::Linux.name()
                ),
            );
        };
        let value = match body(request).await {
            Ok(value) => value,
            Err(refusal) => return refusal,
        };
        let Some(seconds) =
            value["advance_seconds"].as_f64().filter(|s| s.is_finite() && *s >= 0.0 && *s <= 4e9)
        else {
            return refuse(StatusCode::BAD_REQUEST, "expected {\"advance_seconds\": N}, N zero or more");
        };
        match clock::advance(
            &self.platform,
            &self.engine,
            &self.host,
            simulated,
            Duration::from_secs_f64(seconds),
        )
        .await
        {
            Ok(now) => answer(StatusCode::OK, &json!({ "now": now.iso8601() })),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    async fn reset(&self) -> Response<Body> {
        if !self.options.allow_reset {
            return refuse(StatusCode::FORBIDDEN, "start with --allow-reset to let tests wipe everything");
        }
        match crate::reset::reset(&self.platform, &self.host, self.options.instance.as_ref()).await {
            Ok(()) => answer(StatusCode::OK, &json!({ "status": "wiped" })),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
        }
    }

    /// What containers use now, of `task` or of all.
    async fn stats(&self, query: Option<&str>) -> Response<Body> {
        let only = figures::query(query).get("task").copied();
        let tasks = figures::stats(&*self.host.runtime, only).await;
        answer(StatusCode::OK, &json!({ "tasks": tasks }))
    }

    /// The certificate of an account's authority, as PEM; made now if there is none.
    async fn authority(&self, query: Option<&str>) -> Response<Body> {
        let query = figures::query(query);
        let account = query
            .get("account")
            .map_or_else(|| Some(AccountId::default_account()), |id| AccountId::parse(id));
        let Some(account) = account else {
            return refuse(StatusCode::BAD_REQUEST, "expected account=TWELVE DIGITS");
        };
        let store = self.platform.store();
        match authority::root(store, &self.seal, &account, base::clock::wall()).await {
            Ok(root) => {
                let mut response = text(StatusCode::OK, root.certificate.clone());
                let kind = HeaderValue::from_static("application/x-pem-file");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    fn pulls(&self, query: Option<&str>) -> Response<Body> {
        let task = figures::query(query).get("task").copied().unwrap_or_default();
        answer(StatusCode::OK, &json!({ "images": self.pulls.of(task) }))
    }

    /// What a container wrote under the `json-file` driver.
    async fn output(&self, query: Option<&str>) -> Response<Body> {
        let query = figures::query(query);
        let part = |name: &str| query.get(name).copied().filter(|text| figures::is_name(text));
        let (Some(task), Some(container)) = (part("task"), part("container")) else {
            return refuse(StatusCode::BAD_REQUEST, "expected task=ID&container=NAME");
        };
        let from = query.get("from").and_then(|text| text.parse().ok()).unwrap_or(0);
        let path = Places::of(&self.options.data_dir).agent.join(task).join(format!("{container}-json.log"));
        match tokio::task::spawn_blocking(move || figures::output(&path, from)).await {
            Ok(Ok(output)) => answer(StatusCode::OK, &output),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                refuse(StatusCode::NOT_FOUND, "no output of that container is kept here")
            }
            Ok(Err(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    /// Ends every task as StopTask would; answers once all have stopped.
    async fn stop_tasks(&self) -> Response<Body> {
        let mut left = match service_ecs::tasks::stop_all(&self.platform, "boxship down").await {
            Ok(left) => left,
            Err(fault) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, fault),
        };
        let patience = tokio::time::sleep(LONGEST_STOP);
        tokio::pin!(patience);
        while left > 0 {
            tokio::select! {
                () = &mut patience => break,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            left = service_ecs::tasks::unfinished(&self.platform);
        }
        answer(StatusCode::OK, &json!({ "left": left }))
    }

    async fn route(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        // Tasks are no operators.
        if peer.origin != Origin::Operator {
            return text(StatusCode::FORBIDDEN, "Forbidden: this is the operator's side\n");
        }
        let query = request.uri().query().map(str::to_owned);
        let query = query.as_deref();
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/_boxship/health") => self.health().await,
            (&Method::GET, "/_boxship/stats") => self.stats(query).await,
            (&Method::GET, "/_boxship/pulls") => self.pulls(query),
            (&Method::GET, "/_boxship/ca") => self.authority(query).await,
            (&Method::GET, "/_boxship/balancers") => answer(StatusCode::OK, &self.balancers.list()),
            (&Method::GET, "/_boxship/balancers/metrics") => match self.balancers.metrics().await {
                Some(metrics) => answer(StatusCode::OK, &metrics),
                None => refuse(StatusCode::GATEWAY_TIMEOUT, "the proxy does not say what it has counted"),
            },
            (&Method::GET, "/_boxship/output") => self.output(query).await,
            (&Method::POST, "/_boxship/stop") => self.stop_tasks().await,
            (&Method::POST, "/_boxship/clock") => self.advance(request).await,
            (&Method::POST, "/_boxship/reset") => self.reset().await,
            (&Method::POST, "/_boxship/images") => match self.loader.load(request).await {
                Ok(loaded) => answer(StatusCode::OK, &loaded),
                Err(error) => refuse(StatusCode::BAD_REQUEST, format!("{error:#}")),
            },
            (_, "/_boxship/health" | "/_boxship/clock" | "/_boxship/reset" | "/_boxship/images") => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "wrong method")
            }
            (_, path) => refuse(StatusCode::NOT_FOUND, format_args!("no such endpoint: {path}")),
        }
    }
}

impl Endpoint for Admin {
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>> {
        Box::pin(self.route(request, peer))
    }
}
