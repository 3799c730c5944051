//! What a shape looks like, as data: members, wire names, constraints, HTTP locations.
//!
//! Invariant: a schema is immutable and lives as long as the process, so that readers and writers
//! pass it by reference. Schemas may refer to each other in cycles.

use crate::pattern::Pattern;

/// One shape of a model.
#[derive(Debug)]
pub struct Schema {
    /// The shape's name in the model.
    pub name: &'static str,
    pub kind: Kind,
    pub limits: Limits,
}

/// The type of a shape.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    String,
    Blob,
    Timestamp(TimeFormat),
    /// Whatever JSON can say.
    Document,
    List(&'static Member),
    /// Key and value. Keys are always strings.
    Map(&'static Member, &'static Member),
    Structure(&'static [Member]),
    /// A structure of which exactly one member is set.
    Union(&'static [Member]),
}

/// How an instant is written. `Default` is the protocol's own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    Default,
    /// `2026-11-21T15:27:45Z`
    DateTime,
    /// `Sat, 21 Nov 2026 15:27:45 GMT`
    HttpDate,
    /// Seconds since 1970, with a fraction.
    EpochSeconds,
}

/// A member of a structure, or the element of a list or map.
#[derive(Debug)]
pub struct Member {
    /// The model's name: used in messages, in [`crate::present`] and as the Rust field's origin.
    pub name: &'static str,
    /// The name in JSON, XML, headers and query strings.
    pub wire: &'static str,
    /// The name as a parameter of the query and ec2 protocols.
    pub query: &'static str,
    pub schema: &'static Schema,
    pub is_required: bool,
    /// Query and XML: no element or path part around the list's items.
    pub is_flattened: bool,
    /// XML: an attribute of the parent's element.
    pub is_attribute: bool,
    pub location: Location,
    /// XML: prefix and URI of a namespace declared on the element; an empty URI means none.
    pub namespace: (&'static str, &'static str),
}

/// Where the REST protocols put a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Body,
    /// The member is the whole body.
    Payload,
    Uri,
    Query,
    Header,
    /// Every header with the member's wire name as its prefix.
    Headers,
    StatusCode,
}

/// What a value must satisfy. Lengths are characters of a string, bytes of a blob, entries of a
/// list or map; otherwise `min` and `max` bound a number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `i64::MIN` where the model sets none.
    pub min: i64,
    /// `i64::MAX` where the model sets none.
    pub max: i64,
    pub pattern: Option<&'static Pattern>,
    /// The values of an enumeration; empty for any other shape.
    pub values: &'static [&'static str],
}

impl Limits {
    pub const NONE: Limits = Limits { min: i64::MIN, max: i64::MAX, pattern: None, values: &[] };

    /// Whether every value passes.
    pub fn is_none(&self) -> bool {
        self.min == i64::MIN && self.max == i64::MAX && self.pattern.is_none() && self.values.is_empty()
    }
}

impl Schema {
    pub const fn new(name: &'static str, kind: Kind) -> Schema {
        Schema { name, kind, limits: Limits::NONE }
    }

    #[must_use]
    pub const fn min(mut self, min: i64) -> Schema {
        self.limits.min = min;
        self
    }

    #[must_use]
    pub const fn max(mut self, max: i64) -> Schema {
        self.limits.max = max;
        self
    }

    #[must_use]
    pub const fn pattern(mut self, pattern: &'static Pattern) -> Schema {
        self.limits.pattern = Some(pattern);
        self
    }

    #[must_use]
    pub const fn values(mut self, values: &'static [&'static str]) -> Schema {
        self.limits.values = values;
        self
    }

    /// Members of a structure or union; none for any other kind.
    pub const fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) | Kind::Union(members) => members,
            _ => &[],
        }
    }
}

impl Member {
    pub const fn new(name: &'static str, schema: &'static Schema) -> Member {
        Member {
            name,
            wire: name,
            query: name,
            schema,
            is_required: false,
            is_flattened: false,
            is_attribute: false,
            location: Location::Body,
            namespace: ("", ""),
        }
    }

    #[must_use]
    pub const fn wire(mut self, name: &'static str) -> Member {
        self.wire = name;
        self.query = name;
        self
    }

    #[must_use]
    pub const fn query(mut self, name: &'static str) -> Member {
        self.query = name;
        self
    }

    #[must_use]
    pub const fn required(mut self) -> Member {
        self.is_required = true;
        self
    }

    #[must_use]
    pub const fn flattened(mut self) -> Member {
        self.is_flattened = true;
        self
    }

    #[must_use]
    pub const fn attribute(mut self) -> Member {
        self.is_attribute = true;
        self
    }

    #[must_use]
    pub const fn at(mut self, location: Location) -> Member {
        self.location = location;
        self
    }

    #[must_use]
    pub const fn namespace(mut self, prefix: &'static str, uri: &'static str) -> Member {
        self.namespace = (prefix, uri);
        self
    }
}

/// The shapes without constraints, shared by every API.
pub mod plain {
    use super::{Kind, Schema, TimeFormat};

    pub static BOOLEAN: Schema = Schema::new("Boolean", Kind::Boolean);
    pub static INTEGER: Schema = Schema::new("Integer", Kind::Integer);
    pub static LONG: Schema = Schema::new("Long", Kind::Long);
    pub static FLOAT: Schema = Schema::new("Float", Kind::Float);
    pub static DOUBLE: Schema = Schema::new("Double", Kind::Double);
    pub static STRING: Schema = Schema::new("String", Kind::String);
    pub static BLOB: Schema = Schema::new("Blob", Kind::Blob);
    pub static TIMESTAMP: Schema = Schema::new("Timestamp", Kind::Timestamp(TimeFormat::Default));
    pub static DATE_TIME: Schema = Schema::new("Timestamp", Kind::Timestamp(TimeFormat::DateTime));
    pub static HTTP_DATE: Schema = Schema::new("Timestamp", Kind::Timestamp(TimeFormat::HttpDate));
    pub static EPOCH_SECONDS: Schema = Schema::new("Timestamp", Kind::Timestamp(TimeFormat::EpochSeconds));
    pub static DOCUMENT: Schema = Schema::new("Document", Kind::Document);
    /// Of operations whose model names no input or no output.
    pub static EMPTY: Schema = Schema::new("Empty", Kind::Structure(&[]));
}
