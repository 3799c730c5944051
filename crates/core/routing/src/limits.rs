//! How large things may be, with the page that says so.
//!
//! AWS: "Quotas for your Application Load Balancers" (HTTP headers) and "Troubleshoot your
//! Application Load Balancers" (413, 414, 502) in the ELB user guide.

/// `METHOD target HTTP/1.1`, without its line end; a longer one is answered 414.
pub const REQUEST_LINE_BYTES: usize = 16 * 1024;
/// One header line of a request, name and value; a longer one is answered 400.
pub const REQUEST_HEADER_BYTES: usize = 16 * 1024;
/// All header lines of a request; more are answered 400.
pub const REQUEST_HEADERS_BYTES: usize = 64 * 1024;
/// All header lines of a target's answer; more become 502.
pub const RESPONSE_HEADERS_BYTES: usize = 32 * 1024;
/// How many header lines are looked at. A bound of our own: 64 KiB of the shortest lines would be
/// 13,000, and no client in earnest sends 200.
pub const HEADER_LINES: usize = 256;
/// AWS: more addresses than these in `X-Forwarded-For` are answered 463.
pub const FORWARDED_ADDRESSES: usize = 30;
/// A longer method is answered 405. AWS says so of classic balancers, and nothing of others.
pub const METHOD_BYTES: usize = 127;
/// AWS: a redirect's location; a longer one is counted (`HTTP_Redirect_Url_Limit_Exceeded_Count`)
/// and not sent.
pub const LOCATION_BYTES: usize = 8 * 1024;
/// Bytes of an answer that a fixed response may have (`MessageBody`).
pub const FIXED_BODY_BYTES: usize = 1024;
/// A condition's value.
pub const CONDITION_VALUE_CHARS: usize = 128;
/// HTTP/2 streams that a client may have open at once on one connection ("Listeners for your
/// Application Load Balancers").
pub const CLIENT_STREAMS: u32 = 128;
/// Requests on one client connection. A bound of our own, so that what a connection holds is given
/// back now and then.
pub const REQUESTS_PER_CONNECTION: u32 = 10_000;
/// How long a client may take for the head of a request, in seconds, where the idle timeout is
/// longer. A bound of our own: a head that comes byte by byte never idles.
pub const HEAD_SECONDS: u64 = 60;
