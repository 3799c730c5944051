//! Extended headers: what does not fit into 512 bytes.

use super::{Entry, Kind, TarError};

/// Extended attributes of one entry.
const MAX_XATTRS: usize = 256;

/// What the headers before an entry say about it.
#[derive(Default)]
pub(super) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    is_present: bool,
}

impl Extensions {
    pub fn is_empty(&self) -> bool {
        !self.is_present
    }

    pub fn set_path(&mut self, name: Vec<u8>) {
        self.is_present = true;
        self.path = Some(until_nul(name));
    }

    pub fn set_link(&mut self, name: Vec<u8>) {
        self.is_present = true;
        self.link = Some(until_nul(name));
    }

    /// Records of the form `<length> <key>=<value>\n`.
    pub fn read_pax(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        self.is_present = true;
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(TarError::Malformed("PAX record"))?;
            self.set(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link = Some(name(value)?),
            b"size" => self.size = Some(decimal(value).ok_or(TarError::Malformed("PAX size"))?),
            b"uid" => self.uid = Some(id(value)?),
            b"gid" => self.gid = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or(TarError::Malformed("PAX mtime"))?),
            _ if key.starts_with(b"GNU.sparse.") => return Err(TarError::Sparse),
            _ => return self.set_xattr(key, value),
        }
        Ok(())
    }

    fn set_xattr(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let (name, value) = if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            (name.to_vec(), value.to_vec())
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let name = percent_decoded(name).ok_or(TarError::Malformed("LIBARCHIVE.xattr name"))?;
            (name, base64(value).ok_or(TarError::Malformed("LIBARCHIVE.xattr value"))?)
        } else {
            return Ok(());
        };
        // libarchive writes both forms; the first is as good as the second.
        if self.xattrs.iter().any(|(known, _)| *known == name) {
            return Ok(());
        }
        if name.is_empty() || name.contains(&0) || self.xattrs.len() == MAX_XATTRS {
            return Err(TarError::Malformed("extended attributes"));
        }
        self.xattrs.push((name, value));
        Ok(())
    }

    pub fn apply(self, mut entry: Entry) -> Result<Entry, TarError> {
        if let Some(path) = self.path {
            entry.path = path;
        }
        if let Some(link) = self.link
            && matches!(entry.kind, Kind::HardLink | Kind::Symlink)
        {
            entry.link = link;
        }
        entry.size = self.size.unwrap_or(entry.size);
        entry.uid = self.uid.unwrap_or(entry.uid);
        entry.gid = self.gid.unwrap_or(entry.gid);
        entry.mtime = self.mtime.unwrap_or(entry.mtime);
        entry.xattrs = self.xattrs;
        // Only files carry data; what writers put into this field of a link is no data length.
        if entry.kind != Kind::File {
            entry.size = 0;
        }
        if entry.size > i64::MAX as u64 {
            return Err(TarError::Malformed("size"));
        }
        Ok(entry)
    }
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&b| b == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
    if len <= space + 1 || len > bytes.len() || bytes[len - 1] != b'\n' {
        return None;
    }
    let body = &bytes[space + 1..len - 1];
    let equals = body.iter().position(|&b| b == b'=')?;
    (equals > 0).then_some((&body[..equals], &body[equals + 1..], &bytes[len..]))
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    name.truncate(end);
    name
}

fn name(value: &[u8]) -> Result<Vec<u8>, TarError> {
    if value.contains(&0) { Err(TarError::Malformed("PAX name")) } else { Ok(value.to_vec()) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn id(value: &[u8]) -> Result<u32, TarError> {
    decimal(value).and_then(|n| u32::try_from(n).ok()).ok_or(TarError::Malformed("PAX owner"))
}

/// Seconds with an optional sign and fraction; nanoseconds count forward from the second.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let dot = value.iter().position(|&b| b == b'.').unwrap_or(value.len());
    let seconds = i64::try_from(decimal(&value[..dot])?).ok()?;
    let fraction = value.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |b| u32::from(b - b'0'));
    let nanos = (0..9).fold(0, |n, at| n * 10 + digit(at));
    match (is_negative, nanos) {
        (false, nanos) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        (true, nanos) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

fn percent_decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'%' {
            let digits = name.get(at + 1..at + 3)?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            at += 3;
        } else {
            decoded.push(name[at]);
            at += 1;
        }
    }
    Some(decoded)
}

/// Base64 without or with padding, as libarchive writes it.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().position(|&b| b == b'=').map_or(text, |end| &text[..end]);
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for &b in digits {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}
