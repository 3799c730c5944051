//! The status page at `/`: what runs and what to try.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_ecs::op::{DescribeServices, DescribeTasks, ListClusters, ListServices, ListTasks};
use aws_ecs::{
    DescribeServicesRequest, DescribeTasksRequest, ListClustersRequest, ListServicesRequest,
    ListTasksRequest, Service, Task,
};
use base::{AccountId, Region};
use gateway::{Body, Endpoint, Peer, bytes};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use service::{Caller, Origin};

use crate::admin::Admin;

/// Rows that the page shows.
const ROWS: usize = 100;
/// AWS: services in one DescribeServices.
const AT_ONCE: usize = 10;

pub struct Page {
    admin: Arc<Admin>,
}

/// Text as HTML has it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn last(arn: Option<&String>) -> String {
    escape(arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default())
}

impl Page {
    pub fn new(admin: Arc<Admin>) -> Self {
        Page { admin }
    }

    fn caller() -> Caller {
        Caller::platform("boxship", AccountId::default_account(), Region::default_region())
    }

    async fn clusters(&self) -> Vec<String> {
        let request = ListClustersRequest::default();
        let clusters = self.admin.platform.call::<ListClusters>(Self::caller(), request).await;
        clusters.ok().and_then(|answer| answer.cluster_arns).unwrap_or_default()
    }

    async fn tasks(&self) -> Vec<Task> {
        let platform = &self.admin.platform;
        let mut tasks = Vec::new();
        for cluster in self.clusters().await {
            for status in ["RUNNING", "STOPPED"] {
                let request = ListTasksRequest {
                    cluster: Some(cluster.clone()),
                    desired_status: Some(status.to_owned()),
                    ..Default::default()
                };
                let listed = platform.call::<ListTasks>(Self::caller(), request).await;
                let arns = listed.ok().and_then(|answer| answer.task_arns).unwrap_or_default();
                if arns.is_empty() {
                    continue;
                }
                let request = DescribeTasksRequest {
                    cluster: Some(cluster.clone()),
                    tasks: arns,
                    ..Default::default()
                };
                let described = platform.call::<DescribeTasks>(Self::caller(), request).await;
                tasks.extend(described.ok().and_then(|answer| answer.tasks).unwrap_or_default());
            }
        }
        tasks.sort_by_key(|task| std::cmp::Reverse(task.created_at));
        tasks.truncate(ROWS);
        tasks
    }

    async fn deployed(&self) -> Vec<Service> {
        let platform = &self.admin.platform;
        let mut services = Vec::new();
        for cluster in self.clusters().await {
            let request = ListServicesRequest {
                cluster: Some(cluster.clone()),
                max_results: Some(100),
                ..Default::default()
            };
            let listed = platform.call::<ListServices>(Self::caller(), request).await;
            let arns = listed.ok().and_then(|answer| answer.service_arns).unwrap_or_default();
            for some in arns.chunks(AT_ONCE) {
                let request = DescribeServicesRequest {
                    cluster: Some(cluster.clone()),
                    services: some.to_vec(),
                    include: None,
                };
                let described = platform.call::<DescribeServices>(Self::caller(), request).await;
                services.extend(described.ok().and_then(|answer| answer.services).unwrap_or_default());
            }
        }
        services.sort_by(|a, b| (&a.cluster_arn, &a.service_name).cmp(&(&b.cluster_arn, &b.service_name)));
        services.truncate(ROWS);
        services
    }

