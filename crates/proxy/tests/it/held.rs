//! Requests that wait for a target to come.

use std::io::Write;
use std::net::SocketAddrV4;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use core_routing::Matcher;

use crate::front::{Client, Front, read_request, recording, scripted, target};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A group without targets that holds requests for so long.
fn holding(held_for: Duration) -> Front {
    let mut front = Front::to(&[]);
    front.group(|group| {
        group.held_for = held_for;
        (group.check.port, group.check.unhealthy_after) = (None, 1);
    });
    front
}

fn comes(front: &mut Front, at: SocketAddrV4) {
    front.group(|group| group.targets = vec![target(at)]);
}

#[test]
fn a_request_waits_for_a_target_and_is_told() {
    let mut front = holding(Duration::from_secs(300));
    let mut one = front.client();
    one.send(b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(&*front.asked(), "group");
    let mut other = front.client();
    other.send(REQUEST.as_bytes());
    // Told again while they wait.
    assert_eq!(&*front.asked(), "group");
    let (at, seen) = recording();
    comes(&mut front, at);
    let answer = one.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /one HTTP/1.1 hello"));
    assert_eq!(other.answer().status, 200);
    // Its checks came, and passed, before any of them.
    assert!(seen.requests()[0].line.starts_with("GET /health "), "{:?}", seen.requests());
    // The connection goes on.
    one.send(REQUEST.as_bytes());
    assert_eq!(one.answer().status, 200);
}

#[test]
fn a_new_target_that_fails_its_checks_is_not_waited_for() {
    let mut front = holding(Duration::from_secs(300));
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    front.asked();
    let at = scripted(|mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(request)) = read_request(&mut stream, &mut input) {
            let status = if request.line.contains("/health") { "500 Broken" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    front.group(|group| {
        group.check.matcher = Matcher::Http(vec![(200, 299)]);
        group.targets = vec![target(at)];
    });
    // All are unhealthy: requests fail open, as AWS has it.
    assert_eq!(client.answer().status, 200);
}

#[test]
fn nobody_waits_longer_than_the_group_says() {
    let front = holding(Duration::from_millis(50));
    assert_eq!(front.get("/").status, 503);
}

/// Whoever asked so and left is not asked about when a target comes.
fn check_that_leaves(request: &str) {
    let mut front = holding(Duration::from_secs(300));
    let mut client = front.client();
    client.send(request.as_bytes());
    front.asked();
    client.end();
    // Closed, without a word.
    assert!(client.rest().is_empty());
    let (at, seen) = recording();
    comes(&mut front, at);
    assert_eq!(front.get("/there").status, 200);
    assert!(seen.requests().iter().all(|request| !request.line.contains("/gone")));
}

#[test]
fn a_client_that_leaves_waits_no_more() {
    check_that_leaves("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
}

/// Its body stays unread, and hides its end: that is looked for.
#[test]
fn a_client_that_leaves_with_its_body_unread_waits_no_more() {
    let bodies =
        ["Content-Length: 5\r\n\r\nhello", "Content-Length: 900\r\n\r\nhel", "Content-Length: 5\r\n\r\n"];
    for body in bodies {
        check_that_leaves(&format!("POST /gone HTTP/1.1\r\nHost: a\r\n{body}"));
    }
}

#[test]
fn so_many_wait_and_no_more() {
    let mut front = holding(Duration::from_secs(300));
    let (sender, answered) = sync_channel(2_000);
    for _ in 0..1_025 {
        let (sender, at) = (sender.clone(), front.at);
        let ask = move || {
            let mut client = Client::to(at);
            client.stream.set_read_timeout(None).unwrap();
            client.send(REQUEST.as_bytes());
            let _ = sender.send(client.answer().status);
        };
        std::thread::Builder::new().stack_size(128 << 10).spawn(ask).unwrap();
    }
    drop(sender);
    // All others wait by then.
    assert_eq!(answered.recv().unwrap(), 503);
    comes(&mut front, recording().0);
    let statuses: Vec<_> = answered.iter().collect();
    assert_eq!((statuses.len(), statuses.iter().all(|status| *status == 200)), (1_024, true));
}

#[test]
fn a_plane_that_leaves_and_a_balancer_that_goes_answer_who_waits() {
    for is_close in [true, false] {
        let mut front = holding(Duration::from_secs(300));
        let mut client = front.client();
        client.send(REQUEST.as_bytes());
        front.asked();
        match is_close {
            true => front.close(Duration::from_secs(20)),
            false => front.remove(),
        }
        assert_eq!(client.answer().status, 503);
    }
}

#[test]
fn requests_of_a_group_that_holds_are_told_and_quiet_is_quiet() {
    let (at, _) = recording();
    let (go, gone) = sync_channel::<()>(1);
    let gone = std::sync::Mutex::new(gone);
    let slow = scripted(move |mut stream| {
        let mut input = Vec::new();
        while let Ok(Some(request)) = read_request(&mut stream, &mut input) {
            if !request.line.contains("/health") {
                gone.lock().unwrap().recv().unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let mut front = holding(Duration::from_secs(300));
    let mut client = front.client();
    client.send(REQUEST.as_bytes());
    comes(&mut front, slow);
    // For as long as one is under way.
    (0..3).for_each(|_| assert_eq!(&*front.asked(), "group"));
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "ok");
    // A group that does not hold is nobody's news: of two, the one that does is told.
    front.change(|table| {
        let mut other = crate::front::group("other", &[at]);
        other.held_for = Duration::from_secs(300);
        other.check.port = None;
        table.groups.insert("other".into(), std::sync::Arc::new(other));
        std::sync::Arc::make_mut(table.groups.get_mut("group").unwrap()).held_for = Duration::ZERO;
        table.listeners[0].default.action = crate::front::forward("other");
    });
    assert_eq!(front.get("/").status, 200);
    while &*front.asked() != "other" {}
}
