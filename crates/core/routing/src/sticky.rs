//! Cookies that bind a client to a group or a target.
//!
//! Owns the values and their form in `Cookie` and `Set-Cookie`. Invariant: a value that this key did
//! not make, or whose time is over, binds to nothing.
//!
//! A value is 32 bytes in base64: a name of 16 bytes, the second of its end (4), and a seal over
//! both (12). The name is a keyed digest of group, target and port, so that it tells nothing about
//! addresses and needs no table of sessions: whoever has the key finds the target, on every worker,
//! after every restart, and after a target came back with the same id. AWS encrypts what it writes;
//! encryption would hide from a client only whether two of its sessions share a target.

use std::sync::Arc;

use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::clock::http_date;
use crate::request::HeaderValues;
use crate::table::TargetGroup;

/// What a cookie binds to, and by whose wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// `AWSALB`: a target, for the group's duration.
    Target,
    /// `AWSALBTG`: a group of a weighted forward.
    Group,
    /// `AWSALBAPP-0`: a target, where the application has set its own cookie.
    Application,
}

impl Binding {
    /// The name that clients send it back under; the second one is for other origins.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Binding::Target => ("AWSALB", "AWSALBCORS"),
            Binding::Group => ("AWSALBTG", "AWSALBTGCORS"),
            Binding::Application => ("AWSALBAPP-0", "AWSALBAPP-0"),
        }
    }
}

/// AWS: the balancer's own cookies that an application may not use for its own.
pub const RESERVED_COOKIES: [&str; 3] = ["AWSALB", "AWSALBAPP", "AWSALBTG"];

/// AWS: how long clients keep `AWSALBAPP-<n>`; the stickiness inside may end before.
const APPLICATION_DAYS: u64 = 7;
/// AWS: the cookie may come in several parts; ours fits in the first.
const APPLICATION_PARTS: [&str; 3] = ["AWSALBAPP-1", "AWSALBAPP-2", "AWSALBAPP-3"];

/// A target or group as cookies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

/// Makes and opens values. One key per balancer, kept over restarts.
#[derive(Clone)]
pub struct Seal {
    keyed: Hmac<Sha256>,
}

const VALUE_BYTES: usize = 32;

impl Seal {
    /// `key` is secret, and of the balancer alone.
    pub fn new(key: &[u8; 32]) -> Seal {
        Seal { keyed: Hmac::new_from_slice(key).expect("HMAC takes keys of any length") }
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    pub fn target(&self, group: &str, id: &str, port: u16) -> Digest {
        Digest::of(&self.digest(&[b"target", group.as_bytes(), id.as_bytes(), &port.to_be_bytes()]))
    }

    pub fn group(&self, group: &str) -> Digest {
        Digest::of(&self.digest(&[b"group", group.as_bytes()]))
    }

    /// The value of a cookie that binds until then.
    pub fn seal(&self, binding: Binding, name: Digest, until: Timestamp) -> String {
        let until = (until.as_secs().clamp(0, i64::from(u32::MAX)) as u32).to_be_bytes();
        let mut value = [0_u8; VALUE_BYTES];
        value[..16].copy_from_slice(&name.0);
        value[16..20].copy_from_slice(&until);
        value[20..].copy_from_slice(&self.tag(binding, &name.0, &until));
        STANDARD_NO_PAD.encode(value)
    }

    /// What a value names, if this key made it for this binding and its time is not over.
    pub fn open(&self, binding: Binding, text: &[u8], now: Timestamp) -> Option<Digest> {
        let mut value = [0_u8; VALUE_BYTES + 1];
        // 32 bytes are 43 letters; anything else is not ours.
        if text.len() != 43 || STANDARD_NO_PAD.decode_slice(text, &mut value) != Ok(VALUE_BYTES) {
            return None;
        }
        let name: [u8; 16] = value[..16].try_into().ok()?;
        let until: [u8; 4] = value[16..20].try_into().ok()?;
        let tag = self.tag(binding, &name, &until);
        let differs = tag.iter().zip(&value[20..VALUE_BYTES]).fold(0, |sum, (a, b)| sum | (a ^ b));
        let is_live = i64::from(u32::from_be_bytes(until)) > now.as_secs();
        (differs == 0 && is_live).then_some(Digest(name))
    }

    fn tag(&self, binding: Binding, name: &[u8; 16], until: &[u8; 4]) -> [u8; 12] {
        let kind: &[u8] = match binding {
            Binding::Target => b"AWSALB",
            Binding::Group => b"AWSALBTG",
            Binding::Application => b"AWSALBAPP",
        };
        let digest = self.digest(&[b"seal", kind, name, until]);
        digest[..12].try_into().expect("12 of 32 bytes")
    }
}

impl Digest {
    fn of(digest: &[u8; 32]) -> Digest {
        Digest(digest[..16].try_into().expect("16 of 32 bytes"))
    }
}

/// A group's targets by their digests.
#[derive(Debug, Clone, Default)]
pub struct Named {
    names: Box<[Digest]>,
    places: Box<[(Digest, u32)]>,
}

impl Named {
    pub fn of(seal: &Seal, group: &TargetGroup) -> Named {
        let targets = group.targets.iter();
        let names: Box<[Digest]> =
            targets.map(|target| seal.target(&group.arn, &target.id, target.port)).collect();
        let mut places: Box<[(Digest, u32)]> =
            names.iter().enumerate().map(|(at, name)| (*name, at as u32)).collect();
        places.sort_unstable();
        Named { names, places }
    }

