//! Targets and clients that mean no good: each gets what it deserves, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use crate::front::{Client, Front, more, read_request, recording, scripted};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a client hears when a target answers a request with these bytes and closes.
fn heard(answer: &'static [u8]) -> (u16, String, bool) {
    let target = scripted(move |mut stream| {
        let mut input = Vec::new();
        if let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            let _ = stream.write_all(answer);
        }
    });
    let front = Front::to(&[target]);
    let answer = front.ask(REQUEST);
    (answer.status, answer.text(), answer.is_broken)
}

#[test]
fn a_target_that_speaks_no_http_is_a_bad_gateway() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
    ] {
        assert_eq!(heard(answer).0, 502, "{}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    assert!(heard(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").2);
    assert!(heard(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").2);
    assert!(heard(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab").2);
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        if let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let mut bytes = Vec::new();
    let ended = client.stream.read_to_end(&mut bytes);
    assert!(ended.is_err(), "a client of HTTP/1.0 hears a reset: {}", String::from_utf8_lossy(&bytes));
    let (status, body, is_broken) = heard(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcdef");
    assert_eq!((status, body.as_str(), is_broken), (200, "ab", false), "what is too much is left out");
}

#[test]
fn bytes_behind_an_answer_are_no_answer_to_the_next_request() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(request)) = read_request(&mut stream, &mut input) {
            let own = request.line.split(' ').nth(1).unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{own}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                own.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    for at in 0..50 {
        client.send(format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(client.answer().text(), format!("/{at}"));
    }
}

#[test]
fn endless_heads_end() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        let _ = read_request(&mut stream, &mut input);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let line = format!("X: {}\r\n", "y".repeat(1000));
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let front = Front::to(&[target]);
    assert_eq!(front.ask(REQUEST).status, 502);
    let mut client = front.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
    let line = format!("X: {}\r\n", "y".repeat(1000));
    for _ in 0..1000 {
        client.send(line.as_bytes());
    }
    assert_eq!(client.try_answer(false).map_or(400, |answer| answer.status), 400);
}

#[test]
fn nobody_at_the_other_end() {
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let front = Front::to(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, free)]);
    assert_eq!(front.ask(REQUEST).status, 502);
}

#[test]
fn another_target_serves_where_one_cannot_be_reached() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (target, _) = recording();
    let front = Front::to(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, free), target]);
    for _ in 0..10 {
        assert_eq!(front.ask(REQUEST).status, 200);
    }
}

#[test]
fn a_target_that_hangs_is_waited_for_as_long_as_the_attribute_says() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        while more(&mut stream, &mut input) {}
    });
    let front = Front::with(&[target], |table| table.attributes.idle_timeout_for = Duration::from_secs(1));
    let answer = front.ask(REQUEST);
    assert_eq!((answer.status, answer.header("server")), (504, Some("awselb/2.0")));
}

#[test]
fn a_client_that_dawdles_is_told_so_and_an_idle_one_let_go() {
    let (target, seen) = recording();
    let front = Front::with(&[target], |table| table.attributes.idle_timeout_for = Duration::from_secs(1));
    let mut slow = front.client();
    slow.send(b"GET / HTTP/1.1\r\nHos");
    let mut idle = front.client();
    assert_eq!(slow.answer().status, 408);
    assert!(slow.rest().is_empty());
    assert!(idle.rest().is_empty(), "nothing is said to one who said nothing");
    // A body that does not come: the target is let go of as well.
    let mut half = front.client();
    half.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(half.answer().status, 408);
    assert!(seen.requests().is_empty());
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let (sender, left) = std::sync::mpsc::sync_channel(8);
    let target = scripted(move |mut stream| {
        let mut input = Vec::new();
        read_request(&mut stream, &mut input).unwrap();
        sender.send("asked").unwrap();
        while more(&mut stream, &mut input) {}
        sender.send("left").unwrap();
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    assert_eq!(left.recv_timeout(Duration::from_secs(10)), Ok("asked"));
    drop(client);
    assert_eq!(left.recv_timeout(Duration::from_secs(10)), Ok("left"));
}

#[test]
fn others_are_served_beside_many_that_do_nothing() {
    let (target, _) = recording();
    let front = Front::to(&[target]);
    let idle: Vec<Client> = (0..500).map(|_| front.client()).collect();
    let half: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = front.client();
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
            client
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(front.ask(REQUEST).status, 200);
    }
    drop((idle, half));
    assert_eq!(front.ask(REQUEST).status, 200);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_a_head() {
    let (target, _) = recording();
    let front = Front::to(&[target]);
    let mut client = front.client();
    for byte in REQUEST.bytes() {
        client.send(&[byte]);
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_client_that_reads_nothing_costs_a_bounded_amount() {
    let (sender, wrote) = std::sync::mpsc::sync_channel(8);
    let target = scripted(move |mut stream| {
        let mut input = Vec::new();
        read_request(&mut stream, &mut input).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let piece = [b'x'; 65536];
        let mut count = 0_usize;
        while let Ok(taken) = stream.write(&piece) {
            count += taken;
        }
        sender.send(count).unwrap();
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    let count = wrote.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(count < 64 << 20, "{count} bytes lie somewhere");
    let mut bytes = [0; 1024];
    assert!(client.stream.read(&mut bytes).unwrap() > 0);
}
