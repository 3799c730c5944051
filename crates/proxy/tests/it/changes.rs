//! Tables that change under requests.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use base::{Timestamp, clock};
use core_routing::{Affinity, Stickiness};

use crate::front::{
    Client, Front, forward, group, listener, more, read_request, recording, scripted, target,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A target that answers when it is told to; it says when it was asked.
fn patient(text: &'static str) -> (SocketAddrV4, Receiver<()>, SyncSender<()>) {
    let (asked, was_asked) = sync_channel(8);
    let (go, gone) = sync_channel::<()>(8);
    let gone = std::sync::Mutex::new(gone);
    let at = scripted(move |mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            asked.send(()).unwrap();
            gone.lock().unwrap().recv().unwrap();
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (at, was_asked, go)
}

#[test]
fn changes_under_load_lose_nothing() {
    let targets: Vec<_> = (0..4).map(|_| recording().0).collect();
    let mut front = Front::to(&targets[..2]);
    let is_over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let at = front.at;
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (is_over, served) = (is_over.clone(), served.clone());
            std::thread::spawn(move || {
                let mut client = Client::to(at);
                while !is_over.load(Ordering::Relaxed) {
                    // Every other one comes anew for each request.
                    if number % 2 == 0 {
                        client = Client::to(at);
                    }
                    client.send(REQUEST.as_bytes());
                    assert_eq!(client.answer().status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..60_usize {
        let some = [targets[round % 4], targets[(round + 1) % 4]];
        front.change(|table| {
            table.groups.insert("group".into(), Arc::new(group("group", &some)));
            // A second listener comes and goes.
            table.listeners.truncate(1);
            if round.is_multiple_of(2) {
                table.listeners.push(listener(9090, forward("group")));
            }
        });
        let before = served.load(Ordering::Relaxed);
        while served.load(Ordering::Relaxed) < before + 20 {
            std::thread::yield_now();
        }
    }
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_request_under_way_outlives_its_table_and_its_listener() {
    let (at, was_asked, go) = patient("ok");
    let front = Front::to(&[at]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    front.remove();
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!(answer.text(), "ok");
    assert!(client.rest().is_empty(), "and then the connection ends");
    assert!(std::net::TcpStream::connect(front.at).is_err(), "nobody listens any more");
}

#[test]
fn a_draining_target_ends_what_it_has_and_gets_nothing_new() {
    let (slow, was_asked, go) = patient("slow");
    let (other, seen) = recording();
    let mut front = Front::to(&[slow]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    front.group(|group| {
        group.targets[0].draining_until = Some(clock::wall() + Duration::from_secs(300));
        group.targets.push(target(other));
    });
    for _ in 0..10 {
        assert_eq!(front.ask(REQUEST).status, 200);
    }
    assert_eq!(seen.requests().len(), 10);
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "slow");
}

#[test]
fn when_the_time_of_draining_is_over_requests_are_cut() {
    let (asked, was_asked) = sync_channel(8);
    let slow = scripted(move |mut stream| {
        let mut input = Vec::new();
        let _ = read_request(&mut stream, &mut input);
        asked.send(()).unwrap();
        while more(&mut stream, &mut input) {}
    });
    let mut front = Front::to(&[slow]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    front.group(|group| group.targets[0].draining_until = Some(Timestamp::from_secs(1)));
    assert_eq!(client.answer().status, 502);
}

#[test]
fn a_bound_client_stays_with_its_target_until_that_drains() {
    let targets: Vec<_> = (0..4)
        .map(|number: usize| {
            scripted(move |mut stream| {
                let mut input = Vec::new();
                while let Ok(Some(_)) = read_request(&mut stream, &mut input) {
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    let mut front = Front::to(&targets);
    front.group(|group| {
        group.stickiness = Some(Stickiness { by: Affinity::Balancer, lasts_for: Duration::from_secs(600) });
    });
    let first = front.ask(REQUEST);
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("AWSALB="));
    let bound = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    for _ in 0..12 {
        assert_eq!(front.ask(&bound).text(), first.text());
    }
    let number: usize = first.text().parse().unwrap();
    front.group(|group| {
        group.targets[number].draining_until = Some(clock::wall() + Duration::from_secs(300));
    });
    for _ in 0..12 {
        assert_ne!(front.ask(&bound).text(), first.text());
    }
}

#[test]
fn an_older_table_is_refused() {
    let (at, _) = recording();
    let front = Front::to(&[at]);
    let mut older = front.table.clone();
    older.generation = 0;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(front.plane().apply(Arc::new(older))).is_err());
}

/// What comes back on a connection that was adopted with `GET /adopted` begun, once `rest` was said.
fn adopted(front: &Front, rest: &str) -> String {
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(own.local_addr().unwrap()).unwrap();
    let (stream, _) = own.accept().unwrap();
    front.plane().adopt(stream, "GET /adopted HTTP/1.1\r\nHo".into(), "arn:balancer", front.at.port());
    client.write_all(rest.as_bytes()).unwrap();
    let mut input = Vec::new();
    while more(&mut client, &mut input) {}
    String::from_utf8(input).unwrap()
}

#[test]
fn a_connection_that_came_in_elsewhere_is_served() {
    let (at, seen) = recording();
    let front = Front::to(&[at]);
    for host in ["test.elb.localhost", "TEST.elb.localhost.:4566", "p81.test.elb.localhost:4566"] {
        let input = adopted(&front, &format!("st: {host}\r\nConnection: close\r\n\r\n"));
        assert!(input.starts_with("HTTP/1.1 200 OK"), "{host}: {input}");
        assert_eq!(seen.last().line, "GET /adopted HTTP/1.1");
    }
}

#[test]
fn requests_for_others_are_not_served_there() {
    let (at, seen) = recording();
    let front = Front::to(&[at]);
    for other in
        ["localhost:4566", "other.elb.localhost", "test.elb.localhost.example", "xtest.elb.localhost"]
    {
        let input = adopted(
            &front,
            &format!("st: test.elb.localhost\r\n\r\nGET /other HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        );
        assert_eq!(input.matches("HTTP/1.1 200").count(), 1, "{other}: {input}");
        assert_eq!(seen.last().line, "GET /adopted HTTP/1.1");
    }
}

#[test]
fn a_client_that_is_old_enough_is_let_go_after_its_answer() {
    let (at, _) = recording();
    let front = Front::with(&[at], |table| table.attributes.client_keep_alive_for = Duration::from_secs(1));
    let mut client = front.client();
    let mut served = 0;
    loop {
        client.send(REQUEST.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        served += 1;
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    assert!(served > 1 && client.rest().is_empty());
}

#[test]
fn a_plane_that_closes_lets_requests_end() {
    let (at, was_asked, go) = patient("ok");
    let mut front = Front::to(&[at]);
    let mut client = front.client();
    let mut idle = front.client();
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    let closing = std::thread::spawn(move || front.close(Duration::from_secs(20)));
    assert!(idle.rest().is_empty(), "who waits for nothing is let go");
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", Some("close")));
    assert!(client.rest().is_empty());
    closing.join().unwrap();
}

#[test]
fn a_group_that_moves_to_another_balancer_keeps_its_requests() {
    let (at, was_asked, go) = patient("ok");
    let mut front = Front::to(&[at]);
    let mut other = front.table.clone();
    other.arn = "arn:other".into();
    other.listeners = vec![listener(9091, forward("group"))];
    front.serve(other);
    let mut client = Client::to(std::net::SocketAddrV4::new(*front.at.ip(), 9091));
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    front.change(|table| {
        table.listeners.clear();
        table.groups.clear();
    });
    // Longer than the sweep that would cut it takes to come round.
    assert!(was_asked.recv_timeout(Duration::from_secs(1)).is_err());
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_request_outlives_its_target_and_its_group() {
    let (at, was_asked, go) = patient("ok");
    let (other, _) = recording();
    for leave in [0, 1] {
        let mut front = Front::to(&[at]);
        let mut client = front.client();
        client.send(REQUEST.as_bytes());
        was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
        front.change(|table| {
            let name = if leave == 0 { "group" } else { "new" };
            table.groups.clear();
            table.groups.insert(name.into(), Arc::new(group(name, &[other])));
            table.listeners[0] = listener(crate::front::PORT, forward(name));
        });
        // Longer than the sweep that would cut it takes to come round.
        assert!(was_asked.recv_timeout(Duration::from_secs(1)).is_err());
        go.send(()).unwrap();
        assert_eq!(client.answer().text(), "ok");
    }
    // Without a delay there is none.
    let mut front = Front::to(&[at]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    front.group(|group| {
        group.deregistration_delay_for = Duration::ZERO;
        group.targets = vec![target(other)];
    });
    assert_eq!(client.answer().status, 502);
}

/// A target of which a check says that it is well, until `killed`: then its connections are closed
/// where a request is awaited, and nobody listens there any more.
fn mortal(killed: &Arc<AtomicBool>) -> (SocketAddrV4, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    let killed = killed.clone();
    let accepting = std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if killed.load(Ordering::SeqCst) {
                break;
            }
            open.push(stream.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut input = Vec::new();
                while let Ok(Some(_)) = read_request(&mut stream, &mut input) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").is_err() {
                        break;
                    }
                }
            });
        }
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    });
    (at, accepting)
}

#[test]
fn a_killed_target_costs_no_request_that_begins_later() {
    let killed = Arc::new(AtomicBool::new(false));
    let (mortal, accepting) = mortal(&killed);
    let ((other, seen), (third, _)) = (recording(), recording());
    let front = Front::to(&[mortal, other, third]);
    // Connections to every target are kept by now.
    let mut clients: Vec<_> = (0..8).map(|_| front.client()).collect();
    let mut round = |requests: usize| {
        for at in 0..requests {
            let count = clients.len();
            let client = &mut clients[at % count];
            // What may not be repeated, too.
            let method = if at % 2 == 0 { "GET" } else { "POST" };
            client
                .send(format!("{method} /{at} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").as_bytes());
            assert_eq!(client.answer().status, 200, "request {at}");
        }
    };
    round(24);
    killed.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(mortal));
    accepting.join().unwrap();
    let before = seen.requests().len();
    round(100);
    assert!(seen.requests().len() > before + 30);
}
