//! Answers that the balancer gives by itself.

use core_routing::headers::{SERVER, own_page, own_reason};
use core_routing::{FixedResponse, HeaderRules};

use super::seam::{AnswerHead, Length};
use crate::worker::Worker;

/// Writes the head of an answer that AWS's balancer gives by itself, and returns the page that goes
/// with it.
pub fn status(worker: &Worker, status: u16, rules: &HeaderRules, head: &mut AnswerHead) -> Vec<u8> {
    let page = own_page(status).unwrap_or_default().into_bytes();
    begin(worker, status, own_reason(status).unwrap_or_default(), rules, head);
    head.fields.add(b"Content-Type", b"text/html");
    page
}

/// A fixed response. AWS: without a content type it is plain text.
pub fn fixed(worker: &Worker, fixed: &FixedResponse, rules: &HeaderRules, head: &mut AnswerHead) -> Vec<u8> {
    begin(worker, fixed.status, "", rules, head);
    let kind = fixed.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
    head.fields.add(b"Content-Type", kind.as_bytes());
    fixed.body.to_vec()
}

/// A redirect.
pub fn redirect(
    worker: &Worker,
    status: u16,
    location: &[u8],
    rules: &HeaderRules,
    head: &mut AnswerHead,
) -> Vec<u8> {
    let reason = crate::h1::usual_reason(status);
    begin(worker, status, "", rules, head);
    head.fields.add(b"Content-Type", b"text/html");
    head.fields.add(b"Location", location);
    let page = format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {reason}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    page.into_bytes()
}

fn begin(worker: &Worker, status: u16, reason: &str, rules: &HeaderRules, head: &mut AnswerHead) {
    head.clear();
    head.status = status;
    head.reason.push_str(reason);
    if !rules.hides_server {
        head.fields.add(b"Server", SERVER.as_bytes());
    }
    worker.with_date(|date| head.fields.add(b"Date", date));
    for (name, value) in &rules.set {
        head.fields.add(name.as_bytes(), value.as_bytes());
    }
}

/// What the head says of the page's length.
pub fn length(page: &[u8], status: u16) -> Length {
    match (page.len() as u64, status) {
        (0, _) | (_, 204 | 304) => Length::None,
        (length, _) => Length::Known(length),
    }
}

/// All that is said to a client that speaks HTTP where TLS is spoken.
pub fn unencrypted(worker: &Worker) -> Vec<u8> {
    // AWS: the one page with a sentence below its heading.
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
                <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n\
                <center>The plain HTTP request was sent to HTTPS port</center>\r\n</body>\r\n</html>\r\n";
    let mut date = String::new();
    worker.with_date(|now| date.push_str(&String::from_utf8_lossy(now)));
    let length = page.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nServer: {SERVER}\r\nDate: {date}\r\nContent-Type: text/html\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    )
    .into_bytes()
}
