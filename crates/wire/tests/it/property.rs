//! Arbitrary bytes never panic, and arbitrary shapes survive the way there and back.

use http::HeaderMap;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use wire::{Kind, Operation, Parts, Protocol, ReadError, Reader, Schema, Shape, TimeFormat, Timestamp};

use crate::fuzz;

/// Near-misses: text out of the protocols' own pieces.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u00e4",
        "\\ud83d",
        "null",
        "true",
        "1",
        "-1.5e3",
        " ",
        "ä",
        "\"family\"",
        "\"containerDefinitions\"",
        "\"name\"",
        "\"taskDefinition\"",
        "\"overrides\"",
        "Action=",
        "&",
        "=",
        "Tags.",
        "member.",
        "1.",
        "Key",
        "%41",
        "%",
        "+",
        "SubnetId=",
        "<",
        ">",
        "/",
        "<a>",
        "</a>",
        "<a/>",
        "&amp;",
        "&#x41;",
        "&x;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE a [",
        "<subnetSet>",
        "</subnetSet>",
        "<item>",
        "</item>",
        "AWS4-HMAC-SHA256 ",
        "Credential=",
        "a/b/c/d/aws4_request",
        ", SignedHeaders=host",
        ", Signature=00",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    ];
    vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_read_or_refused(body in prop_oneof![vec(any::<u8>(), 0..200), pieces()]) {
        fuzz::request(&body);
    }

    #[test]
    fn any_answer_is_read_or_refused(body in prop_oneof![vec(any::<u8>(), 0..200), pieces()]) {
        fuzz::response(&body);
    }

    #[test]
    fn any_claim_is_read_or_refused(bytes in prop_oneof![vec(any::<u8>(), 0..200), pieces()]) {
        fuzz::claim(&bytes);
    }

    #[test]
    fn task_definitions_survive_as_requests(seed in vec(any::<u32>(), 0..300)) {
        request::<aws_ecs::op::RegisterTaskDefinition>(Protocol::AwsJson11, &aws_ecs::API, &seed)?;
    }

    #[test]
    fn run_task_survives_as_a_request(seed in vec(any::<u32>(), 0..300)) {
        request::<aws_ecs::op::RunTask>(Protocol::AwsJson10, &aws_ecs::API, &seed)?;
    }

    #[test]
    fn tasks_survive_as_answers(seed in vec(any::<u32>(), 0..300)) {
        answer::<aws_ecs::op::DescribeTasks>(Protocol::AwsJson11, &aws_ecs::API, &seed)?;
    }

    #[test]
    fn interfaces_survive_as_requests(seed in vec(any::<u32>(), 0..300)) {
        request::<aws_ec2::op::CreateNetworkInterface>(Protocol::Ec2, &aws_ec2::API, &seed)?;
    }

    #[test]
    fn interfaces_survive_as_answers(seed in vec(any::<u32>(), 0..300)) {
        answer::<aws_ec2::op::DescribeNetworkInterfaces>(Protocol::Ec2, &aws_ec2::API, &seed)?;
    }

    #[test]
    fn roles_survive_as_requests(seed in vec(any::<u32>(), 0..100)) {
        request::<aws_iam::op::CreateRole>(Protocol::Query, &aws_iam::API, &seed)?;
    }

    #[test]
    fn roles_survive_as_answers(seed in vec(any::<u32>(), 0..100)) {
        answer::<aws_iam::op::ListRoles>(Protocol::Query, &aws_iam::API, &seed)?;
    }

    #[test]
    fn any_text_survives_in_json(
        text in any::<String>(),
        entries in btree_map(any::<String>(), any::<String>(), 0..4),
    ) {
        let log = aws_ecs::LogConfiguration { log_driver: text, options: Some(entries), secret_options: None };
        let container = aws_ecs::ContainerDefinition { log_configuration: Some(log), ..Default::default() };
        let sent = aws_ecs::RegisterTaskDefinitionRequest {
            container_definitions: vec![container],
            ..Default::default()
        };
        let body = wire::encode_request(
            Protocol::AwsJson11,
            &aws_ecs::API,
            aws_ecs::op::RegisterTaskDefinition::DEFINITION,
            &sent,
        ).unwrap().body;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let log = &json["containerDefinitions"][0]["logConfiguration"];
        let sent = sent.container_definitions[0].log_configuration.as_ref().unwrap();
        prop_assert_eq!(log["logDriver"].as_str().unwrap(), &sent.log_driver);
        for (key, value) in sent.options.iter().flatten() {
            prop_assert_eq!(log["options"][key].as_str().unwrap(), value);
        }
    }
}

fn filled<T: Shape + Default>(seed: &[u32]) -> T {
    let mut shape = T::default();
    shape.read(&mut Arbitrary { seed: seed.iter(), frames: Vec::new() }).unwrap();
    shape
}

fn request<O: Operation>(protocol: Protocol, api: &wire::Api, seed: &[u32]) -> Result<(), TestCaseError>
where
    O::Input: PartialEq,
{
    let sent: O::Input = filled(seed);
    let request = wire::encode_request(protocol, api, O::DEFINITION, &sent).unwrap();
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let mut received = O::Input::default();
    match wire::decode(protocol, O::DEFINITION, &parts, &request.body, &mut received) {
        Ok(()) => {}
        // Arbitrary values break constraints; they are read all the same.
        Err(wire::DecodeFault::Invalid(_)) => {}
        Err(other) => {
            return Err(TestCaseError::fail(format!("{other}: {}", String::from_utf8_lossy(&request.body))));
        }
    }
    prop_assert_eq!(sent, received);
    Ok(())
}

