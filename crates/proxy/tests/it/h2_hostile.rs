//! Targets that speak HTTP/2 wrongly: each request has its answer, and none of them hangs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use core_routing::{Protocol, Version};

use crate::h2_stage::{Seen, Stage};
use crate::h2_wire::*;

/// What a target says to every request.
type Says = fn(u32) -> Vec<u8>;

fn well(stream: u32) -> Vec<u8> {
    Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, [0x88]).bytes()
}

const WRONG: [(&str, Says); 9] = [
    ("no HTTP/2", |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ("zeros", |_| vec![0; 100_000]),
    ("a stream that nobody opened", |_| Frame::new(HEADERS, END_HEADERS, 99, [0x88]).bytes()),
    ("a body before its head", |stream| Frame::new(DATA, END_STREAM, stream, *b"body").bytes()),
    ("a head without a status", |stream| {
        Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, block(&[("x-a", "b")])).bytes()
    }),
    ("a head beyond all bounds", |stream| {
        let junk = block(&[("x-junk", &"j".repeat(16_000))]);
        let mut all = Frame::new(HEADERS, END_STREAM, stream, [0x88]).bytes();
        (0..100).for_each(|_| all.extend(Frame::new(CONTINUATION, 0, stream, junk.clone()).bytes()));
        all
    }),
    ("a block that cannot be read", |stream| {
        Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, [0x80]).bytes()
    }),
    ("a window beyond the largest", |_| Frame::new(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]).bytes()),
    ("a refusal of every stream", |stream| Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 7]).bytes()),
];

/// Answers as `says` has it at the time; 0 is well.
fn start(says: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let says = says.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let says = says.clone();
            std::thread::spawn(move || speak(&mut stream.unwrap(), &says));
        }
    });
    port
}

/// Until the balancer closes.
fn speak(stream: &mut TcpStream, says: &AtomicUsize) -> Option<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).ok()?;
    stream.write_all(&Frame::new(SETTINGS, 0, 0, []).bytes()).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, s1, s2, s3, s4] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).ok()?;
        let at = u32::from_be_bytes([s1, s2, s3, s4]);
        match kind {
            HEADERS => {
                let said = match says.load(Ordering::SeqCst) {
                    0 => well(at),
                    wrong => WRONG[wrong - 1].1(at),
                };
                stream.write_all(&said).ok()?;
            }
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&Frame::new(SETTINGS, ACK, 0, []).bytes()).ok()?
            }
            _ => {}
        }
    }
}

#[test]
fn wrong_answers_are_bad_gateways() {
    let says = Arc::new(AtomicUsize::new(0));
    let stage = Stage::before(start(&says), Version::Http2, Protocol::Http, Seen::default());
    for (at, (what, _)) in WRONG.iter().enumerate() {
        let mut client = Client::ready(stage.at);
        says.store(at + 1, Ordering::SeqCst);
        client.get(1, "/");
        // 502 stands in no table: it is written out.
        assert_eq!(client.outcome(1), Outcome::Answered(0), "{what}");
        says.store(0, Ordering::SeqCst);
        client.get(3, "/");
        assert_eq!(client.answer(3).0, 200, "after {what}");
    }
}
