//! Streams become requests to HTTP/1.1 targets, and their answers come back.

use crate::h2_stage::Stage;
use crate::h2_wire::*;

const BASE: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "a.example.com:8443"),
    (":path", "/path?q=1&q=2"),
];

fn with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    block(&[&BASE[..], more].concat())
}

/// The one request that the target saw, as lower-cased head lines and body.
fn only(stage: &Stage) -> (Vec<String>, String) {
    let requests = stage.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    (head.lines().map(str::to_ascii_lowercase).collect(), body.to_owned())
}

#[test]
fn a_stream_is_told_as_one_request() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    let fields = with(&[
        ("cookie", "a=1"),
        ("x-twice", "1"),
        ("cookie", "b=2"),
        ("x-twice", "2"),
        ("content-length", "4"),
    ]);
    client.send(&Frame::new(HEADERS, END_HEADERS, 1, fields));
    client.send(&Frame::new(DATA, END_STREAM, 1, b"body".to_vec()));
    let (status, echo) = client.answer(1);
    assert_eq!(status, 200);
    let (head, body) = only(&stage);
    assert_eq!(String::from_utf8(echo).unwrap(), stage.requests()[0]);
    assert_eq!((head[0].as_str(), body.as_str()), ("post /path?q=1&q=2 http/1.1", "body"));
    let count = |line: &str| head.iter().filter(|found| *found == line).count();
    for line in [
        "host: a.example.com:8443",
        "cookie: a=1; b=2",
        "x-twice: 1",
        "x-twice: 2",
        "content-length: 4",
        "x-forwarded-proto: https",
    ] {
        assert_eq!(count(line), 1, "{line} in {head:?}");
    }
    assert!(
        !head.iter().any(|line| line.starts_with(':') || line.starts_with("transfer-encoding")),
        "{head:?}"
    );
}

#[test]
fn a_body_of_unknown_length_is_sent_in_chunks() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    client.send(&Frame::new(HEADERS, END_HEADERS, 1, with(&[])));
    client.send(&Frame::new(DATA, 0, 1, b"bo".to_vec()));
    client.send(&Frame::new(DATA, PADDED, 1, b"\x03dy\0\0\0".to_vec()));
    client.send(&Frame::new(DATA, END_STREAM, 1, []));
    assert_eq!(client.answer(1).0, 200);
    let (head, body) = only(&stage);
    assert_eq!(body, "body");
    assert!(head.contains(&"transfer-encoding: chunked".to_owned()), "{head:?}");
}

#[test]
fn what_looks_like_chunks_is_a_body() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    let smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: b\r\n\r\n";
    for stream in [1, 3] {
        client.send(&Frame::new(HEADERS, END_HEADERS, stream, with(&[])));
        client.send(&Frame::new(DATA, END_STREAM, stream, *smuggled));
        assert_eq!(client.answer(stream).0, 200);
    }
    let requests = stage.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.ends_with(std::str::from_utf8(smuggled).unwrap())));
}

#[test]
fn many_streams_share_a_connection() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    let streams: Vec<u32> = (0..100).map(|at| 1 + 2 * at).collect();
    streams.iter().for_each(|stream| client.get(*stream, &format!("/{stream}")));
    let mut ended = std::collections::BTreeSet::new();
    let mut bodies = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    while ended.len() < streams.len() {
        let frame = client.next().unwrap();
        assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "{frame:?}");
        if frame.kind == DATA {
            bodies.entry(frame.stream).or_default().extend(&frame.payload);
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            ended.insert(frame.stream);
        }
    }
    for stream in streams {
        let body = String::from_utf8(bodies.remove(&stream).unwrap()).unwrap();
        assert!(body.starts_with(&format!("GET /{stream} HTTP/1.1\r\n")), "{body}");
    }
}