fn answer<O: Operation>(protocol: Protocol, api: &wire::Api, seed: &[u32]) -> Result<(), TestCaseError>
where
    O::Output: PartialEq,
{
    let sent: O::Output = filled(seed);
    let encoded = wire::encode(protocol, api, O::DEFINITION, &sent, "id");
    let mut received = O::Output::default();
    let result =
        wire::decode_response(protocol, O::DEFINITION, 200, &HeaderMap::new(), &encoded.body, &mut received);
    prop_assert!(result.is_ok(), "{:?}", result);
    prop_assert_eq!(sent, received);
    Ok(())
}

/// Reads shapes out of numbers: present members, lengths and scalars as they come. Runs dry into
/// absent members and empty values.
struct Arbitrary<'a> {
    seed: std::slice::Iter<'a, u32>,
    /// Per open structure, list or map: the schema's members and the next index, or what is left.
    frames: Vec<(&'static [wire::Member], usize)>,
}

impl Arbitrary<'_> {
    fn next(&mut self) -> u32 {
        self.seed.next().copied().unwrap_or(0)
    }

    fn open(&mut self) {
        // The ec2 protocol cannot carry an empty list, and no form an empty map.
        let left = 1 + self.next() as usize % 2;
        self.frames.push((&[], left));
    }

    fn has_next(&mut self) -> bool {
        let (_, left) = self.frames.last_mut().unwrap();
        if *left == 0 {
            self.frames.pop();
            return false;
        }
        *left -= 1;
        true
    }

    fn text(&mut self) -> String {
        let letters: Vec<char> = "a<ä&\"'\n%+ 😀=.;/\\\t]".chars().collect();
        let length = self.next() as usize % 6 + 1;
        (0..length).map(|_| letters[self.next() as usize % letters.len()]).collect()
    }
}

impl Reader for Arbitrary<'_> {
    fn structure(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.frames.push((schema.members(), 0));
        Ok(())
    }

    fn member(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            let depth = self.frames.len() as u32;
            let (members, next) = self.frames.last_mut().unwrap();
            let Some(member) = members.get(*next) else {
                self.frames.pop();
                return Ok(None);
            };
            *next += 1;
            let index = *next - 1;
            // A structure without members cannot stand in a form: the first scalar is always there.
            let is_first = is_scalar(member) && !members[..index].iter().any(is_scalar);
            let is_taken = self.next() % depth.max(2) == 1;
            if member.is_required || is_first || is_taken && depth < 8 && has_scalar(member.schema) {
                return Ok(Some(index));
            }
        }
    }

    fn list(&mut self, _: &'static Schema) -> Result<(), ReadError> {
        self.open();
        Ok(())
    }

    fn item(&mut self) -> Result<bool, ReadError> {
        Ok(self.has_next())
    }

    fn map(&mut self, _: &'static Schema) -> Result<(), ReadError> {
        self.open();
        Ok(())
    }

    fn entry(&mut self) -> Result<Option<String>, ReadError> {
        Ok(if self.has_next() { Some(self.text()) } else { None })
    }

    fn boolean(&mut self, _: &'static Schema) -> Result<bool, ReadError> {
        Ok(self.next().is_multiple_of(2))
    }

    fn integer(&mut self, _: &'static Schema) -> Result<i32, ReadError> {
        Ok(self.next() as i32)
    }

    fn long(&mut self, _: &'static Schema) -> Result<i64, ReadError> {
        Ok(i64::from(self.next()) << 31 | i64::from(self.next()))
    }

    fn float(&mut self, _: &'static Schema) -> Result<f32, ReadError> {
        Ok(self.next() as f32 / 7.0)
    }

    fn double(&mut self, _: &'static Schema) -> Result<f64, ReadError> {
        Ok(f64::from(self.next()) / 7.0)
    }

    fn string(&mut self, _: &'static Schema) -> Result<String, ReadError> {
        Ok(self.text())
    }

    fn blob(&mut self, _: &'static Schema) -> Result<Vec<u8>, ReadError> {
        Ok(self.next().to_be_bytes().to_vec())
    }

    fn timestamp(&mut self, schema: &'static Schema) -> Result<Timestamp, ReadError> {
        let is_seconds = matches!(schema.kind, Kind::Timestamp(TimeFormat::HttpDate));
        let at = i64::from(self.next());
        Ok(if is_seconds { Timestamp::from_secs(at) } else { Timestamp::from_millis(at * 1000 + at % 1000) })
    }

    fn skip(&mut self) -> Result<(), ReadError> {
        Ok(())
    }
}

/// Whether a value of the schema always holds a scalar here: a structure takes its first one.
fn has_scalar(schema: &'static Schema) -> bool {
    match schema.kind {
        Kind::Structure(members) | Kind::Union(members) => members.iter().any(is_scalar),
        Kind::List(item) | Kind::Map(_, item) => has_scalar(item.schema),
        _ => true,
    }
}

fn is_scalar(member: &wire::Member) -> bool {
    !matches!(member.schema.kind, Kind::Structure(_) | Kind::Union(_) | Kind::List(_) | Kind::Map(..))
}
