//! XML as the query, ec2 and later restXml protocols use it.

mod read;
mod write;

pub use read::Element;
pub use write::XmlWriter;
