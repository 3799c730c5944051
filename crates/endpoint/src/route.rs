//! From a path to what answers it.

use std::net::IpAddr;

use hyper::{Method, StatusCode};

use crate::answer::{self, Answer};
use crate::known::Asker;
use crate::{Door, Inner, metadata, protection, stats};

/// A request with whom it comes from.
pub(crate) struct Asked<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub body: &'a [u8],
    pub door: &'a Door,
    pub peer: IpAddr,
}

/// Of the metadata endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V4,
}

impl Version {
    pub fn name(self) -> &'static str {
        match self {
            Version::V3 => "V3",
            Version::V4 => "V4",
        }
    }
}

impl Inner {
    pub(crate) async fn answer(&self, asked: &Asked<'_>) -> Answer {
        let mut parts: Vec<&str> = asked.path.split('/').filter(|part| !part.is_empty()).collect();
        let version = match parts.first().copied() {
            Some("v3") => Some(Version::V3),
            Some("v4") => Some(Version::V4),
            _ => None,
        };
        match (version, parts.as_slice()) {
            (Some(version), [_, id, ..]) => {
                let id = *id;
                self.metadata(asked, version, id, &parts.split_off(2)).await
            }
            (None, ["v2", "credentials", rest @ ..]) if *asked.method == Method::GET => {
                self.credentials(asked, rest.first().copied()).await
            }
            (None, ["api", id, "task-protection", "v1", "state"]) => self.protection(asked, id).await,
            (None, ["api", id, "fault", "v1", kind, action]) => self.fault(asked, id, kind, action).await,
            _ => answer::nothing(),
        }
    }

    /// The container that knows `id`, if it can be the one that asks.
    pub(crate) fn asker(&self, asked: &Asked<'_>, id: &str) -> Option<Asker> {
        self.known.container(id).filter(|asker| asked.door.admits(&asker.subject, asked.peer))
    }

    async fn metadata(&self, asked: &Asked<'_>, version: Version, id: &str, rest: &[&str]) -> Answer {
        let (what, missing) = match rest {
            [] => ("container metadata handler", "container ID"),
            ["stats"] => ("container stats handler", "container ID"),
            ["task"] | ["taskWithTags"] => ("task metadata handler", "task ARN"),
            ["task", "stats"] => ("task stats handler", "task ARN"),
            _ => return answer::nothing(),
        };
        if *asked.method != Method::GET {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let Some(asker) = self.asker(asked, id) else {
            let thing = if missing == "container ID" { "docker ID" } else { "task Arn" };
            let name = version.name();
            return answer::sentence(
                StatusCode::NOT_FOUND,
                format_args!(
                    "{name} {what}: unable to get {missing} from request: unable to get {thing} from \
                     v3 endpoint ID: {id}"
                ),
            );
        };
        asker.subject.until_started(&asker.container).await;
        match rest {
            [] => answer::ok(&metadata::container(self, &asker, version).await),
            ["task"] => answer::ok(&metadata::task(self, &asker.subject, version).await),
            ["taskWithTags"] => answer::ok(&metadata::task_with_tags(self, &asker.subject, version).await),
            ["stats"] => stats::container(self, &asker, version).await,
            _ => stats::task(self, &asker.subject, version).await,
        }
    }

    async fn protection(&self, asked: &Asked<'_>, id: &str) -> Answer {
        match self.asker(asked, id) {
            Some(asker) => protection::answer(self, asked, &asker.subject).await,
            None => protection::unknown(),
        }
    }
}
