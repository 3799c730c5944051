//! What a path under `/v2/` means.

/// A resource of the protocol. Repository names may contain slashes, so the path is read from its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/v2/`: does this registry speak version 2, and is the password good?
    Base,
    Catalog,
    Manifest {
        repository: &'a str,
        reference: &'a str,
    },
    Blob {
        repository: &'a str,
        digest: &'a str,
    },
    Uploads {
        repository: &'a str,
    },
    Upload {
        repository: &'a str,
        id: &'a str,
    },
    Tags {
        repository: &'a str,
    },
}

impl<'a> Resource<'a> {
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        let rest = match rest {
            "" | "/" => return Some(Resource::Base),
            rest => rest.strip_prefix('/')?,
        };
        if rest == "_catalog" {
            return Some(Resource::Catalog);
        }
        let resource = if let Some(repository) = rest.strip_suffix("/tags/list") {
            Resource::Tags { repository }
        } else if let Some(repository) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            Resource::Uploads { repository }
        } else {
            let (head, last) = rest.rsplit_once('/')?;
            if let Some(repository) = head.strip_suffix("/blobs/uploads") {
                Resource::Upload { repository, id: last }
            } else if let Some(repository) = head.strip_suffix("/blobs") {
                Resource::Blob { repository, digest: last }
            } else {
                Resource::Manifest { repository: head.strip_suffix("/manifests")?, reference: last }
            }
        };
        is_name(resource.repository()).then_some(resource)
    }

    pub fn repository(&self) -> &'a str {
        match self {
            Resource::Base | Resource::Catalog => "",
            Resource::Manifest { repository, .. }
            | Resource::Blob { repository, .. }
            | Resource::Uploads { repository }
            | Resource::Upload { repository, .. }
            | Resource::Tags { repository } => repository,
        }
    }
}

/// AWS: 2 to 256 characters; lower-case letters and digits in parts joined by `.`, `_`, `__`, `-` and `/`.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_inner = |b: u8| is_edge(b) || matches!(b, b'.' | b'_' | b'-');
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|b| is_edge(*b))
            && bytes.last().is_some_and(|b| is_edge(*b))
            && bytes.iter().all(|b| is_inner(*b))
    };
    (1..=256).contains(&name.len()) && name.split('/').all(is_part)
}

/// The value of a parameter of a query string, percent-decoded.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value))?
    })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Resource, parameter};

    #[test]
    fn names_may_contain_slashes_and_keywords() {
        let check = |path: &str, expected: Option<Resource<'_>>| {
            assert_eq!(Resource::parse(path), expected, "{path}")
        };
        check("/v2/", Some(Resource::Base));
        check("/v2", Some(Resource::Base));
        check("/v2/_catalog", Some(Resource::Catalog));
        check(
            "/v2/a/b/manifests/latest",
            Some(Resource::Manifest { repository: "a/b", reference: "latest" }),
        );
        check("/v2/blobs/blobs/sha256:1", Some(Resource::Blob { repository: "blobs", digest: "sha256:1" }));
        check("/v2/a/blobs/uploads/", Some(Resource::Uploads { repository: "a" }));
        check("/v2/a/blobs/uploads/x-1", Some(Resource::Upload { repository: "a", id: "x-1" }));
        check("/v2/a/tags/list", Some(Resource::Tags { repository: "a" }));
        for path in [
            "/v1/",
            "/v2/A/manifests/x",
            "/v2/../manifests/x",
            "/v2/a//manifests/x",
            "/v2/manifests/x",
            "/v2x",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Some("mount=sha256%3Aab&from=a%2Fb&bad=%zz");
        assert_eq!(parameter(query, "mount").as_deref(), Some("sha256:ab"));
        assert_eq!(parameter(query, "from").as_deref(), Some("a/b"));
        assert_eq!(parameter(query, "bad"), None);
        assert_eq!(parameter(query, "none"), None);
    }
}
