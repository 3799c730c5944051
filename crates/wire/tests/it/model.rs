//! Schemas out of the small models that the vectors carry. They are leaked: tests end soon.

use serde_json::Value as Json;
use wire::{Kind, Member, Schema, TimeFormat};

/// How often a shape may hold itself; the vectors nest less deeply.
const DEPTH: usize = 5;

pub struct Model<'a> {
    pub shapes: &'a Json,
    pub is_ec2: bool,
}

impl Model<'_> {
    /// The schema of a shape, its recursion unrolled.
    pub fn schema(&self, name: &str) -> &'static Schema {
        self.build(name, None, &mut Vec::new())
    }

    fn build(&self, name: &str, format: Option<&str>, open: &mut Vec<String>) -> &'static Schema {
        let shape = &self.shapes[name];
        if open.iter().filter(|open| *open == name).count() >= DEPTH {
            return leak(Schema::new("unrolled", Kind::Structure(&[])));
        }
        open.push(name.to_owned());
        let kind = match shape["type"].as_str().unwrap() {
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "string" | "character" => Kind::String,
            "blob" => Kind::Blob,
            "timestamp" => Kind::Timestamp(time_format(format.or(shape["timestampFormat"].as_str()))),
            "list" => Kind::List(leak(self.member("member", &shape["member"], open))),
            "map" => {
                let key = self.member("key", &shape["key"], open);
                let value = self.member("value", &shape["value"], open);
                Kind::Map(leak(key), leak(value))
            }
            "structure" if shape["document"] == true => Kind::Document,
            "structure" => {
                let members = shape["members"].as_object().unwrap();
                let members: Vec<Member> =
                    members.iter().map(|(name, reference)| self.member(name, reference, open)).collect();
                let members: &'static [Member] = Box::leak(members.into_boxed_slice());
                if shape["union"] == true { Kind::Union(members) } else { Kind::Structure(members) }
            }
            other => panic!("unknown type {other}"),
        };
        open.pop();
        leak(Schema::new(text(name), kind))
    }

    fn member(&self, name: &str, reference: &Json, open: &mut Vec<String>) -> Member {
        let target = reference["shape"].as_str().unwrap();
        let shape = &self.shapes[target];
        let mut member =
            Member::new(text(name), self.build(target, reference["timestampFormat"].as_str(), open));
        let wire = reference["locationName"].as_str().or(shape["locationName"].as_str()).unwrap_or(name);
        member = member.wire(text(wire));
        if let Some(query) = reference["queryName"].as_str() {
            member = member.query(text(query));
        } else if self.is_ec2 {
            let mut letters = wire.chars();
            let first = letters.next().unwrap().to_uppercase();
            member = member.query(text(&first.chain(letters).collect::<String>()));
        }
        if reference["flattened"] == true || shape["flattened"] == true {
            member = member.flattened();
        }
        if reference["xmlAttribute"] == true {
            member = member.attribute();
        }
        let space = &reference["xmlNamespace"];
        if let Some(uri) = space["uri"].as_str().or(space.as_str()) {
            member = member.namespace(text(space["prefix"].as_str().unwrap_or("")), text(uri));
        }
        member
    }
}

fn time_format(name: Option<&str>) -> TimeFormat {
    match name {
        None => TimeFormat::Default,
        Some("iso8601") => TimeFormat::DateTime,
        Some("rfc822") => TimeFormat::HttpDate,
        Some("unixTimestamp") => TimeFormat::EpochSeconds,
        Some(other) => panic!("unknown timestamp format {other}"),
    }
}

pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

pub fn text(value: &str) -> &'static str {
    Box::leak(value.to_owned().into_boxed_str())
}
