//! What RFC 9113 demands of a server that is sent something wrong, and what floods come to.

use crate::h2_stage::Stage;
use crate::h2_wire::*;

const CONNECTION: u32 = 0;

/// Sends `frames` and reads what is said of `stream`; any of `expected` will do. Afterwards others
/// are served as before.
fn check(stage: &Stage, what: &str, frames: &[Frame], stream: u32, expected: &[Outcome]) {
    let mut client = Client::ready(stage.at);
    frames.iter().for_each(|frame| client.send(frame));
    let outcome = client.outcome(stream);
    assert!(expected.contains(&outcome), "{what}: {outcome:?}");
}

fn goes_away(code: u32) -> Vec<Outcome> {
    // Without a word is as good where the connection is lost: the word may be overtaken by a reset.
    vec![Outcome::GoneAway(code), Outcome::Closed]
}

/// As [`goes_away`], or with the general code: the library tells a size, a window or a block that is
/// wrong apart from other mistakes in some places only. The connection ends in any case.
fn goes_away_for(code: u32) -> Vec<Outcome> {
    [goes_away(code), goes_away(PROTOCOL_ERROR)].concat()
}

fn request(stream: u32, flags: u8) -> Frame {
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a.example.com"), (":path", "/")];
    Frame::new(HEADERS, flags, stream, block(&fields))
}

#[test]
fn a_wrong_preface_is_no_connection() {
    let stage = Stage::http1();
    for wrong in [&b"GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let mut client = Client::connect(stage.at);
        client.write(wrong);
        let outcome = client.outcome(CONNECTION);
        assert!(goes_away(PROTOCOL_ERROR).contains(&outcome), "{outcome:?}");
    }
    stage.serves();
}

#[test]
fn frames_on_wrong_streams_end_the_connection() {
    let stage = Stage::http1();
    let protocol = goes_away(PROTOCOL_ERROR);
    let body = |stream| Frame::new(DATA, 0, stream, b"x".to_vec());
    let cases = [
        ("DATA on the connection", vec![body(0)]),
        ("HEADERS on the connection", vec![request(0, END_STREAM | END_HEADERS)]),
        ("PRIORITY on the connection", vec![Frame::new(PRIORITY, 0, 0, [0; 5])]),
        ("RST_STREAM on the connection", vec![Frame::new(RST_STREAM, 0, 0, [0; 4])]),
        ("SETTINGS on a stream", vec![Frame::new(SETTINGS, 0, 1, [])]),
        ("PING on a stream", vec![Frame::new(PING, 0, 1, [0; 8])]),
        ("GOAWAY on a stream", vec![Frame::new(GOAWAY, 0, 1, [0; 8])]),
        ("DATA on an idle stream", vec![body(1)]),
        ("RST_STREAM on an idle stream", vec![Frame::new(RST_STREAM, 0, 1, [0; 4])]),
        ("WINDOW_UPDATE on an idle stream", vec![Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])]),
        ("an even stream", vec![request(2, END_STREAM | END_HEADERS)]),
        ("a push", vec![Frame::new(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2])]),
        ("CONTINUATION of nothing", vec![Frame::new(CONTINUATION, END_HEADERS, 1, [])]),
    ];
    for (what, frames) in cases {
        check(&stage, what, &frames, CONNECTION, &protocol);
    }
    let smaller = [request(5, END_STREAM | END_HEADERS), request(3, END_STREAM | END_HEADERS)];
    let either = [goes_away(PROTOCOL_ERROR), goes_away(STREAM_CLOSED)].concat();
    check(&stage, "a smaller stream", &smaller, CONNECTION, &either);
    stage.serves();
}

#[test]
fn frames_of_wrong_sizes_end_the_connection() {
    let stage = Stage::http1();
    let size = goes_away_for(FRAME_SIZE_ERROR);
    let cases = [
        ("SETTINGS of 5", Frame::new(SETTINGS, 0, 0, [0; 5])),
        ("SETTINGS acknowledged with content", Frame::new(SETTINGS, ACK, 0, [0; 6])),
        ("PING of 7", Frame::new(PING, 0, 0, [0; 7])),
        ("RST_STREAM of 3", Frame::new(RST_STREAM, 0, 1, [0; 3])),
        ("WINDOW_UPDATE of 3", Frame::new(WINDOW_UPDATE, 0, 0, [0; 3])),
        ("a frame beyond the maximum", Frame::new(DATA, 0, 1, vec![0; 16 * 1024 + 1])),
    ];
    for (what, frame) in cases {
        let frames = [request(1, END_HEADERS), frame];
        check(&stage, what, &frames, CONNECTION, &size);
    }
    stage.serves();
}

