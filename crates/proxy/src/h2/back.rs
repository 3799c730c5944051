//! A stream to a target as one side of an exchange.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use core_routing::{Fields, Head};
use h2::Reason;
use h2::client::ResponseFuture;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version};

use super::fields;
use super::front::{Body, Incoming, broken};
use super::pool::Lease;
use crate::exchange::{AnswerHead, Fill, Length, Piece, Refusal, Sink, Source};

/// One request's stream to a target.
pub struct Back {
    /// `None`: the request has no body, or it is whole.
    request: Option<Body>,
    response: Answering,
    is_head: bool,
    /// Counts the stream for as long as it is there.
    _lease: Lease,
}

enum Answering {
    Awaited(ResponseFuture),
    Body(Incoming),
}

/// How a request is told to a target.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// As the target is to see it: its fields are final, but for those of a connection, which are
    /// left out, and for what says how long the body is.
    pub head: &'a Head,
    pub length: Length,
    pub https: bool,
    pub grpc: bool,
}

impl Back {
    /// # Errors
    /// The head cannot be told in HTTP/2, or the connection is gone (`ClosedEarly`: nothing was
    /// sent).
    pub fn open(mut lease: Lease, sent: Sent<'_>) -> Result<Self, Refusal> {
        let request = told(sent).ok_or(Refusal::Malformed("the request cannot be told in HTTP/2"))?;
        let is_head = request.method() == Method::HEAD;
        let ends = sent.length == Length::None;
        let opened = lease.send.send_request(request, ends).map_err(|error| match error {
            error if error.get_io().is_none() && !error.is_go_away() => refusal(&error),
            _ => Refusal::ClosedEarly,
        })?;
        let (response, stream) = opened;
        let request = (!ends).then(|| Body::new(stream, sent.length));
        Ok(Back { request, response: Answering::Awaited(response), is_head, _lease: lease })
    }
}

fn told(sent: Sent<'_>) -> Option<Request<()>> {
    let head = sent.head;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if sent.https { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(head.host()?).ok()?);
    uri.path_and_query = Some(PathAndQuery::try_from(head.target()).ok()?);
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(head.method()).ok()?;
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    let map = request.headers_mut();
    map.reserve(head.fields.len() + 2);
    fields::append(map, &head.fields, |name| {
        let about = |of: &str| name.eq_ignore_ascii_case(of.as_bytes());
        about("host") || about("content-length") || about("te") || about("http2-settings")
    });
    let wants_trailers = head.fields.all("te").any(|value| {
        value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    if wants_trailers || sent.grpc {
        map.insert(TE, HeaderValue::from_static("trailers"));
    }
    match sent.length {
        Length::Known(length) => {
            map.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // Some servers want it of methods that usually have a body.
        Length::None if head.fields.get("content-length").is_some() => {
            map.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        Length::None | Length::Unknown => {}
    }
    Some(request)
}

impl Source for Back {
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<Fill>> {
        match &mut self.response {
            Answering::Body(body) => body.poll_fill(cx, into),
            Answering::Awaited(_) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match &self.response {
            Answering::Body(body) => body.trailers(),
            Answering::Awaited(_) => None,
        }
    }
}

impl Sink for Back {
    fn poll_push(&mut self, cx: &mut Context<'_>, piece: &mut Piece) -> Poll<io::Result<()>> {
        let Some(body) = &mut self.request else {
            piece.take(piece.rest().len());
            return Poll::Ready(Ok(()));
        };
        let pushed = ready!(body.poll_push(cx, piece));
        Poll::Ready(pushed.map_err(|error| gone(&error)))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.request.as_mut().map_or(Ok(()), Body::flush);
        Poll::Ready(flushed.map_err(|error| gone(&error)))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<io::Result<()>> {
        let Some(mut body) = self.request.take() else { return Poll::Ready(Ok(())) };
        let finished = body.finish(trailers.filter(|trailers| !trailers.is_empty()));
        Poll::Ready(finished.map_err(|error| gone(&error)))
    }
}

impl crate::exchange::Back for Back {
    fn poll_answer(&mut self, cx: &mut Context<'_>, head: &mut AnswerHead) -> Poll<Result<Length, Refusal>> {
        let Answering::Awaited(awaited) = &mut self.response else {
            return Poll::Ready(Err(Refusal::Malformed("a second answer")));
        };
        match awaited.poll_informational(cx) {
            Poll::Ready(Some(Ok(hint))) => {
                take_in(hint.status(), hint.headers(), head);
                return Poll::Ready(Ok(Length::None));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(refusal(&error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let answer: Response<_> = ready!(Pin::new(awaited).poll(cx)).map_err(|error| refusal(&error))?;
        let (parts, body) = answer.into_parts();
        take_in(parts.status, &parts.headers, head);
        let body = Incoming::new(body);
        let known = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = match known {
            _ if self.is_head || body.is_empty() => Length::None,
            Some(length) => Length::Known(length),
            None => Length::Unknown,
        };
        self.response = Answering::Body(body);
        Poll::Ready(Ok(length))
    }
}

fn take_in(status: http::StatusCode, map: &HeaderMap, head: &mut AnswerHead) {
    head.clear();
    head.status = status.as_u16();
    for (name, value) in map {
        head.fields.add(name.as_str().as_bytes(), value.as_bytes());
    }
}

fn refusal(error: &h2::Error) -> Refusal {
    // Of a connection that a target leaves, or a stream that it refuses, it has seen nothing.
    let untouched =
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    match error {
        _ if untouched => Refusal::ClosedEarly,
        error if error.is_library() => Refusal::Malformed("no HTTP/2"),
        error => Refusal::Broken(broken(error)),
    }
}

fn gone(error: &h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
}
