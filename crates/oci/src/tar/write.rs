//! A small writer of tar archives: ustar headers, PAX where they do not suffice.
//!
//! Invariant: equal entries give equal bytes; no time, user or path of this machine gets in.

use std::io::{self, Write};

use super::{BLOCK, Kind, padding};

/// What [`TarWriter::append`] writes. `device` and `link` are looked at for kinds that have them.
#[derive(Debug, Clone)]
pub struct WriteEntry<'a> {
    pub path: &'a str,
    pub kind: Kind,
    pub link: &'a str,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    pub device: (u32, u32),
    /// Further PAX records, such as `SCHILY.xattr.user.x`.
    pub pax: &'a [(&'a str, &'a [u8])],
    pub data: &'a [u8],
}

impl Default for WriteEntry<'_> {
    fn default() -> Self {
        WriteEntry {
            path: "",
            kind: Kind::File,
            link: "",
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            device: (0, 0),
            pax: &[],
            data: &[],
        }
    }
}

/// Writes entries one after another; [`TarWriter::finish`] ends the archive.
pub struct TarWriter<W: Write> {
    output: W,
}

impl<W: Write> TarWriter<W> {
    pub fn new(output: W) -> Self {
        TarWriter { output }
    }

    pub fn append(&mut self, entry: &WriteEntry<'_>) -> io::Result<()> {
        let mut records = Vec::new();
        for (key, value) in entry.pax {
            push_record(&mut records, key, value);
        }
        if entry.path.len() > 100 {
            push_record(&mut records, "path", entry.path.as_bytes());
        }
        if entry.link.len() > 100 {
            push_record(&mut records, "linkpath", entry.link.as_bytes());
        }
        if !records.is_empty() {
            let size = records.len() as u64;
            let about = WriteEntry { path: "pax", ..WriteEntry::default() };
            self.output.write_all(&header(&about, b'x', size))?;
            self.write_padded(&records)?;
        }
        let (flag, size) = match entry.kind {
            Kind::File => (b'0', entry.data.len() as u64),
            Kind::HardLink => (b'1', 0),
            Kind::Symlink => (b'2', 0),
            Kind::CharDevice => (b'3', 0),
            Kind::BlockDevice => (b'4', 0),
            Kind::Directory => (b'5', 0),
            Kind::Fifo => (b'6', 0),
        };
        self.output.write_all(&header(entry, flag, size))?;
        if size > 0 { self.write_padded(entry.data) } else { Ok(()) }
    }

    /// Two empty blocks, and the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn write_padded(&mut self, data: &[u8]) -> io::Result<()> {
        self.output.write_all(data)?;
        self.output.write_all(&[0; BLOCK][..padding(data.len() as u64) as usize])
    }
}

fn header(entry: &WriteEntry<'_>, flag: u8, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, 100, entry.path.as_bytes());
    put(&mut block, 100, 8, format!("{:07o}", entry.mode).as_bytes());
    put(&mut block, 108, 8, format!("{:07o}", entry.uid).as_bytes());
    put(&mut block, 116, 8, format!("{:07o}", entry.gid).as_bytes());
    put(&mut block, 124, 12, format!("{size:011o}").as_bytes());
    put(&mut block, 136, 12, format!("{:011o}", entry.mtime).as_bytes());
    block[156] = flag;
    put(&mut block, 157, 100, entry.link.as_bytes());
    put(&mut block, 257, 8, b"ustar\x0000");
    put(&mut block, 329, 8, format!("{:07o}", entry.device.0).as_bytes());
    put(&mut block, 337, 8, format!("{:07o}", entry.device.1).as_bytes());
    put(&mut block, 148, 8, b"        ");
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    put(&mut block, 148, 7, format!("{sum:06o}\0").as_bytes());
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, len: usize, value: &[u8]) {
    let len = len.min(value.len());
    block[at..at + len].copy_from_slice(&value[..len]);
}

/// The length at a record's head counts itself.
fn push_record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + rest.to_string().len();
    if rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(format!("{len} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}
