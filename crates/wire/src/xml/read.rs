//! XML as a tree of elements: the client's side, and later restXml's bodies.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};

use crate::flow::{MAX_DEPTH, ReadError};
use crate::schema::Member;
use crate::tree::{Node, Place};

/// One element. Namespace prefixes of elements are dropped; those of attributes stay.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    /// Attributes as text-only elements.
    attributes: Vec<Element>,
    pub children: Vec<Element>,
}

impl Element {
    /// The root element of a document.
    pub fn parse(document: &[u8]) -> Result<Element, ReadError> {
        let document =
            std::str::from_utf8(document).map_err(|_| ReadError::syntax("XML that is not UTF-8"))?;
        let mut reader = quick_xml::Reader::from_str(document);
        let mut open = vec![Element::default()];
        loop {
            let event = reader.read_event().map_err(|error| ReadError::syntax(error.to_string()))?;
            match event {
                Event::Start(start) => {
                    // Lists and maps take up to two levels more than the shapes have.
                    if open.len() > 3 * MAX_DEPTH {
                        return Err(ReadError::TooDeep);
                    }
                    open.push(Element::start(&start)?);
                }
                Event::Empty(start) => append(&mut open, Element::start(&start)?),
                Event::End(_) => close(&mut open),
                Event::Text(text) => push_text(&mut open, &text),
                Event::CData(text) => push_text(&mut open, &text),
                Event::GeneralRef(reference) => push_text(&mut open, &resolve(&reference)?),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        let mut document = open.pop().unwrap_or_default();
        if !open.is_empty() {
            return Err(ReadError::syntax("XML that ends inside an element"));
        }
        document.children.pop().ok_or_else(|| ReadError::syntax("XML without an element"))
    }

    fn start(start: &BytesStart<'_>) -> Result<Element, ReadError> {
        let name = start.local_name();
        let mut element = Element { name: String::from(name.as_ref()), ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| ReadError::syntax(error.to_string()))?;
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|error| ReadError::syntax(error.to_string()))?;
            let name = String::from(attribute.key.as_ref());
            element.attributes.push(Element { name, text: value.into_owned(), ..Element::default() });
        }
        Ok(element)
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    fn all<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        self.children.iter().filter(|child| child.name == name).collect()
    }
}

fn append(open: &mut [Element], element: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(element);
    }
}

fn close(open: &mut Vec<Element>) {
    // The reader itself refuses an end tag that has no start.
    if open.len() > 1
        && let Some(element) = open.pop()
    {
        append(open, element);
    }
}

fn push_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// A character reference or one of the five entities that XML itself has.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, ReadError> {
    let character = reference.resolve_char_ref().map_err(|error| ReadError::syntax(error.to_string()))?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let name: &str = reference;
    let known = quick_xml::escape::resolve_predefined_entity(name);
    known.map(str::to_owned).ok_or_else(|| ReadError::syntax(format!("the unknown XML entity {name}")))
}

/// The list or map at `place`: flattened entries are siblings under the structure itself.
fn entries<'a>(element: &'a Element, place: Place<&'a Element>, name: &str) -> Vec<&'a Element> {
    match place {
        Some((parent, member)) if member.is_flattened => parent.all(member.wire),
        _ => element.all(name),
    }
}

impl Node for &Element {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.text))
    }

    fn find(self, member: &'static Member) -> Option<Self> {
        if member.is_attribute {
            return self.attributes.iter().find(|attribute| attribute.name == member.wire);
        }
        self.child(member.wire)
    }

    fn items(self, place: Place<Self>, item: &'static Member) -> Result<Vec<Self>, ReadError> {
        Ok(entries(self, place, item.wire))
    }

    fn entries(
        self,
        place: Place<Self>,
        key: &'static Member,
        value: &'static Member,
    ) -> Result<Vec<(Self, Self)>, ReadError> {
        let mut pairs = Vec::new();
        for entry in entries(self, place, "entry") {
            let (Some(key), Some(value)) = (entry.child(key.wire), entry.child(value.wire)) else {
                return Err(ReadError::wrong_type("a map's entry without its key or value"));
            };
            pairs.push((key, value));
        }
        Ok(pairs)
    }
}
