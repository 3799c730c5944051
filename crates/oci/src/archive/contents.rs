//! What lies where in an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use blobs::{Digest, Hasher};

use crate::Error;
use crate::manifest::Part;
use crate::tar::{Kind, TarReader};

/// Files of one archive.
const MAX_FILES: usize = 100_000;

pub(super) struct Contents {
    file: File,
    /// Offset and length of each file's data.
    files: BTreeMap<String, (u64, u64)>,
}

impl Contents {
    /// Reads all headers; data is skipped by seeking.
    pub fn scan(file: File) -> Result<Contents, Error> {
        let mut input = Positioned { input: BufReader::new(file), at: 0 };
        let mut files = BTreeMap::new();
        let mut magic = [0; 6];
        let read = input.input.get_ref().read_at(&mut magic, 0).map_err(invalid)?;
        if magic[..read].starts_with(&[0x1f, 0x8b]) || magic[..read].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Err(Error::Archive(String::from("it is compressed: decompress it first")));
        }
        loop {
            let (path, size) = {
                let mut tar = TarReader::new(&mut input);
                match tar.next_entry().map_err(invalid)? {
                    None => break,
                    Some(entry) => {
                        let path = String::from_utf8_lossy(&entry.path).trim_start_matches("./").to_owned();
                        ((entry.kind == Kind::File).then_some(path), entry.size)
                    }
                }
            };
            if let Some(path) = path {
                if files.len() == MAX_FILES || files.contains_key(&path) {
                    return Err(Error::Archive(String::from("too many files, or one of them twice")));
                }
                files.insert(path, (input.at, size));
            }
            input.skip(size.next_multiple_of(512)).map_err(invalid)?;
        }
        let file = input.input.into_inner();
        let len = file.metadata().map_err(invalid)?.len();
        if files.values().any(|(at, size)| at.checked_add(*size).is_none_or(|end| end > len)) {
            return Err(Error::Archive(String::from("it ends in the middle of a file")));
        }
        Ok(Contents { file, files })
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The whole of a small file.
    pub fn small(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut slice = self.open(path)?;
        if slice.left > limit {
            return Err(Error::Archive(format!("{path} has more than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        slice.read_to_end(&mut bytes).map_err(invalid)?;
        Ok(bytes)
    }

    pub fn open(&self, path: &str) -> Result<Slice<'_>, Error> {
        let (at, left) = *self.files.get(path).ok_or_else(|| Error::Archive(format!("{path} is missing")))?;
        Ok(Slice { file: &self.file, at, left })
    }

    /// A reader that fails at its end unless it gave what `part` says.
    pub fn verified(&self, path: &str, part: &Part) -> Result<Verified<'_>, Error> {
        let slice = self.open(path)?;
        if slice.left != part.size {
            return Err(Error::Size { digest: part.digest, expected: part.size, actual: slice.left });
        }
        Ok(Verified { slice, hasher: Some(Hasher::default()), expected: part.digest })
    }
}

pub(super) struct Slice<'a> {
    file: &'a File,
    at: u64,
    pub left: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = to.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut to[..len], self.at)?;
        if read == 0 && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

pub(super) struct Verified<'a> {
    slice: Slice<'a>,
    /// Taken at the end.
    hasher: Option<Hasher>,
    expected: Digest,
}

impl Read for Verified<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.slice.read(to)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&to[..read]);
        }
        if self.slice.left == 0
            && let Some(hasher) = self.hasher.take()
        {
            let actual = hasher.finish();
            if actual != self.expected {
                let text = format!("content does not match its digest: {} is {actual}", self.expected);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(read)
    }
}

struct Positioned {
    input: BufReader<File>,
    at: u64,
}

impl Positioned {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let to = self.at.checked_add(bytes).ok_or(io::ErrorKind::InvalidData)?;
        let by = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        self.input.seek_relative(by).or_else(|_| self.input.seek(SeekFrom::Start(to)).map(drop))?;
        self.at = to;
        Ok(())
    }
}

impl Read for Positioned {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(to)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl BufRead for Positioned {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.at += len as u64;
        self.input.consume(len);
    }
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Archive(error.to_string())
}
