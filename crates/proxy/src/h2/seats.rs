//! Streams under way on one connection.
//!
//! What runs a stream is large, and most streams are short, so seats outlive streams: one that was
//! left takes the next stream in, and only where all are taken a new one is made.
//!
//! Invariant: a stream that was given is run to its end, or dropped with all of them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;

/// Seats that a connection without a stream keeps.
const KEPT: usize = 4;

/// A stream as it was accepted.
pub type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// How a stream ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// The client took it back.
    pub was_reset: bool,
}

/// Where one stream after the other is run.
pub struct Seat {
    given: RefCell<Option<Accepted>>,
    is_dismissed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    ended: Rc<RefCell<Vec<(Rc<Seat>, Ended)>>>,
}

impl Seat {
    /// The next stream; `None`: there is none any more.
    pub async fn next(&self) -> Option<Accepted> {
        poll_fn(|cx| {
            if let Some(accepted) = self.given.borrow_mut().take() {
                return Poll::Ready(Some(accepted));
            }
            if self.is_dismissed.get() {
                return Poll::Ready(None);
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub fn end(self: &Rc<Self>, ended: Ended) {
        self.ended.borrow_mut().push((self.clone(), ended));
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// All seats of a connection; `make` makes what runs the streams that a seat is given.
pub struct Seats<F, M> {
    make: M,
    running: FuturesUnordered<F>,
    free: Vec<Rc<Seat>>,
    ended: Rc<RefCell<Vec<(Rc<Seat>, Ended)>>>,
}

impl<F: Future<Output = ()>, M: Fn(Rc<Seat>) -> F> Seats<F, M> {
    pub fn new(make: M) -> Self {
        Seats { make, running: FuturesUnordered::new(), free: Vec::new(), ended: Rc::default() }
    }

    pub fn give(&mut self, accepted: Accepted) {
        if let Some(seat) = self.free.pop() {
            *seat.given.borrow_mut() = Some(accepted);
            seat.wake();
            return;
        }
        let seat = Seat {
            given: RefCell::new(Some(accepted)),
            is_dismissed: Cell::new(false),
            waker: RefCell::new(None),
            ended: self.ended.clone(),
        };
        self.running.push((self.make)(Rc::new(seat)));
    }

    /// Whether no stream is under way.
    pub fn are_empty(&self) -> bool {
        self.running.len() == self.free.len()
    }

    /// Runs what can go on, and says which streams have ended.
    pub fn poll(&mut self, cx: &mut Context<'_>, mut each: impl FnMut(Ended)) {
        // What comes out of it are seats that were dismissed.
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
        for (seat, ended) in self.ended.borrow_mut().drain(..) {
            each(ended);
            self.free.push(seat);
        }
        if self.free.len() > KEPT && self.are_empty() {
            for seat in self.free.drain(KEPT..) {
                seat.is_dismissed.set(true);
                seat.wake();
            }
            while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
        }
    }
}
