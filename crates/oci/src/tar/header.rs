//! One 512-byte header.

use super::{BLOCK, Entry, Kind, TarError};

pub(super) struct Header([u8; BLOCK]);

impl Header {
    /// Takes a block whose checksum is right.
    pub fn parse(block: [u8; BLOCK]) -> Result<Header, TarError> {
        let header = Header(block);
        let stated = octal(header.field(148, 8)).ok_or(TarError::Malformed("checksum"))?;
        let blank = |(at, &byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { byte };
        let bytes = || block.iter().enumerate().map(blank);
        let unsigned: u64 = bytes().map(u64::from).sum();
        // Some old writers summed signed characters.
        let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
        if stated == unsigned || i64::try_from(stated) == Ok(signed) {
            Ok(header)
        } else {
            Err(TarError::Malformed("checksum"))
        }
    }

    pub fn flag(&self) -> Result<u8, TarError> {
        match self.0[156] {
            b'S' => Err(TarError::Sparse),
            flag => Ok(flag),
        }
    }

    pub fn size(&self) -> Result<u64, TarError> {
        number(self.field(124, 12)).and_then(|n| u64::try_from(n).ok()).ok_or(TarError::Malformed("size"))
    }

    pub fn entry(&self) -> Result<Entry, TarError> {
        let path = self.path();
        let kind = match self.flag()? {
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarError::Type(char::from(other))),
        };
        let link = match kind {
            Kind::HardLink | Kind::Symlink => text(self.field(157, 100)).to_vec(),
            _ => Vec::new(),
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => {
                (self.id(329, 8, "device number")?, self.id(337, 8, "device number")?)
            }
            _ => (0, 0),
        };
        Ok(Entry {
            path,
            link,
            kind,
            mode: self.id(100, 8, "mode")? & 0o7777,
            uid: self.id(108, 8, "uid")?,
            gid: self.id(116, 8, "gid")?,
            size: self.size()?,
            mtime: (number(self.field(136, 12)).ok_or(TarError::Malformed("mtime"))?, 0),
            device,
            xattrs: Vec::new(),
        })
    }

    fn path(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        // GNU's variant keeps times where POSIX keeps the prefix.
        let prefix = if self.field(257, 6) == b"ustar\0" { text(self.field(345, 155)) } else { b"" };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    fn field(&self, at: usize, len: usize) -> &[u8] {
        &self.0[at..at + len]
    }

    fn id(&self, at: usize, len: usize, what: &'static str) -> Result<u32, TarError> {
        number(self.field(at, len)).and_then(|n| u32::try_from(n).ok()).ok_or(TarError::Malformed(what))
    }
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal digits, or GNU's base 256 when the top bit is set.
fn number(field: &[u8]) -> Option<i64> {
    match field[0] {
        0x80 => field[1..].iter().try_fold(0i64, |n, &b| n.checked_mul(256)?.checked_add(i64::from(b))),
        0xff => field[1..].iter().try_fold(-1i64, |n, &b| n.checked_mul(256)?.checked_add(i64::from(b))),
        0x81..=0xfe => None,
        _ => octal(field).and_then(|n| i64::try_from(n).ok()),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !is_blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_blank) {
        return None;
    }
    digits[..end].iter().try_fold(0u64, |n, &b| {
        let digit = matches!(b, b'0'..=b'7').then(|| u64::from(b - b'0'))?;
        n.checked_mul(8)?.checked_add(digit)
    })
}