#[test]
fn a_large_body_goes_there_and_back_through_the_windows() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    let wide = i32::MAX as u32 - 65_535;
    client.send(&Frame::new(WINDOW_UPDATE, 0, 0, wide.to_be_bytes()));
    client.send(&Frame::new(HEADERS, END_HEADERS, 1, with(&[])));
    client.send(&Frame::new(WINDOW_UPDATE, 0, 1, wide.to_be_bytes()));
    let body: Vec<u8> = (0..4 << 20).map(|at: u32| b'a' + (at % 23) as u8).collect();
    // What the server gives room for, as it gives it.
    let (mut of_stream, mut of_connection) = (65_535_usize, 65_535_usize);
    let mut left = &body[..];
    let mut frames = Vec::new();
    while !left.is_empty() {
        let count = of_stream.min(of_connection).min(left.len()).min(16 * 1024);
        if count == 0 {
            let frame = client.next().unwrap();
            let amount = || u32::from_be_bytes(frame.payload[..4].try_into().unwrap()) as usize;
            match (frame.kind, frame.stream) {
                (WINDOW_UPDATE, 0) => of_connection += amount(),
                (WINDOW_UPDATE, 1) => of_stream += amount(),
                (SETTINGS, _) if frame.flags & ACK == 0 => {
                    let window = frame.payload.chunks(6).find(|setting| setting[..2] == [0, 4]).unwrap();
                    of_stream += u32::from_be_bytes(window[2..].try_into().unwrap()) as usize - 65_535;
                }
                (SETTINGS, _) => {}
                _ => frames.push(frame),
            }
            continue;
        }
        client.send(&Frame::new(DATA, 0, 1, &left[..count]));
        (of_stream, of_connection, left) = (of_stream - count, of_connection - count, &left[count..]);
    }
    client.send(&Frame::new(DATA, END_STREAM, 1, []));
    assert!(frames.is_empty(), "{frames:?}");
    let (status, echo) = client.answer(1);
    assert_eq!(status, 200);
    assert!(echo.ends_with(&body));
}

#[test]
fn who_expects_an_invitation_gets_one() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    client.send(&Frame::new(
        HEADERS,
        END_HEADERS,
        1,
        with(&[("expect", "100-continue"), ("content-length", "4")]),
    ));
    // Anything but the usual statuses is written out: this is the invitation.
    assert_eq!(client.outcome(1), Outcome::Answered(0));
    client.send(&Frame::new(DATA, END_STREAM, 1, b"body".to_vec()));
    assert_eq!(client.answer(1).0, 200);
    let (head, _) = only(&stage);
    assert!(!head.iter().any(|line| line.starts_with("expect")), "{head:?}");
}

#[test]
fn a_head_alone_has_no_body() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    let fields = [(":method", "HEAD"), (":scheme", "https"), (":authority", "a.example.com"), (":path", "/")];
    client.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, block(&fields)));
    assert_eq!(client.answer(1), (200, Vec::new()));
    // The balancer's own page is as silent.
    let many = "10.0.0.1, ".repeat(40);
    let own = [&fields[..], &[("x-forwarded-for", &many)]].concat();
    client.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 3, block(&own)));
    // 463 is none of the statuses that `answer` can tell.
    assert_eq!(client.answer(3), (0, Vec::new()));
    assert_eq!(stage.requests().len(), 1);
}

#[test]
fn a_stream_that_is_taken_back_is_not_waited_for() {
    let stage = Stage::deaf();
    let mut client = Client::ready(stage.at);
    for at in 0..300 {
        let stream = 1 + 2 * at;
        client.get(stream, "/");
        // Answered before it is taken back, were the target not deaf.
        client.send(&Frame::new(PING, 0, 0, [0; 8]));
        while client.next().unwrap().kind != PING {}
        if at < 150 {
            client.send(&Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8]));
        } else {
            break;
        }
    }
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let stage = Stage::idle(std::time::Duration::from_secs(1));
    let mut client = Client::ready(stage.at);
    client.get(1, "/");
    assert_eq!(client.answer(1).0, 200);
    assert_eq!(client.outcome(0), Outcome::GoneAway(0));
    // And left, though the client says nothing to it.
    while client.next().is_some() {}
}
