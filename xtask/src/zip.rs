//! A ZIP archive, as much of one as a wheel needs: deflated entries with UNIX modes.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Result;
use flate2::{Compression, Crc};

/// Midnight of 1980-01-01, the format's oldest day: archives of the same content are the same.
const DATE: u16 = 0x21;

/// An archive on its way out.
pub struct Zip {
    out: BufWriter<File>,
    offset: u32,
    directory: Vec<u8>,
    entries: u16,
}

impl Zip {
    pub fn new(file: File) -> Self {
        Zip { out: BufWriter::new(file), offset: 0, directory: Vec::new(), entries: 0 }
    }

    /// Adds a regular file.
    pub fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut crc = Crc::new();
        crc.update(content);
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content)?;
        let packed = encoder.finish()?;
        let mut common = Vec::new();
        for word in [20u16, 0, 8, 0, DATE] {
            common.extend(word.to_le_bytes());
        }
        for word in [crc.sum(), u32::try_from(packed.len())?, u32::try_from(content.len())?] {
            common.extend(word.to_le_bytes());
        }
        common.extend(u16::try_from(name.len())?.to_le_bytes());
        common.extend(0u16.to_le_bytes());

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend((3u16 << 8 | 20).to_le_bytes()); // made on UNIX
        self.directory.extend(&common);
        self.directory.extend([0; 6]); // comment, disk, internal attributes
        self.directory.extend(((0o100_000 | mode) << 16).to_le_bytes());
        self.directory.extend(self.offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.entries += 1;

        let header = [b"PK\x03\x04".as_slice(), &common, name.as_bytes()].concat();
        self.out.write_all(&header)?;
        self.out.write_all(&packed)?;
        self.offset += u32::try_from(header.len() + packed.len())?;
        Ok(())
    }

    /// Writes the directory.
    pub fn finish(mut self) -> Result<()> {
        self.out.write_all(&self.directory)?;
        self.out.write_all(b"PK\x05\x06\0\0\0\0")?;
        self.out.write_all(&self.entries.to_le_bytes())?;
        self.out.write_all(&self.entries.to_le_bytes())?;
        self.out.write_all(&u32::try_from(self.directory.len())?.to_le_bytes())?;
        self.out.write_all(&self.offset.to_le_bytes())?;
        self.out.write_all(&0u16.to_le_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}
