//! The resolver over loopback sockets: questions in, answers out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::Region;
use core_addresses::DEFAULT_VPC;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use vpc::VpcKey;
use vpc::dns::{Names, Resolver, Zone};

struct Table;

impl Names for Table {
    fn addresses(&self, vpc: &VpcKey, name: &str) -> Option<Vec<Ipv4Addr>> {
        assert_eq!(vpc.vpc, "vpc-1");
        match name {
            "web.local" => Some(vec![Ipv4Addr::new(172, 31, 0, 7), Ipv4Addr::new(172, 31, 0, 8)]),
            "empty.local" => Some(Vec::new()),
            "many.local" => Some((0..100).map(|n| Ipv4Addr::new(172, 31, 1, n)).collect()),
            _ => None,
        }
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// What a machine's name server would say: 192.0.2.9 to everything.
async fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            let name = asked.queries[0].name().clone();
            answer.add_queries(asked.queries.iter().cloned());
            answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 9))));
            socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
    });
    address
}

/// Starts a resolver; its UDP and TCP addresses.
async fn start(servers: Vec<SocketAddr>) -> (SocketAddr, SocketAddr) {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let addresses = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let vpc = VpcKey { account: "000000000000".into(), region: "us-east-1".into(), vpc: "vpc-1".into() };
    let zone = Zone { vpc, region: Region::default_region(), cidr: DEFAULT_VPC };
    tokio::spawn(Resolver::new(zone, Arc::new(Table), servers).serve(udp, tcp));
    addresses
}

async fn ask(resolver: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), resolver).await.unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, message.metadata.id);
    assert!(answer.metadata.recursion_available || answer.metadata.response_code == ResponseCode::NoError);
    answer
}

fn data(answer: &Message) -> Vec<String> {
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn names_are_answered_by_where_they_belong() {
    let (resolver, _) = start(vec![upstream().await]).await;
    for (name, kind, code, expected) in [
        ("ip-172-31-0-5.ec2.internal.", RecordType::A, ResponseCode::NoError, &["172.31.0.5"][..]),
        ("IP-172-31-0-5.EC2.internal.", RecordType::A, ResponseCode::NoError, &["172.31.0.5"]),
        ("ip-172-31-0-5.ec2.internal.", RecordType::AAAA, ResponseCode::NoError, &[]),
        ("ip-10-0-0-5.ec2.internal.", RecordType::A, ResponseCode::NXDomain, &[]),
        ("other.ec2.internal.", RecordType::A, ResponseCode::NXDomain, &[]),
        (
            "5.0.31.172.in-addr.arpa.",
            RecordType::PTR,
            ResponseCode::NoError,
            &["ip-172-31-0-5.ec2.internal."],
        ),
        (
            "000000000000.dkr.ecr.us-east-1.localhost.",
            RecordType::A,
            ResponseCode::NoError,
            &["169.254.170.2"],
        ),
        ("localhost.", RecordType::A, ResponseCode::NoError, &["127.0.0.1"]),
        ("web.local.", RecordType::A, ResponseCode::NoError, &["172.31.0.7", "172.31.0.8"]),
        ("empty.local.", RecordType::A, ResponseCode::NoError, &[]),
        ("example.com.", RecordType::A, ResponseCode::NoError, &["192.0.2.9"]),
        ("notec2.internal.", RecordType::A, ResponseCode::NoError, &["192.0.2.9"]),
    ] {
        let answer = ask(resolver, &question(name, kind)).await;
        assert_eq!(
            (answer.metadata.response_code, data(&answer)),
            (code, expected.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn without_a_server_other_names_fail() {
    let (resolver, _) = start(Vec::new()).await;
    let answer = ask(resolver, &question("example.com.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let (udp, tcp) = start(Vec::new()).await;
    let message = question("many.local.", RecordType::A);
    let answer = ask(udp, &message).await;
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let bytes = message.to_vec().unwrap();
    // Two questions on one connection.
    for _ in 0..2 {
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 100);
    }
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "noise ends the connection");
}

#[tokio::test]
async fn noise_is_passed_over() {
    let (resolver, _) = start(Vec::new()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for noise in [&b""[..], b"x", &[0xff; 600]] {
        socket.send_to(noise, resolver).await.unwrap();
    }
    let answer = ask(resolver, &question("web.local.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 2);
}
