//! A strict reader of tar archives: ustar, GNU long names, PAX.
//!
//! Owns the format only: paths come out as they are written, and nothing touches a file system.
//!
//! Invariant: any bytes give entries or an error, never a panic, and memory stays bounded.
//!
//! Ignores access and change times and global PAX headers; refuses sparse files by name.

mod header;
mod pax;
mod write;

pub use write::{TarWriter, WriteEntry};

use std::io::{self, BufRead};

use header::Header;

const BLOCK: usize = 512;
/// Bytes of one PAX header or GNU long name.
const MAX_EXTENSION: u64 = 1 << 20;
/// Headers in a row that describe one entry.
const MAX_PREFIXES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member of an archive. Its data follows in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: Vec<u8>,
    /// Target of a link; empty otherwise.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission, setuid, setgid and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes of data; zero for everything but files.
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("invalid tar header: {0}")]
    Malformed(&'static str),
    #[error("tar entries of type {0:?} are not supported")]
    Type(char),
    #[error("sparse tar entries are not supported")]
    Sparse,
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    #[error("reading the archive failed")]
    Io(#[source] io::Error),
}

/// Reads one archive from `input`.
pub struct TarReader<'a> {
    input: &'a mut dyn BufRead,
    /// Bytes of the current entry's data, and of its padding, still to come.
    data: u64,
    padding: u64,
    is_finished: bool,
}

impl<'a> TarReader<'a> {
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        TarReader { input, data: 0, padding: 0, is_finished: false }
    }

    /// The next entry, skipping what is left of the current one; None at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = pax::Extensions::default();
        for _ in 0..MAX_PREFIXES {
            let Some(header) = self.next_header()? else {
                return match extensions.is_empty() {
                    true => Ok(None),
                    false => Err(TarError::Malformed("extension headers without an entry")),
                };
            };
            match header.flag()? {
                b'x' | b'X' => extensions.read_pax(&self.extension(&header)?)?,
                b'g' => drop(self.extension(&header)?),
                b'L' => extensions.set_path(self.extension(&header)?),
                b'K' => extensions.set_link(self.extension(&header)?),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
        Err(TarError::Malformed("too many extension headers"))
    }

    /// The next piece of the current entry's data; empty at its end.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let piece = self.input.fill_buf().map_err(TarError::Io)?;
        if piece.is_empty() {
            return Err(TarError::Truncated);
        }
        let len = piece.len().min(usize::try_from(self.data).unwrap_or(usize::MAX));
        Ok(&piece[..len])
    }

    /// Moves past `len` bytes of what [`TarReader::data`] gave.
    pub fn consume(&mut self, len: usize) {
        assert!(len as u64 <= self.data, "more consumed than given");
        self.input.consume(len);
        self.data -= len as u64;
    }

    fn entry(&mut self, header: &Header, extensions: pax::Extensions) -> Result<Entry, TarError> {
        let mut entry = extensions.apply(header.entry()?)?;
        // Before ustar, a directory was a file whose name ends in a slash.
        if header.flag()? == 0 && entry.path.ends_with(b"/") {
            entry.kind = Kind::Directory;
            entry.size = 0;
        }
        self.data = entry.size;
        self.padding = padding(entry.size);
        Ok(entry)
    }

    fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.is_finished {
            return Ok(None);
        }
        self.skip(self.data)?;
        self.data = 0;
        // The padding after the last entry may be missing.
        if !self.skip_padding()? {
            self.is_finished = true;
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        let read = self.fill(&mut block)?;
        if read == 0 || block.iter().all(|&b| b == 0) {
            self.is_finished = true;
            return Ok(None);
        }
        if read < BLOCK {
            return Err(TarError::Truncated);
        }
        Header::parse(block).map(Some)
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > MAX_EXTENSION {
            return Err(TarError::Malformed("an extension header is longer than 1 MiB"));
        }
        let mut bytes = vec![0; size as usize];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(TarError::Truncated);
        }
        self.padding = padding(size);
        Ok(bytes)
    }

    /// Reads until `to` is full or the input ends.
    fn fill(&mut self, to: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < to.len() {
            let piece = self.input.fill_buf().map_err(TarError::Io)?;
            if piece.is_empty() {
                break;
            }
            let len = piece.len().min(to.len() - filled);
            to[filled..filled + len].copy_from_slice(&piece[..len]);
            self.input.consume(len);
            filled += len;
        }
        Ok(filled)
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), TarError> {
        while bytes > 0 {
            let piece = self.input.fill_buf().map_err(TarError::Io)?;
            if piece.is_empty() {
                return Err(TarError::Truncated);
            }
            let len = piece.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.input.consume(len);
            bytes -= len as u64;
        }
        Ok(())
    }

    fn skip_padding(&mut self) -> Result<bool, TarError> {
        let padding = std::mem::take(&mut self.padding);
        let mut block = [0; BLOCK];
        Ok(self.fill(&mut block[..padding as usize])? as u64 == padding)
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}
