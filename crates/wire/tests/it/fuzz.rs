//! Bodies of fuzz targets. Each takes arbitrary bytes and must return; a later cargo-fuzz crate and
//! `property.rs` call them.

use http::HeaderMap;
use wire::{Operation, Parts, Protocol, Shape};

const SERVED: [Protocol; 4] = [Protocol::AwsJson10, Protocol::AwsJson11, Protocol::Query, Protocol::Ec2];

/// A request's body, in every protocol, into an operation with every kind of member.
pub fn request(body: &[u8]) {
    for protocol in SERVED {
        decode_as::<aws_ecs::op::RegisterTaskDefinition>(protocol, body);
        decode_as::<aws_ecs::op::RunTask>(protocol, body);
        decode_as::<aws_ec2::op::CreateNetworkInterface>(protocol, body);
    }
}

fn decode_as<O: Operation>(protocol: Protocol, body: &[u8]) {
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let mut input = O::Input::default();
    match wire::decode(protocol, O::DEFINITION, &parts, body, &mut input) {
        Ok(()) => assert!(wire::present::members(&input).len() < 10_000),
        Err(fault) => assert!(!fault.fault(&aws_ecs::API).message.is_empty()),
    }
}

/// An answer's body, in every protocol, good and bad.
pub fn response(body: &[u8]) {
    for protocol in SERVED {
        for status in [200, 400] {
            let mut tasks = aws_ecs::DescribeTasksResponse::default();
            answer_as::<aws_ecs::op::DescribeTasks>(protocol, status, body, &mut tasks);
            let mut subnets = aws_ec2::DescribeSubnetsResult::default();
            answer_as::<aws_ec2::op::DescribeSubnets>(protocol, status, body, &mut subnets);
        }
    }
}

fn answer_as<O: Operation>(protocol: Protocol, status: u16, body: &[u8], into: &mut dyn Shape) {
    let result = wire::decode_response(protocol, O::DEFINITION, status, &HeaderMap::new(), body, into);
    assert!(status == 200 || result.is_err());
}

/// An `Authorization` header, and the same bytes as a query.
pub fn claim(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-date", http::HeaderValue::from_static("20261121T152745Z"));
    if let Ok(value) = http::HeaderValue::from_bytes(bytes) {
        headers.insert("authorization", value);
    }
    let query = String::from_utf8_lossy(bytes);
    for headers in [&headers, &HeaderMap::new()] {
        if let Ok(Some(claim)) = wire::sigv4::Claim::parse(headers, &query) {
            let request = wire::sigv4::Signed {
                method: "GET",
                path: &query,
                query: &query,
                headers,
                payload_hash: "",
                is_path_normalized: true,
            };
            assert!(!claim.holds(&base::Secret::new("secret"), &request));
        }
    }
}
