//! The journal through its door, on a directory of its own per test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod damage;
mod full;
mod order;
mod space;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use journal::{Event, Journal, Options, Page, Query};

/// Small segments, so that tests cross their borders.
const SMALL: Options = Options { segment_bytes: 4096 };

fn event(timestamp_ms: i64, text: &str) -> Event {
    Event { timestamp_ms, offset: 0, bytes: text.as_bytes().to_vec() }
}

fn put(journal: &Journal, stream: &str, timestamp_ms: i64, text: &str) {
    journal.append_blocking(stream, None, timestamp_ms, vec![event(timestamp_ms, text)]).unwrap();
}

fn texts(page: &Page) -> Vec<String> {
    page.events.iter().map(|event| String::from_utf8(event.bytes.clone()).unwrap()).collect()
}

fn all(journal: &Journal, stream: &str) -> Vec<String> {
    let query = Query { limit: usize::MAX, limit_bytes: usize::MAX, ..Query::default() };
    texts(&journal.read(stream, &query).unwrap())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future on this thread: the journal needs no runtime of its own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