    /// The place of that target in [`TargetGroup::targets`].
    pub fn place(&self, digest: Digest) -> Option<usize> {
        let at = self.places.binary_search_by_key(&digest, |(name, _)| *name).ok()?;
        Some(self.places[at].1 as usize)
    }

    /// The digest of the target at that place.
    pub fn digest(&self, place: usize) -> Option<Digest> {
        self.names.get(place).copied()
    }
}

/// The group of a weighted forward that a client is bound to.
pub fn bound_group<'a>(
    seal: &Seal,
    groups: impl IntoIterator<Item = &'a Arc<str>>,
    headers: &dyn HeaderValues,
    now: Timestamp,
) -> Option<&'a Arc<str>> {
    let digest = opened(seal, Binding::Group, headers, now)?;
    groups.into_iter().find(|group| seal.group(group) == digest)
}

/// What the client's cookie of that binding names. The name for other origins counts as much as the
/// first one.
pub fn opened(seal: &Seal, binding: Binding, headers: &dyn HeaderValues, now: Timestamp) -> Option<Digest> {
    let (name, other) = binding.names();
    let mut found = None;
    headers.any("cookie", &mut |value| {
        let open = |name| cookie(value, name).and_then(|text| seal.open(binding, text, now));
        found = open(name).or_else(|| open(other));
        found.is_some()
    });
    found
}

/// Whether the client sent a cookie of that name. For `app_cookie`: both have to come.
pub fn has_cookie(headers: &dyn HeaderValues, name: &str) -> bool {
    headers.any("cookie", &mut |value| cookie(value, name).is_some())
}

/// Whether an answer's `Set-Cookie` sets a cookie of that name.
pub fn sets_cookie(set_cookie: &[u8], name: &str) -> bool {
    let end = set_cookie.iter().position(|byte| *byte == b'=').unwrap_or(set_cookie.len());
    set_cookie[..end].trim_ascii() == name.as_bytes()
}

/// A cookie's value in a `Cookie` header. Names are told apart by case.
pub fn cookie<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    header.split(|byte| *byte == b';').find_map(|part| {
        let value = part.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.trim_ascii_end())
    })
}

/// The values of the `Set-Cookie` headers that tell a client of its binding.
///
/// AWS: two of them for `AWSALB` and `AWSALBTG`, the second with `SameSite=None`, and `Secure` where
/// the client came by TLS; `Expires`, never `Max-Age`.
pub fn set_cookies(
    binding: Binding,
    value: &str,
    until: Timestamp,
    now: Timestamp,
    is_tls: bool,
) -> Vec<String> {
    let (name, other) = binding.names();
    let secure = if is_tls { "; Secure" } else { "" };
    match binding {
        Binding::Target | Binding::Group => {
            let date = http_date(until);
            vec![
                format!("{name}={value}; Expires={date}; Path=/"),
                format!("{other}={value}; Expires={date}; Path=/; SameSite=None{secure}"),
            ]
        }
        Binding::Application => {
            let date = http_date(now + std::time::Duration::from_secs(APPLICATION_DAYS * 86_400));
            let rest =
                APPLICATION_PARTS.iter().map(|part| format!("{part}=_remove_; Expires={date}; Path=/"));
            [format!("{name}={value}; Expires={date}; Path=/")].into_iter().chain(rest).collect()
        }
    }
}
