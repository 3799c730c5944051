//! A request's head as data: the bytes as they came, and where its parts lie in them.
//!
//! Owns no rule: what is wrong with a head is decided elsewhere. Invariant: every span lies within
//! the bytes. A head is reused from request to request, so that none is allocated on the way.

/// Header fields in the order they came, duplicates included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
    spans: Vec<FieldSpan>,
}

/// Where a field lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpan {
    pub name: Span,
    pub value: Span,
}

/// A half-open range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Fields {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Replaces the bytes; fields are then told by [`Fields::mark`].
    pub fn take_in(&mut self, bytes: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes as they came, from the first of the request line to the empty line, for a head in
    /// HTTP/1's form; for others only what was added.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A field that lies in the bytes already.
    #[inline]
    pub fn mark(&mut self, field: FieldSpan) {
        self.spans.push(field);
    }

    /// Adds a field with bytes of its own.
    #[inline]
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let field = FieldSpan { name: self.keep(name), value: self.keep(value) };
        self.spans.push(field);
    }

    /// Leaves out the fields of which `stays` says no.
    pub fn retain(&mut self, mut stays: impl FnMut(&[u8], &[u8]) -> bool) {
        let bytes = &self.bytes;
        self.spans.retain(|field| stays(field.name.of(bytes), field.value.of(bytes)));
    }

    /// Keeps bytes that belong to no field.
    #[inline]
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.bytes.len() as u32 }
    }

    /// Bytes that it has memory for.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Name and value, in order. Names keep their case.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        self.spans.iter().map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// The first field of that name; case does not matter.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Every field of that name, in order.
    #[inline]
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone {
        let fits = move |field: &&FieldSpan| {
            let found = field.name.of(&self.bytes);
            found.len() == name.len() && found.eq_ignore_ascii_case(name.as_bytes())
        };
        self.spans.iter().filter(fits).map(|field| field.value.of(&self.bytes))
    }
}

/// A request's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub form: Form,
    pub method: Span,
    /// As it came: `/path?query`, or an absolute URI.
    pub target: Span,
    /// HTTP/2's `:authority`; HTTP/1 has it in a field.
    pub authority: Option<Span>,
    pub fields: Fields,
}

/// What a head was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Head {
    pub fn clear(&mut self) {
        self.fields.clear();
        (self.form, self.method, self.target, self.authority) =
            (Form::Http11, Span::default(), Span::default(), None);
    }

    #[inline]
    pub fn method(&self) -> &[u8] {
        self.method.of(self.fields.bytes())
    }

    #[inline]
    pub fn target(&self) -> &[u8] {
        self.target.of(self.fields.bytes())
    }

    /// `:authority`, or else `Host`.
    #[inline]
    pub fn host(&self) -> Option<&[u8]> {
        match self.authority {
            Some(authority) => Some(authority.of(self.fields.bytes())),
            None => self.fields.get("host"),
        }
    }
}
