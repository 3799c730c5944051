//! The server: sockets inside the VPC, forwarding from outside it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Region;
use core_addresses::Cidr;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{Names, Place, Verdict, answer, refusal};
use super::forward::{Transport, forward, read_framed, write_framed};
use crate::VpcKey;

/// Questions under way at once in one VPC; further ones are dropped, and clients ask again.
const CONCURRENT: usize = 256;
/// Connections open at once in one VPC.
const CONNECTIONS: usize = 64;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// What every client takes over UDP, unless its question says more.
const UDP_SIZE: usize = 512;

/// Whose names a resolver answers for.
#[derive(Debug, Clone)]
pub struct Zone {
    pub vpc: VpcKey,
    pub region: Region,
    pub cidr: Cidr,
}

/// The resolver of one VPC.
pub struct Resolver {
    zone: Zone,
    names: Arc<dyn Names>,
    servers: Vec<SocketAddr>,
    questions: Semaphore,
}

impl Resolver {
    /// `servers` are the machine's, see [`super::name_servers`]; without any, unknown names
    /// answer SERVFAIL.
    pub fn new(zone: Zone, names: Arc<dyn Names>, servers: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Resolver { zone, names, servers, questions: Semaphore::new(CONCURRENT) })
    }

    /// Answers on these sockets, which were opened inside the VPC, until the future is dropped.
    /// Must run on a runtime whose threads are in the host's namespace: forwarding starts there.
    ///
    /// # Errors
    /// When a socket breaks.
    pub async fn serve(
        self: Arc<Self>,
        udp: std::net::UdpSocket,
        tcp: std::net::TcpListener,
    ) -> io::Result<()> {
        let udp = Arc::new(UdpSocket::from_std(udp)?);
        let tcp = TcpListener::from_std(tcp)?;
        let mut tasks = JoinSet::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let mut connections = 0_usize;
        loop {
            tokio::select! {
                Some(ended) = tasks.join_next() => {
                    connections -= usize::from(matches!(ended, Ok(Transport::Tcp)));
                }
                received = udp.recv_from(&mut buffer), if tasks.len() < CONCURRENT + CONNECTIONS => {
                    let (length, client) = received?;
                    tasks.spawn(Arc::clone(&self).datagram(Arc::clone(&udp), buffer[..length].to_vec(), client));
                }
                accepted = tcp.accept(), if connections < CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections += 1;
                            tasks.spawn(Arc::clone(&self).connection(stream));
                        }
                        // The client has gone again, or descriptors are short for a while.
                        Err(_) => sleep(PAUSE).await,
                    }
                }
            }
        }
    }

    async fn datagram(
        self: Arc<Self>,
        socket: Arc<UdpSocket>,
        question: Vec<u8>,
        client: SocketAddr,
    ) -> Transport {
        if let Some(answer) = self.resolve(&question, Transport::Udp).await {
            // The client may have gone.
            let _ = socket.send_to(&answer, client).await;
        }
        Transport::Udp
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) -> Transport {
        while let Ok(Ok(question)) = timeout(IDLE, read_framed(&mut stream)).await {
            let Some(answer) = self.resolve(&question, Transport::Tcp).await else { break };
            if !matches!(timeout(IDLE, write_framed(&mut stream, &answer)).await, Ok(Ok(()))) {
                break;
            }
        }
        Transport::Tcp
    }

    /// The answer to one question. What is no question gets none.
    async fn resolve(&self, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let _turn = self.questions.try_acquire().ok()?;
        let question = Message::from_vec(bytes).ok()?;
        if question.metadata.message_type != MessageType::Query {
            return None;
        }
        let place = Place {
            vpc: &self.zone.vpc,
            region: &self.zone.region,
            cidr: self.zone.cidr,
            names: &*self.names,
        };
        let verdict = answer(&question, &place);
        let message = match verdict {
            Verdict::Answer(message) => *message,
            Verdict::Forward => match forward(&self.servers, bytes, transport).await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    tracing::debug!(%error, "no name server answered");
                    refusal(&question, ResponseCode::ServFail)
                }
            },
        };
        let encoded = message.to_vec().ok()?;
        let limit =
            question.edns.as_ref().map_or(UDP_SIZE, |edns| usize::from(edns.max_payload()).max(UDP_SIZE));
        if transport == Transport::Udp && encoded.len() > limit {
            message.truncate().to_vec().ok()
        } else {
            Some(encoded)
        }
    }
}