#[test]
fn settings_have_their_ranges() {
    let stage = Stage::http1();
    let setting = |id: u16, value: u32| {
        Frame::new(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    let cases = [
        ("ENABLE_PUSH of 2", setting(2, 2), PROTOCOL_ERROR),
        ("a window beyond the largest", setting(4, 1 << 31), FLOW_CONTROL_ERROR),
        ("frames below the smallest maximum", setting(5, 1000), PROTOCOL_ERROR),
        ("frames beyond the largest maximum", setting(5, 1 << 24), PROTOCOL_ERROR),
    ];
    for (what, frame, code) in cases {
        check(&stage, what, &[frame], CONNECTION, &goes_away_for(code));
    }
    // What is not known is ignored.
    let mut client = Client::ready(stage.at);
    client.send(&setting(0x7777, 7));
    client.send(&Frame::new(0x77, 0xff, 0, b"what".to_vec()));
    client.get(1, "/");
    assert_eq!(client.answer(1).0, 200);
}

#[test]
fn header_blocks_are_whole_and_can_be_read() {
    let stage = Stage::http1();
    let protocol = goes_away(PROTOCOL_ERROR);
    let begun = request(1, END_STREAM);
    let cases = [
        ("DATA within a block", vec![begun.clone(), Frame::new(DATA, 0, 1, [])], &protocol),
        ("PING within a block", vec![begun.clone(), Frame::new(PING, 0, 0, [0; 8])], &protocol),
        (
            "another stream's block within one",
            vec![begun.clone(), Frame::new(CONTINUATION, END_HEADERS, 3, [])],
            &protocol,
        ),
        ("padding of all", vec![Frame::new(HEADERS, PADDED | END_HEADERS, 1, [5, 0, 0])], &protocol),
        (
            "an index of nothing",
            vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [0x80])],
            &goes_away_for(COMPRESSION_ERROR),
        ),
        (
            "an index beyond the table",
            vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [0xff, 0x7f])],
            &goes_away_for(COMPRESSION_ERROR),
        ),
        (
            "a text that ends early",
            vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [0, 0x20, b'a'])],
            &goes_away_for(COMPRESSION_ERROR),
        ),
    ];
    for (what, frames, expected) in cases {
        check(&stage, what, &frames, CONNECTION, expected);
    }
    // In as many pieces as one likes, within reason.
    let mut client = Client::ready(stage.at);
    let whole = request(1, 0);
    let pieces: Vec<_> = whole.payload.chunks(20).collect();
    let last = pieces.len() - 1;
    for (at, piece) in pieces.into_iter().enumerate() {
        let (kind, first) = if at == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        let flags = first | if at == last { END_HEADERS } else { 0 };
        client.send(&Frame::new(kind, flags, 1, piece));
    }
    assert_eq!(client.answer(1).0, 200);
}

#[test]
fn windows_are_kept() {
    let stage = Stage::http1();
    let update = |stream, by: u32| Frame::new(WINDOW_UPDATE, 0, stream, by.to_be_bytes());
    check(&stage, "the connection's by nothing", &[update(0, 0)], CONNECTION, &goes_away(PROTOCOL_ERROR));
    check(
        &stage,
        "the connection's beyond all",
        &[update(0, i32::MAX as u32)],
        CONNECTION,
        &goes_away(FLOW_CONTROL_ERROR),
    );
    let open = request(1, END_HEADERS);
    let reset = |code| [vec![Outcome::Reset(code)], goes_away(code)].concat();
    check(&stage, "a stream's by nothing", &[open.clone(), update(1, 0)], 1, &reset(PROTOCOL_ERROR));
    check(
        &stage,
        "a stream's beyond all",
        &[open, update(1, i32::MAX as u32)],
        1,
        &reset(FLOW_CONTROL_ERROR),
    );

    // A client that sends more than it was given room for, to a target that reads nothing.
    let stage = Stage::deaf();
    let mut client = Client::ready(stage.at);
    client.send(&request(1, END_HEADERS));
    for _ in 0..2048 {
        client.send(&Frame::new(DATA, 0, 1, vec![0; 16 * 1024]));
    }
    let outcome = client.outcome(1);
    assert!(reset(FLOW_CONTROL_ERROR).contains(&outcome), "{outcome:?}");
}

#[test]
fn streams_that_are_over_take_nothing_more() {
    let stage = Stage::deaf();
    let over =
        [vec![Outcome::Reset(STREAM_CLOSED)], goes_away(STREAM_CLOSED), goes_away(PROTOCOL_ERROR)].concat();
    let whole = request(1, END_STREAM | END_HEADERS);
    check(&stage, "DATA after the end", &[whole.clone(), Frame::new(DATA, 0, 1, b"x".to_vec())], 1, &over);
    check(&stage, "HEADERS after the end", &[whole.clone(), whole], 1, &over);
    let trailers = Frame::new(HEADERS, END_HEADERS, 1, block(&[("x-after", "body")]));
    let malformed = [vec![Outcome::Reset(PROTOCOL_ERROR)], goes_away(PROTOCOL_ERROR)].concat();
    check(&stage, "trailers that are not the end", &[request(1, END_HEADERS), trailers], 1, &malformed);
}

