//! One request and its answer: who answers, what the target is asked, what the client is told.
//!
//! Owns the course of an exchange from a complete request head to the last byte of the answer, for
//! every pair of protocols. Invariant: a target sees exactly one request per exchange, in a framing
//! that this crate wrote. Ignores how heads and bodies look on a wire.

mod choose;
mod compose;
mod finish;
mod forward;
mod hold;
mod own;
mod pump;
mod relay;
mod seam;
mod tell;

use std::future::poll_fn;

use core_routing::desync::Verdict;
use core_routing::{Head, HeaderRules, limits};
use tokio::time::Instant;

pub(crate) use own::unencrypted;
pub use seam::{AnswerHead, Back, Fill, Front, Length, Piece, Refusal, Sink, Source};

use crate::arrival::Arrival;
use crate::table::Here;
use crate::watch::Watched;
use choose::Choice;
use finish::Story;

/// Bytes of a head for which memory is not kept.
const LARGE_HEAD: usize = 4 * 1024;

/// What an exchange works on, reused from one to the next.
pub struct Desk {
    pub request: Head,
    pub answer: AnswerHead,
    /// What desync mitigation made of the request.
    pub verdict: Verdict,
    /// The connection to the target serves no other request.
    pub closes_target: bool,
    /// When the first byte of the request was looked at.
    began_at: Instant,
    /// The request as it goes on, in HTTP/2's form.
    outgoing: Head,
    texts: Texts,
    watched: Option<Watched>,
}

/// Texts that are made on the way.
#[derive(Default)]
pub struct Texts {
    pub scratch: Vec<u8>,
    /// `X-Amzn-Trace-Id` as it goes on.
    pub trace: Vec<u8>,
    /// What transforms made of host and URL.
    pub host: Option<Vec<u8>>,
    pub target: Option<Vec<u8>>,
}

impl Default for Desk {
    fn default() -> Self {
        Desk {
            request: Head::default(),
            answer: AnswerHead::default(),
            verdict: Verdict::default(),
            closes_target: false,
            began_at: Instant::now(),
            outgoing: Head::default(),
            texts: Texts::default(),
            watched: None,
        }
    }
}

impl Desk {
    /// It has grown beyond what requests usually need.
    pub fn is_large(&self) -> bool {
        let all = [&self.request.fields, &self.outgoing.fields, &self.answer.fields];
        all.iter().any(|fields| fields.capacity() > LARGE_HEAD)
    }

    /// The first bytes of a request are there.
    pub fn begun(&mut self) {
        self.began_at = Instant::now();
        (self.verdict, self.closes_target) = (Verdict::default(), false);
    }
}

/// How an exchange ended for the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may come.
    Keep,
    /// The answer is complete; nothing more is read.
    Close,
    /// The answer is not complete, or the client is gone.
    Abort,
}

/// Runs one exchange whose head is in `desk.request`.
pub async fn exchange<F: Front>(front: &mut F, desk: &mut Desk, arrival: &Arrival) -> After {
    let mut here = arrival.table();
    let mut story = Story::default();
    let after = match choose::look(&desk.request) {
        Err(status) => own(front, desk, arrival, &here, status, &mut story).await,
        Ok(asked) => {
            let (choice, rule) = choose::choose(&asked, arrival, &here, &mut desk.texts);
            story.rule = rule.map(|rule| rule.priority);
            match choice {
                Choice::Hold(group) => {
                    // Rare, and long: in a box.
                    let held = Box::pin(hold::hold(front, desk, arrival, group, &mut story)).await;
                    here = held.1;
                    held.0
                }
                choice => act(front, desk, arrival, &here, choice, &mut story).await,
            }
        }
    };
    tell::tell(&story, desk, arrival, &here);
    after
}

/// Answers a request that could not be read with that status.
pub async fn refuse<F: Front>(front: &mut F, desk: &mut Desk, arrival: &Arrival, status: u16) -> After {
    let here = arrival.table();
    let mut story = Story::default();
    let after = own(front, desk, arrival, &here, status, &mut story).await;
    tell::tell(&story, desk, arrival, &here);
    after
}

async fn act<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    choice: Choice<'_>,
    story: &mut Story,
) -> After {
    let worker = &arrival.worker;
    match choice {
        Choice::Own(status) => own(front, desk, arrival, here, status, story).await,
        // Who has waited is not sent to wait again.
        Choice::Hold(_) => own(front, desk, arrival, here, 503, story).await,
        Choice::Fixed(fixed) => {
            story.action = finish::Action::Fixed;
            let page = own::fixed(worker, fixed, rules(here, arrival), &mut desk.answer);
            say(front, desk, arrival, &page, story).await
        }
        Choice::Redirect { location, .. } if location.len() > limits::LOCATION_BYTES => {
            story.is_redirect_too_long = true;
            own(front, desk, arrival, here, 500, story).await
        }
        Choice::Redirect { status, location } => {
            story.action = finish::Action::Redirect;
            let page = own::redirect(worker, status, &location, rules(here, arrival), &mut desk.answer);
            story.redirect_url = Some(location);
            say(front, desk, arrival, &page, story).await
        }
        Choice::Forward(chosen) => {
            story.action = finish::Action::Forward;
            match forward::forward(front, desk, arrival, here, chosen, story).await {
                forward::Ended::Answered(after) => after,
                forward::Ended::Own(status) => own(front, desk, arrival, here, status, story).await,
            }
        }
    }
}

static NO_RULES: HeaderRules = HeaderRules {
    renamed: std::collections::BTreeMap::new(),
    set: std::collections::BTreeMap::new(),
    hides_server: false,
};

fn rules<'a>(here: &'a Here, arrival: &Arrival) -> &'a HeaderRules {
    here.served.listener(arrival.port).map_or(&NO_RULES, |(listener, _)| &listener.headers)
}

/// An answer with AWS's page.
async fn own<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    status: u16,
    story: &mut Story,
) -> After {
    story.own_status = Some(status);
    // AWS: the client is not there to hear it.
    if status == 460 {
        return After::Abort;
    }
    if matches!(status, 400 | 408 | 505) {
        front.close_after();
    }
    let page = own::status(&arrival.worker, status, rules(here, arrival), &mut desk.answer);
    say(front, desk, arrival, &page, story).await
}

/// Says an answer of our own. A request whose body has not been read is the connection's last: to
/// read on for nobody is what a client could keep us busy with.
async fn say<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    page: &[u8],
    story: &mut Story,
) -> After {
    let has_body = front.length() != Length::None;
    if has_body {
        front.close_after();
    }
    let (length, page) = match desk.request.method() {
        // The page is only measured.
        b"HEAD" => {
            let text = page.len().to_string();
            desk.answer.fields.add(b"Content-Length", text.as_bytes());
            (Length::None, &[][..])
        }
        _ => (own::length(page, desk.answer.status), page),
    };
    story.status = Some(desk.answer.status);
    story.down_bytes = page.len() as u64;
    if arrival.is_over() {
        front.close_after();
    }
    front.answer(&desk.answer, length);
    let mut piece = Piece::new(page.to_vec());
    let said = poll_fn(|cx| {
        std::task::ready!(front.poll_push(cx, &mut piece))?;
        front.poll_finish(cx, None)
    });
    match said.await {
        Ok(()) if has_body => After::Close,
        Ok(()) => After::Keep,
        Err(_) => After::Abort,
    }
}
