//! What clients and targets see of ordinary requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use core_routing::{Action, ForwardedFor, Redirect};

use crate::front::{Front, forward, listener, more, read_request, recording, scripted};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
}

#[test]
fn a_request_reaches_the_target_and_its_answer_the_client() {
    let (target, seen) = recording();
    let front = Front::to(&[target]);
    let answer = front.get("/a?b=c");
    assert_eq!((answer.status, answer.text()), (200, String::from("GET /a?b=c HTTP/1.1 ")));
    assert_eq!(answer.header("x-target"), Some("yes"));
    assert!(answer.header("date").is_some());
    let request = seen.last();
    assert_eq!(request.header("host"), Some("a.example.com:8080"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some("8080"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(request.header("x-amzn-trace-id").unwrap().starts_with("Root=1-"));
    assert_eq!(request.header("connection"), None);
}

#[test]
fn requests_in_a_row_are_answered_in_order_over_one_connection() {
    let (target, seen) = recording();
    let front = Front::to(&[target]);
    let mut client = front.client();
    let all: String = (0..20).map(|at| get(&format!("/{at}"))).collect();
    client.send(all.as_bytes());
    for at in 0..20 {
        assert_eq!(client.answer().text(), format!("GET /{at} HTTP/1.1 "));
    }
    assert_eq!(seen.requests().len(), 20);
}

#[test]
fn bodies_pass_in_both_framings() {
    let (target, seen) = recording();
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert!(client.answer().text().ends_with("hello"));
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n");
    assert!(client.answer().text().ends_with("abcde"));
    assert_eq!(seen.last().header("transfer-encoding"), Some("chunked"));
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(seen.last().header("content-length"), Some("0"));
}

#[test]
fn a_large_body_is_whole_at_the_other_end() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        let request = read_request(&mut stream, &mut input).unwrap().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&request.body).unwrap();
        while more(&mut stream, &mut input) {}
    });
    let front = Front::to(&[target]);
    let body: Vec<u8> = (0..8 << 20).map(|at: u32| (at / 7) as u8).collect();
    let mut client = front.client();
    let mut sender = client.stream.try_clone().unwrap();
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        sender
            .write_all(
                format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()).as_bytes(),
            )
            .unwrap();
        sender.write_all(&sent).unwrap();
    });
    let answer = client.answer();
    sending.join().unwrap();
    assert!(answer.body == body, "{} of {} bytes", answer.body.len(), body.len());
}

#[test]
fn answers_keep_their_framing() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(request)) = read_request(&mut stream, &mut input) {
            let answer: &[u8] = match request.line.split(' ').nth(1).unwrap() {
                "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "/close" => b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
                "/early" => b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                other => panic!("{other}"),
            };
            stream.write_all(answer).unwrap();
            if request.line.contains("/close") {
                return;
            }
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(get("/chunked").as_bytes());
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("abc", Some("chunked")));
    for (path, status) in [("/204", 204), ("/304", 304), ("/early", 200)] {
        client.send(get(path).as_bytes());
        assert_eq!(client.answer().status, status, "{path}");
    }
    client.send(b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to(true).header("content-length"), Some("7"));
    client.send(get("/close").as_bytes());
    assert_eq!(client.answer().text(), "until the end");
    client.send(get("/chunked").as_bytes());
    assert_eq!(client.answer().text(), "abc", "the client's connection is its own");
}

#[test]
fn an_old_client_gets_what_it_can_read() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                .unwrap();
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let all = String::from_utf8(client.rest()).unwrap();
    assert!(all.ends_with("\r\n\r\nabc") && !all.contains("chunked"), "{all}");
}

#[test]
fn a_client_that_waits_is_invited() {
    let (target, seen) = recording();
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    client.send(b"hi");
    assert_eq!(client.answer().status, 200);
    assert_eq!((seen.last().body.as_slice(), seen.last().header("expect")), (&b"hi"[..], None));
}

#[test]
fn an_upgraded_connection_is_bytes_both_ways() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        let request = read_request(&mut stream, &mut input).unwrap().unwrap();
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("connection"), Some("Upgrade"));
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst";
        stream.write_all(head).unwrap();
        let mut text = input;
        while text.len() < 4 {
            assert!(more(&mut stream, &mut text));
        }
        stream.write_all(&text).unwrap();
        // The client has ended: what was said until then is answered still.
        assert!(!more(&mut stream, &mut text));
        stream.write_all(b"bye").unwrap();
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    client.send(b"ping");
    while client.input.len() < 9 {
        assert!(more(&mut client.stream, &mut client.input));
    }
    client.end();
    assert_eq!(client.rest(), b"firstpingbye");
}