#[test]
fn there_are_at_most_as_many_streams_as_were_told() {
    const REFUSED_STREAM: u32 = 7;
    let stage = Stage::deaf();
    let mut client = Client::connect(stage.at);
    client.write(PREFACE);
    client.send(&Frame::new(SETTINGS, 0, 0, []));
    let told = client.next().unwrap();
    let limit = told.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(limit[2..], 128_u32.to_be_bytes());
    for stream in 0..129 {
        client.get(1 + 2 * stream, "/");
    }
    let refused =
        [Outcome::Reset(REFUSED_STREAM), Outcome::Reset(PROTOCOL_ERROR), Outcome::GoneAway(PROTOCOL_ERROR)];
    let outcome = client.outcome(1 + 2 * 128);
    assert!(refused.contains(&outcome), "{outcome:?}");
}

#[test]
fn a_ping_is_answered() {
    let stage = Stage::http1();
    let mut client = Client::ready(stage.at);
    client.send(&Frame::new(PING, 0, 0, *b"12345678"));
    let pong = std::iter::from_fn(|| client.next()).find(|frame| frame.kind == PING).unwrap();
    assert_eq!((pong.flags, pong.payload.as_slice()), (ACK, &b"12345678"[..]));
}

#[test]
fn malformed_requests_reach_no_target() {
    let stage = Stage::http1();
    let corpus: Vec<(String, Vec<(String, String)>)> =
        serde_json::from_str(include_str!("data/h2_malformed.json")).unwrap();
    for (what, fields) in corpus {
        let fields: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut client = Client::ready(stage.at);
        client.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, raw_block(&fields)));
        let outcome = client.outcome(1);
        let refused =
            [Outcome::Reset(PROTOCOL_ERROR), Outcome::Answered(400), Outcome::GoneAway(PROTOCOL_ERROR)];
        assert!(refused.contains(&outcome), "{what}: {outcome:?}");
    }
    assert_eq!(stage.requests(), Vec::<String>::new());
    stage.serves();
}

#[test]
fn a_body_is_as_long_as_was_said() {
    for said in ["3", "5", "0", "4, 4", "+4", "0x4", "99999999999999999999"] {
        let stage = Stage::http1();
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "a.example.com"),
            (":path", "/"),
            ("content-length", said),
        ];
        let mut client = Client::ready(stage.at);
        client.send(&Frame::new(HEADERS, END_HEADERS, 1, block(&fields)));
        if said.parse::<u8>().is_ok_and(|_| !said.starts_with('+')) {
            // The head is right. It has been read once the ping is answered: the body comes alone.
            client.send(&Frame::new(PING, 0, CONNECTION, [7; 8]));
            while client.next().expect("the connection stands").kind != PING {}
        }
        client.send(&Frame::new(DATA, END_STREAM, 1, b"body".to_vec()));
        let outcome = client.outcome(1);
        let refused =
            [Outcome::Reset(PROTOCOL_ERROR), Outcome::Answered(400), Outcome::GoneAway(PROTOCOL_ERROR)];
        assert!(refused.contains(&outcome), "{said}: {outcome:?}");
        // What began to arrive may have begun to leave, but never as a whole request.
        assert_eq!(stage.requests(), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn floods_are_ended_and_others_are_served() {
    let stage = Stage::http1();
    let flood = |what: &str, frames: &mut dyn Iterator<Item = Frame>| {
        let mut client = Client::ready(stage.at);
        for frame in frames {
            client.send(&frame);
        }
        let outcome = client.outcome(CONNECTION);
        assert!(matches!(outcome, Outcome::GoneAway(_) | Outcome::Closed), "{what}: {outcome:?}");
        stage.serves();
    };
    let junk = block(&[("x-junk", &"j".repeat(4000))]);
    let endless = std::iter::once(request(1, END_STREAM))
        .chain((0..10_000).map(|_| Frame::new(CONTINUATION, 0, 1, junk.clone())));
    flood("CONTINUATION without an end", &mut { endless });
    let empty = std::iter::once(request(1, END_STREAM))
        .chain((0..100_000).map(|_| Frame::new(CONTINUATION, 0, 1, [])));
    flood("empty CONTINUATION", &mut { empty });
    let rapid = (0..20_000).flat_map(|at| {
        let stream = 1 + 2 * at;
        [request(stream, END_STREAM | END_HEADERS), Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8])]
    });
    flood("rapid reset", &mut { rapid });
    let nothing =
        std::iter::once(request(1, END_HEADERS)).chain((0..200_000).map(|_| Frame::new(DATA, 0, 1, [])));
    flood("empty DATA", &mut { nothing });
}

#[test]
fn large_heads_are_refused() {
    let stage = Stage::http1();
    let base = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example.com"), (":path", "/")];
    // One field that is indexed, and then named ten thousand times.
    let mut bomb = block(&base);
    bomb.extend([0x40, 6]);
    bomb.extend(b"x-bomb");
    bomb.extend([0x7f, 0x81, 0x1e]);
    bomb.extend(vec![b'b'; 3968]);
    bomb.extend(vec![0xbe; 10_000]);
    let mut client = Client::ready(stage.at);
    client.send(&Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, bomb));
    let outcome = client.outcome(1);
    assert!(!matches!(outcome, Outcome::Answered(200)), "{outcome:?}");
    stage.serves();
    assert_eq!(stage.requests().len(), 1);
}
