//! Load balancers: from records to those who serve them, and back.
//!
//! Owns the way of tables, certificates and security groups to whoever acts on them ([`feed`]), the
//! listening sockets ([`spots`]), who serves ([`stage`]: a plane in this process, or `boxship proxy`,
//! [`role`]), and the way of health into the records.
//!
//! Invariant: everything is derived from the records; a restart derives it again.
//!
//! Deliberately ignores what a table says about requests.

mod counts;
mod feed;
mod inside;
mod lines;
mod names;
mod remote;
pub mod role;
mod spots;
mod stage;
mod wake;
mod zones;

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authority::Seal;
use base::Secret;
use core_routing::HealthReport;
use gateway::Named;
use serde_json::{Value, json};
use service::Platform;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::host::VpcNetwork;
use feed::{Feed, Served};
use names::Book;
use remote::Door;
pub use remote::running;
use spots::Spots;
use stage::{Make, Stage};

/// Reports on their way into the records.
const REPORTS: usize = 4_096;
/// Of these, as many as one transaction takes.
const BATCH: usize = 256;
/// Between two tries to write them.
const AGAIN: Duration = Duration::from_millis(500);

/// Load balancers of a running server.
pub struct Balancing {
    book: Book,
    /// `None` with the simulated runtime.
    served: Option<Serving>,
    platform: Platform,
    scope: Mutex<JoinSet<()>>,
}

struct Serving {
    stage: Arc<Stage>,
    spots: Arc<Spots>,
}

impl Balancing {
    /// Serves what is recorded, and follows the records until `stop` turns true. `network`: where
    /// balancers stand; `None` with the simulated runtime, which opens no socket.
    pub async fn start(
        platform: &Platform,
        (seal, secret): (Arc<Seal>, &Secret),
        network: Option<Arc<VpcNetwork>>,
        data_dir: &Path,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let book = Book::default();
        let mut scope = JoinSet::new();
        let (reports, received) = mpsc::channel(REPORTS);
        let (asked, asking) = mpsc::channel(REPORTS);
        let (written, lines) = mpsc::channel(lines::QUEUE);
        let served = network.map(|network| {
            let spots = Spots::new(network.clone());
            let make = Make::new(secret, platform.chance(), reports.clone(), asked.clone(), written.clone());
            let records = platform.store().clone();
            let known = move |table: &_| service_elb::known(&records.snapshot(), table);
            let stage = Stage::new(spots.clone(), make, Box::new(known));
            (network, Serving { stage, spots })
        });
        let for_feed = served
            .as_ref()
            .map(|(network, serving)| Served { stage: serving.stage.clone(), network: network.clone() });
        let mut feed = Feed::new(platform.clone(), seal, book.clone(), for_feed);
        let watch = platform.store().watch();
        let failed = feed.begin().await;
        scope.spawn(feed.run(watch, failed, stop.clone()));
        let served = served.map(|(_, serving)| serving);
        if let Some(serving) = &served {
            scope.spawn(take_in(platform.clone(), received));
            scope.spawn(lines::keep(platform.clone(), lines));
            scope.spawn(wake::run(platform.clone(), asking));
            let door = Door {
                data_dir: data_dir.to_owned(),
                stage: serving.stage.clone(),
                spots: serving.spots.clone(),
                reports,
                asked,
                lines: written,
            };
            scope.spawn(async move {
                if let Err(error) = door.attend(stop).await {
                    tracing::error!(%error, "load balancers are not served");
                }
            });
        }
        Arc::new(Balancing { book, served, platform: platform.clone(), scope: Mutex::new(scope) })
    }

    /// What an operator should know.
    pub fn warnings(&self) -> Vec<String> {
        self.served.as_ref().map(|serving| serving.spots.warnings()).unwrap_or_default()
    }