#[test]
fn no_other_protocol_is_changed_to() {
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        let request = read_request(&mut stream, &mut input).unwrap().unwrap();
        assert_eq!((request.header("upgrade"), request.header("connection")), (None, None));
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    });
    let front = Front::to(&[target]);
    let settings = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__";
    assert_eq!(front.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{settings}\r\n\r\n")).status, 502);
    let body = "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0";
    assert_eq!(front.ask(&format!("POST / HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n")).status, 502);
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let target = scripted(|mut stream| {
        let mut bytes = [0; 1024];
        assert!(stream.read(&mut bytes).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .unwrap();
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nbegin");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.header("connection")),
        (413, "no", Some("close"))
    );
}

#[test]
fn the_balancer_answers_by_itself_where_rules_say_so() {
    let front = Front::with(&[], |table| {
        let fixed = Action::Fixed { status: 418, content_type: Some("text/css".into()), body: "tea".into() };
        let redirect = Redirect {
            protocol: "HTTPS".into(),
            host: "#{host}".into(),
            port: "443".into(),
            path: "/new/#{path}".into(),
            query: "#{query}".into(),
            status: 301,
        };
        table.listeners = vec![
            listener(8080, fixed),
            listener(8081, Action::Redirect(redirect)),
            listener(8082, forward("group")),
        ];
    });
    let answer = front.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (418, "tea"));
    assert_eq!(answer.header("content-type"), Some("text/css"));
    assert_eq!(answer.header("server"), Some("awselb/2.0"));
    let mut at = front.at;
    at.set_port(8081);
    let mut client = crate::front::Client::to(at);
    client.send(get("/a?b").as_bytes());
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("location")), (301, Some("https://a.example.com:443/new/a?b")));
    at.set_port(8082);
    let mut client = crate::front::Client::to(at);
    client.send(get("/").as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 503, "there is no target");
    assert!(answer.text().contains("<h1>503 Service Temporarily Unavailable</h1>"));
}

#[test]
fn errors_of_clients_have_their_statuses() {
    let (target, seen) = recording();
    let front = Front::to(&[target]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}\r\n\r\n", "10.0.0.1, ".repeat(31));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(17_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(17_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GARBAGE\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (&many, 463),
        (&long, 414),
        (&wide, 400),
    ] {
        let answer = front.ask(request);
        assert_eq!(answer.status, status, "{}", &request[..request.len().min(60)]);
        assert_eq!(answer.header("server"), Some("awselb/2.0"));
    }
    assert!(seen.requests().is_empty());
}

#[test]
fn forwarded_headers_follow_their_mode() {
    for (mode, expected) in [
        (ForwardedFor::Append, Some("1.2.3.4, 127.0.0.1")),
        (ForwardedFor::Preserve, Some("1.2.3.4")),
        (ForwardedFor::Remove, None),
    ] {
        let (target, seen) = recording();
        let front = Front::with(&[target], |table| table.attributes.forwarded_for = mode);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: gopher\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: gzip\r\nKeep-Alive: 5\r\n\r\n";
        let answer = front.ask(request);
        assert_eq!(answer.header("connection"), Some("close"));
        let request = seen.last();
        assert_eq!(request.header("x-forwarded-for"), expected, "{mode:?}");
        assert_eq!(request.header("x-forwarded-proto"), Some("http"));
        for name in ["x-mine", "te", "keep-alive", "connection"] {
            assert_eq!(request.header(name), None, "{name}");
        }
    }
}

#[test]
fn an_idle_connection_that_a_target_closed_costs_no_request() {
    // Each connection serves one request and is closed without a word about it.
    let target = scripted(|mut stream| {
        let mut input = Vec::new();
        if let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    for at in 0..200 {
        client.send(get("/").as_bytes());
        assert_eq!(client.answer().status, 200, "request {at}");
    }
}

#[test]
fn connections_to_targets_are_used_again() {
    let (sender, accepted) = std::sync::mpsc::sync_channel(64);
    let target = scripted(move |mut stream: TcpStream| {
        sender.send(()).unwrap();
        let mut input = Vec::new();
        while let Ok(Some(_)) = read_request(&mut stream, &mut input) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let front = Front::to(&[target]);
    let mut client = front.client();
    for _ in 0..50 {
        client.send(get("/").as_bytes());
        assert_eq!(client.answer().status, 200);
    }
    assert!(accepted.recv_timeout(Duration::from_secs(5)).is_ok());
    assert!(accepted.try_recv().is_err(), "one connection is enough for requests in turn");
}
