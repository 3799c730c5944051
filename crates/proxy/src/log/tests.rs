use std::collections::BTreeMap;
use std::sync::Mutex;

use core_routing::{Attributes, Kind, Placed, Scheme};

use super::*;

fn balancer(arn: &str) -> Arc<Balancer> {
    Arc::new(Balancer {
        arn: arn.into(),
        generation: 1,
        kind: Kind::Application,
        id: "app/b/1".into(),
        dns_name: "b.test".into(),
        scheme: Scheme::Internal,
        place: Placed {
            account: String::new(),
            region: String::new(),
            vpc: String::new(),
            vpc_cidr: String::new(),
            on_host: true,
            nodes: Vec::new(),
            alias: None,
            security_groups: Vec::new(),
        },
        attributes: Attributes::default(),
        listeners: Vec::new(),
        groups: BTreeMap::new(),
    })
}

#[derive(Default)]
struct Kept(Mutex<Vec<Batch>>);

impl Logs for Kept {
    fn keep(&self, batch: &Batch) {
        self.0.lock().unwrap().push(batch.clone());
    }
}

#[test]
fn lines_come_out_apart_by_balancer_kind_and_destination_and_in_order() {
    let kept = Arc::new(Kept::default());
    let writer = Writer::start(kept.clone()).unwrap();
    let book = writer.book();
    let (one, two) = (balancer("one"), balancer("two"));
    book.write(LogKind::Access, &one, "a", |line| line.push('1'));
    book.write(LogKind::Access, &two, "a", |line| line.push('2'));
    book.write(LogKind::Access, &one, "a", |line| line.push('3'));
    book.write(LogKind::Connection, &one, "a", |line| line.push('4'));
    book.write(LogKind::Access, &one, "b", |line| line.push('5'));
    drop(book);
    drop(writer);
    let mut got: Vec<_> = kept
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|batch| {
            (batch.balancer.arn.to_string(), batch.kind, batch.destination.clone(), batch.lines.clone())
        })
        .collect();
    got.sort_by(|a, b| a.3.cmp(&b.3));
    let expected = [
        ("one", LogKind::Access, "a", "1\n3\n"),
        ("two", LogKind::Access, "a", "2\n"),
        ("one", LogKind::Connection, "a", "4\n"),
        ("one", LogKind::Access, "b", "5\n"),
    ];
    let expected =
        expected.map(|(arn, kind, to, lines)| (arn.to_owned(), kind, to.to_owned(), lines.to_owned()));
    assert_eq!(got, expected);
}

/// Who keeps lines stands still until the test is over: writing never waits for it.
#[test]
fn lines_that_find_no_room_are_dropped_and_counted() {
    struct Stuck(Mutex<std::sync::mpsc::Receiver<()>>);
    impl Logs for Stuck {
        fn keep(&self, _: &Batch) {
            let _ = self.0.lock().unwrap().recv();
        }
    }
    let (free, wait) = sync_channel(0);
    let writer = Writer::start(Arc::new(Stuck(Mutex::new(wait)))).unwrap();
    let book = writer.book();
    let one = balancer("one");
    for _ in 0..BATCHES + 10 {
        book.write(LogKind::Access, &one, "a", |line| line.push('x'));
        book.flush();
    }
    // One is in the keeper's hands, or not yet.
    assert!((9..=10).contains(&writer.dropped()), "{}", writer.dropped());
    drop(free);
    drop(book);
}
