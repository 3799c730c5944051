//! Reading layers and configurations, whole or by range.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use blobs::{BlobReader, Digest};
use bytes::Bytes;
use gateway::Body;
use http::HeaderMap;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use hyper::{Response, StatusCode};
use service_ecr::{Content, Registry};
use tokio::sync::mpsc;

use crate::answer::{Answer, CONTENT_DIGEST, Refusal, put, status};

/// Chunks that wait for a slow client.
const QUEUE: usize = 4;

pub fn get(
    content: &Content,
    registry: &Registry,
    name: &str,
    digest: &str,
    headers: &HeaderMap,
    is_head: bool,
) -> Answer {
    let digest = parse_digest(digest)?;
    let size = content.layer(registry, name, &digest)?;
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (code, range) = match range.and_then(|text| parse_range(text, size)) {
        None => (StatusCode::OK, 0..size),
        Some(Ok(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Err(())) => {
            let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
            put(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let length = range.end - range.start;
    let shown = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    let mut response = if is_head {
        status(code)
    } else {
        let reader = content.blobs().read(&digest, Some(range)).map_err(|error| {
            tracing::error!(%error, %digest, "a recorded layer cannot be read");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "The layer cannot be read")
        })?;
        let mut response = Response::new(stream(reader, length));
        *response.status_mut() = code;
        response
    };
    put(&mut response, CONTENT_LENGTH, &length.to_string());
    put(&mut response, CONTENT_TYPE, "application/octet-stream");
    put(&mut response, ACCEPT_RANGES, "bytes");
    put(&mut response, CONTENT_DIGEST, &digest.to_string());
    if code == StatusCode::PARTIAL_CONTENT {
        put(&mut response, CONTENT_RANGE, &shown);
    }
    Ok(response)
}

pub fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error))
}

/// One range of bytes; anything more exotic is ignored, as RFC 9110 allows.
fn parse_range(text: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.parse::<u64>().ok(), to.parse::<u64>().ok()) {
        (Some(from), None) if to.is_empty() => from..size,
        (Some(from), Some(to)) if from <= to => from..size.min(to.saturating_add(1)),
        (None, Some(last)) if from.is_empty() => size.saturating_sub(last)..size,
        _ => return None,
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

fn stream(mut reader: BlobReader, remaining: u64) -> Body {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        loop {
            let chunk = match reader.next().await {
                Ok(Some(chunk)) => Ok(chunk),
                Ok(None) => return,
                Err(error) => Err(std::io::Error::other(error)),
            };
            // The client is gone: nobody reads on.
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    Chunks { receiver, remaining }.boxed_unsync()
}

struct Chunks {
    receiver: mpsc::Receiver<std::io::Result<Bytes>>,
    remaining: u64,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.receiver.poll_recv(cx).map(|chunk| {
            let chunk = chunk?;
            if let Ok(bytes) = &chunk {
                self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
            }
            Some(chunk.map(Frame::data))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges() {
        let check = |text: &str, expected: Option<Result<std::ops::Range<u64>, ()>>| {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        };
        check("bytes=0-9", Some(Ok(0..10)));
        check("bytes=90-", Some(Ok(90..100)));
        check("bytes=90-1000", Some(Ok(90..100)));
        check("bytes=-10", Some(Ok(90..100)));
        check("bytes=100-", Some(Err(())));
        check("bytes=-0", Some(Err(())));
        check("bytes=9-0", None);
        check("bytes=0-1,3-4", None);
        check("lines=0-1", None);
        check("bytes=", None);
    }
}
