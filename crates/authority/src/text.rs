//! How the parts of a certificate are spelled.

use der::asn1::ObjectIdentifier;
use x509_cert::name::Name;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// `01:ab:…`: bytes in lower-case hexadecimal.
pub fn printed(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn attribute(name: &Name, id: ObjectIdentifier) -> Option<String> {
    let found = name.iter().find(|attribute| attribute.oid == id)?;
    let text = std::str::from_utf8(found.value.value()).ok()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(crate) fn common_name(name: &Name) -> Option<String> {
    attribute(name, COMMON_NAME)
}

pub(crate) fn organization(name: &Name) -> Option<String> {
    attribute(name, ORGANIZATION)
}
