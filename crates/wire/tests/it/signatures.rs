//! AWS's own test suite of signature version 4, and hostile headers.

use std::fs;
use std::path::{Path, PathBuf};

use base::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::sigv4::{
    Carrier, Claim, ClaimError, Credentials, Signed, canonical_request, payload_hash, sign, string_to_sign,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Request {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

impl Request {
    fn parse(text: &str) -> Request {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
        let target = rest.rsplit_once(" HTTP/1.1").unwrap().0;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            match line.split_once(':') {
                // A line that starts with a space continues the one before.
                _ if line.starts_with(' ') => fields.last_mut().unwrap().1.push_str(line),
                Some((name, value)) => fields.push((name.to_lowercase(), value.to_owned())),
                None => panic!("not a header: {line}"),
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
        }
        let own = str::to_owned;
        Request { method: own(method), path: own(path), query: own(query), headers, body: own(body) }
    }

    fn signed<'a>(&'a self, hash: &'a str) -> Signed<'a> {
        Signed {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            payload_hash: hash,
            is_path_normalized: true,
        }
    }
}

fn cases(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "req") {
            found.push(path);
        }
    }
}

#[test]
fn the_published_suite_passes() {
    let mut found = Vec::new();
    cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4"), &mut found);
    let failures: Vec<String> = found.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(found.len() > 25, "only {} cases", found.len());
}

fn check(path: &Path) -> Result<(), String> {
    let read =
        |extension: &str| fs::read_to_string(path.with_extension(extension)).unwrap().replace("\r\n", "\n");
    let same = |what: &str, found: &str, expected: &str| match found == expected {
        true => Ok(()),
        false => Err(format!("{} {what}\n  found    {found:?}\n  expected {expected:?}", path.display())),
    };
    let mut request = Request::parse(&read("req"));
    let authorization = read("authz");
    request.headers.insert("authorization", HeaderValue::from_str(authorization.trim()).unwrap());
    // One case leaves its token to the signer's credentials.
    let expected = read("creq");
    if let Some(token) = expected.lines().find_map(|line| line.strip_prefix("x-amz-security-token:")) {
        request.headers.insert("x-amz-security-token", HeaderValue::from_str(token).unwrap());
    }
    let hash = payload_hash(request.body.as_bytes());

    let claim = Claim::parse(&request.headers, &request.query).unwrap().unwrap();
    let canonical = canonical_request(&request.signed(&hash), &claim.signed_headers);
    same("canonical request", &canonical, &read("creq"))?;
    let to_sign = string_to_sign(&claim.amz_date, &claim.region, &claim.service, &canonical);
    same("string to sign", &to_sign, &read("sts"))?;
    if !claim.holds(&Secret::new(SECRET), &request.signed(&hash)) {
        return Err(format!("{}: a true claim does not hold", path.display()));
    }
    if claim.holds(&Secret::new("another"), &request.signed(&hash)) {
        return Err(format!("{}: a claim holds under another secret", path.display()));
    }

    // The suite leaves a token out of one signature on purpose; ours signs whatever is there.
    if path.ends_with("post-sts-header-after.req") {
        return Ok(());
    }
    request.headers.remove("authorization");
    let credentials =
        Credentials { access_key: claim.access_key.clone(), secret: Secret::new(SECRET), token: None };
    let added = sign(&credentials, &claim.region, &claim.service, claim.signed_at(), &request.signed(&hash));
    same("authorization", &added.last().unwrap().1, authorization.trim())
}

fn headers(authorization: &str, date: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(authorization).unwrap());
    headers.insert("x-amz-date", HeaderValue::from_str(date).unwrap());
    headers
}

const DATE: &str = "20261121T152745Z";

#[test]
fn a_claim_without_spaces_after_its_commas_is_read() {
    let text = "AWS4-HMAC-SHA256 Credential=123456789012/20261121/eu-west-1/ecs/aws4_request,SignedHeaders=host;x-amz-date,Signature=00";
    let claim = Claim::parse(&headers(text, DATE), "").unwrap().unwrap();
    assert_eq!((claim.access_key.as_str(), claim.region.as_str()), ("123456789012", "eu-west-1"));
    assert_eq!((claim.service.as_str(), claim.signature.as_str()), ("ecs", "00"));
    assert_eq!(claim.signed_headers, ["host", "x-amz-date"]);
    assert_eq!(claim.signed_at(), Timestamp::parse("2026-11-21T15:27:45Z").unwrap());
}

#[test]
fn a_presigned_query_is_read() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20261121T152745Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=a%2Bb\
        &X-Amz-Signature=ff";
    let claim = Claim::parse(&HeaderMap::new(), query).unwrap().unwrap();
    assert_eq!(claim.carrier, Carrier::Query { expires_secs: 900 });
    assert_eq!(claim.token.as_deref(), Some("a+b"));
    let late = query.replace("=900", "=604801");
    assert_eq!(Claim::parse(&HeaderMap::new(), &late), Err(ClaimError::Expires));
}

#[test]
fn a_presigned_query_that_we_sign_holds() {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost:4566"));
    let bare = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20261121T152745Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
    let signed = |query| Signed {
        method: "GET",
        path: "/bucket/a%20b",
        query,
        headers: &headers,
        payload_hash: "UNSIGNED-PAYLOAD",
        is_path_normalized: false,
    };
    let canonical = canonical_request(&signed(bare), &[String::from("host")]);
    let to_sign = string_to_sign("20261121T152745Z", "us-east-1", "s3", &canonical);
    let secret = Secret::new(SECRET);
    let signature = wire::sigv4::signature(&secret, "20261121", "us-east-1", "s3", &to_sign);
    let query = format!("{bare}&X-Amz-Signature={signature}");
    let claim = Claim::parse(&headers, &query).unwrap().unwrap();
    assert!(claim.holds(&secret, &signed(&query)));
    let other = query.replace("900", "901");
    assert!(!claim.holds(&secret, &signed(&other)));
}

#[test]
fn an_unsigned_request_makes_no_claim() {
    assert_eq!(Claim::parse(&HeaderMap::new(), "").unwrap(), None);
    assert_eq!(Claim::parse(&headers("Basic QVdTOnRva2Vu", DATE), "").unwrap(), None);
}

#[test]
fn broken_claims_are_refused() {
    let credential = "AWS4-HMAC-SHA256 Credential=A/20261121/r/s/aws4_request";
    let cases = [
        ("AWS4-HMAC-SHA256", ClaimError::Missing("Credential")),
        ("AWS4-HMAC-SHA512 Credential=A", ClaimError::Algorithm("AWS4-HMAC-SHA512".to_owned())),
        (&format!("{credential}, SignedHeaders=host"), ClaimError::Missing("Signature")),
        (
            "AWS4-HMAC-SHA256 Credential=A/B, SignedHeaders=host, Signature=00",
            ClaimError::Credential("A/B".to_owned()),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Claim::parse(&headers(text, DATE), ""), Err(expected), "{text}");
    }
    let whole = format!("{credential}, SignedHeaders=host, Signature=00");
    for date in ["", "2026", "2026-11-21T15:27:45Z", "20261399T152745Z", "ääääääää"] {
        let mut headers = headers(&whole, DATE);
        headers.insert("x-amz-date", HeaderValue::from_bytes(date.as_bytes()).unwrap());
        assert_eq!(Claim::parse(&headers, ""), Err(ClaimError::Date), "{date}");
    }
}