    /// How far its newest deployment is, and the last thing that happened.
    fn service_row(service: &Service) -> String {
        let count = |count: Option<i32>| count.unwrap_or_default().max(0);
        let (running, desired) = (count(service.running_count), count(service.desired_count));
        let deployments = service.deployments.as_deref().unwrap_or_default();
        let newest = deployments.iter().find(|one| one.status.as_deref() == Some("PRIMARY"));
        let state = escape(newest.and_then(|one| one.rollout_state.as_deref()).unwrap_or_default());
        let (done, wanted) =
            newest.map_or((0, 0), |one| (count(one.running_count), count(one.desired_count)));
        let old: i32 = deployments
            .iter()
            .filter(|one| one.status.as_deref() != Some("PRIMARY"))
            .map(|one| count(one.running_count))
            .sum();
        let old = if old > 0 { format!(" <small>and {old} old</small>") } else { String::new() };
        let event = service.events.iter().flatten().next().and_then(|event| event.message.as_deref());
        let status = escape(service.status.as_deref().unwrap_or_default());
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{status}\">{status}</td><td>{running} of {desired}</td>\
             <td class=\"{state}\"><progress value=\"{done}\" max=\"{}\"></progress> {state} \
             <small>{done} of {wanted}</small>{old}</td><td>{}</td></tr>",
            escape(service.service_name.as_deref().unwrap_or_default()),
            last(service.cluster_arn.as_ref()),
            last(service.task_definition.as_ref()),
            wanted.max(1),
            escape(event.unwrap_or_default()),
        )
    }

    /// The table of services; nothing where there are none.
    async fn service_table(&self) -> String {
        let services = self.deployed().await;
        if services.is_empty() {
            return String::new();
        }
        let rows: String = services.iter().map(Page::service_row).collect();
        format!(
            "<h2>Services</h2>\n<table>\n<tr><th>Service</th><th>Cluster</th><th>Definition</th><th>Status</th>\
             <th>Running</th><th>Deployment</th><th>Last event</th></tr>\n{rows}\n</table>"
        )
    }

    fn row(task: &Task) -> String {
        let containers = task.containers.iter().flatten();
        let mut images: Vec<_> = containers.clone().filter_map(|c| c.image.as_deref()).map(escape).collect();
        images.dedup();
        let status = escape(task.last_status.as_deref().unwrap_or_default());
        let code = containers.clone().find_map(|container| container.exit_code);
        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
        // A class that colors nothing, and no text, where there is no health check.
        let health = task.health_status.as_deref().filter(|health| *health != "UNKNOWN").unwrap_or_default();
        let health = escape(health);
        let reason = escape(&cli::reason(task));
        let created = task.created_at.map_or_else(String::new, |at| escape(&at.iso8601()));
        format!(
            "<tr><td><code title=\"{created}\">{}</code></td><td>{}</td><td>{}</td>\
             <td class=\"{status}\">{status}{code}</td><td class=\"{health}\">{health}</td>\
             <td>{}</td><td>{}</td><td>{reason}</td></tr>",
            last(task.task_arn.as_ref()),
            last(task.cluster_arn.as_ref()),
            last(task.task_definition_arn.as_ref()),
            Page::place(task),
            images.join(", "),
        )
    }

    /// Its address, and the ports of the host that lead to it.
    fn place(task: &Task) -> String {
        let details = task.attachments.iter().flatten().flat_map(|a| a.details.iter().flatten());
        let addresses = details.filter(|detail| detail.name.as_deref() == Some("privateIPv4Address"));
        let addresses = addresses.filter_map(|detail| detail.value.as_deref()).map(escape);
        let bindings = task.containers.iter().flatten().flat_map(|c| c.network_bindings.iter().flatten());
        let ports = bindings.filter_map(|binding| {
            Some(format!(":{}\u{2192}{}", binding.host_port?, binding.container_port?))
        });
        addresses.chain(ports).collect::<Vec<_>>().join(" ")
    }

    async fn render(&self) -> String {
        let tasks = self.tasks().await;
        let rows: String = if tasks.is_empty() {
            String::from("<tr><td colspan=\"8\">None yet. Try one of the commands below.</td></tr>")
        } else {
            tasks.iter().map(Page::row).collect()
        };
        let options = &self.admin.options;
        let warnings: String = self
            .admin
            .warnings()
            .iter()
            .map(|warning| format!("<p class=\"warning\">{}</p>", escape(warning)))
            .collect();
        let services: Vec<_> = self
            .admin
            .platform
            .services()
            .iter()
            .map(|service| {
                format!("<li>{} <small>{} operations</small></li>", service.api.id, service.operations.len())
            })
            .collect();
        let instance = options.instance.as_ref().map_or_else(String::new, |instance| {
            format!(", an instance of the cluster {}", escape(&instance.cluster))
        });
        include_str!("page.html")
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            .replace("{{listen}}", &cli::listen_option(options.listen.port()))
            .replace("{{port}}", &options.listen.port().to_string())
            .replace("{{runtime}}", options.runtime.name())
            .replace("{{instance}}", &instance)
            .replace("{{data}}", &escape(&options.data_dir.display().to_string()))
            .replace("{{services}}", &services.concat())
            .replace("{{warnings}}", &warnings)
            .replace("{{deployed}}", &self.service_table().await)
            .replace("{{rows}}", &rows)
    }
}

impl Endpoint for Page {
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>> {
        Box::pin(async move {
            // Tasks are no operators, and need not see what else runs.
            if peer.origin != Origin::Operator {
                return gateway::text(StatusCode::FORBIDDEN, "Forbidden: this is the operator's side\n");
            }
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return gateway::text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            }
            let mut response = Response::new(bytes(self.render().await));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
            response
        })
    }
}
