//! Names of images: `[registry/]repository[:tag][@digest]`, as Docker reads them.

use std::fmt;
use std::str::FromStr;

use blobs::Digest;

/// A full name. `nginx` is read as `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and perhaps port.
    pub registry: String,
    /// Lower-case path, without the registry.
    pub repository: String,
    /// `latest` when the text has neither tag nor digest.
    pub tag: Option<String>,
    /// Wins over the tag.
    pub digest: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {text:?}: {why}")]
pub struct ReferenceError {
    pub text: String,
    pub why: String,
}

impl Reference {
    /// Digest or tag: what a registry's manifest URL ends in.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => String::from("latest"),
        }
    }

    /// The same repository, by digest alone.
    pub fn by_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text)
            .map_err(|why| ReferenceError { text: text.chars().take(300).collect(), why: why.to_owned() })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.len() > 512 {
        return Err("it is longer than 512 characters");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(digest.parse().map_err(|_| "expected sha256: and 64 hex digits after @")?))
        }
        None => (text, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag is malformed");
    }
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        _ => ("docker.io", name),
    };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    if !is_registry(registry) {
        return Err("the registry's name is malformed");
    }
    let is_official = registry == "docker.io" && !path.contains('/');
    let repository = if is_official { format!("library/{path}") } else { path.to_owned() };
    if !is_repository(&repository) {
        return Err("the repository's name is malformed (lower-case letters, digits and . _ - / only)");
    }
    let tag = match (tag, digest) {
        (None, None) => Some("latest"),
        (tag, _) => tag,
    };
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.starts_with('[')
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|p| p.is_empty() || p.len() > 5 || !p.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// Whether `name` is a repository's path as the distribution specification has it.
pub fn is_repository(name: &str) -> bool {
    name.len() <= 255 && name.split('/').all(is_path_component)
}

/// Whether `tag` is a tag as the distribution specification has it.
pub fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && is_word(bytes[0])
        && bytes.iter().all(|&b| is_word(b) || b == b'.' || b == b'-')
}

/// Alphanumeric runs joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, full: &str) {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        assert_eq!(full.parse::<Reference>().unwrap().to_string(), full, "{full}");
    }

    #[test]
    fn short_names_are_docker_hubs() {
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.27", "docker.io/library/nginx:1.27");
        check("bitnami/redis", "docker.io/bitnami/redis:latest");
        check("index.docker.io/nginx", "docker.io/library/nginx:latest");
        check("localhost/web", "localhost/web:latest");
        check("localhost:4566/web:v1", "localhost:4566/web:v1");
        check("[::1]:5000/web:v1", "[::1]:5000/web:v1");
        check("public.ecr.aws/nginx/nginx:x", "public.ecr.aws/nginx/nginx:x");
        let digest = Digest::of(b"");
        check(&format!("a.b/c@{digest}"), &format!("a.b/c@{digest}"));
        check(&format!("a.b/c:t@{digest}"), &format!("a.b/c:t@{digest}"));
        check("a.b/c__d-e---f.g", "a.b/c__d-e---f.g:latest");
    }

    #[test]
    fn malformed_names_are_refused() {
        let long = "x".repeat(256);
        let names = [
            "",
            ":",
            "@",
            "/",
            "a/",
            "/a",
            "A",
            "a/B",
            "a:",
            "a:-x",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a//b",
            "a.b:port/c",
            "a@sha256:12",
            "a@sha512:12",
            "../a",
            "a.b/../c",
            "a b",
            "a\n",
            "-a.b/c",
            "é",
            &long,
        ];
        for name in names {
            assert!(name.parse::<Reference>().is_err(), "{name:?}");
        }
    }
}