    /// Where balancers of every account and region are reached on this machine.
    pub fn list(&self) -> Value {
        let records = self.platform.store().snapshot();
        let tables = service_elb::balancers(&records);
        let tables = tables.iter().filter_map(|arn| service_elb::table(&records, arn));
        let rows = tables.map(|table| {
            json!({
                "arn": &*table.arn,
                "dns_name": &*table.dns_name,
                "alias": table.place.alias.filter(|_| self.served.is_some()),
                "nodes": table.place.nodes.iter().map(|node| node.address).collect::<Vec<_>>(),
            })
        });
        json!({ "balancers": rows.collect::<Vec<_>>() })
    }

    /// Everything that was counted since whoever serves has started; `None` where a proxy does not say.
    pub async fn metrics(&self) -> Option<Value> {
        let counts = match &self.served {
            Some(serving) => serving.stage.counts().await?,
            None => Vec::new(),
        };
        Some(json!({ "metrics": counts }))
    }

    /// Ends what is served in this process, requests under way within `within`. A proxy goes on.
    pub async fn close(&self, within: Duration) {
        let mut scope = std::mem::take(&mut *self.scope.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(serving) = &self.served {
            serving.stage.close(within).await;
        }
        scope.shutdown().await;
    }
}

impl gateway::Balancers for Balancing {
    fn find(&self, host: &str, is_tls: bool) -> Option<Named> {
        let named = self.book.find(host, is_tls)?;
        // Nothing listens where nothing is served.
        Some(Named { port: named.port.filter(|_| self.served.is_some()), ..named })
    }

    fn adopt(&self, stream: TcpStream, read: Vec<u8>, balancer: &str, port: u16) {
        if let Some(serving) = &self.served {
            serving.stage.adopt(stream, read, balancer, port);
        }
    }
}

/// Writes what was seen of targets into the records, in order, many at a time.
async fn take_in(platform: Platform, mut reports: mpsc::Receiver<HealthReport>) {
    let mut batch = Vec::new();
    while reports.recv_many(&mut batch, BATCH).await > 0 {
        while let Err(fault) = service_elb::take_in(&platform, batch.clone()).await {
            tracing::error!(%fault, "what was seen of targets could not be written");
            tokio::time::sleep(AGAIN).await;
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use core_routing::{
        Action, Attributes, Balancer, HeaderRules, Kind, Listener, Node, Placed, Protocol, Rule, Scheme,
    };

    /// A balancer with one node and these listeners.
    pub fn balancer(name: &str, listeners: &[(u16, Protocol)]) -> Balancer {
        let default = || Rule {
            arn: "default".into(),
            priority: 0,
            conditions: Vec::new(),
            rewrites: Vec::new(),
            action: Action::Fixed { status: 200, content_type: None, body: String::new() },
        };
        let listener = |(port, protocol): &(u16, Protocol)| Listener {
            arn: format!("{name}/{port}").into(),
            port: *port,
            protocol: *protocol,
            ssl_policy: None,
            certificates: Vec::new(),
            headers: HeaderRules::default(),
            rules: Vec::new(),
            default: default(),
        };
        Balancer {
            arn: name.into(),
            generation: 1,
            kind: Kind::Application,
            id: format!("app/{name}/1").into(),
            dns_name: format!("{name}.elb.localhost").into(),
            scheme: Scheme::InternetFacing,
            place: Placed {
                account: "000000000000".into(),
                region: "us-east-1".into(),
                vpc: "vpc-1".into(),
                vpc_cidr: "172.31.0.0/16".into(),
                on_host: false,
                nodes: vec![Node {
                    zone: Arc::from("us-east-1a"),
                    subnet: "subnet-1".into(),
                    eni: "eni-1".into(),
                    address: [172, 31, 0, 9].into(),
                }],
                alias: Some([127, 9, 9, 9].into()),
                security_groups: vec!["sg-1".into()],
            },
            attributes: Attributes::default(),
            listeners: listeners.iter().map(listener).collect(),
            groups: std::collections::BTreeMap::new(),
        }
    }
}
