//! The `json-file` driver: files on the host, a JSON object a line, as Docker writes them.
//!
//! Invariant: a batch that is written again after a crash replaces its first attempt, but where a
//! rotation lies between the two.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Timestamp;
use runtime::spool::{Entry, Stream};
use serde::Serialize;

/// How large a container's files may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// `None`: one file, without a bound.
    pub max_bytes: Option<u64>,
    pub max_files: u32,
    pub is_compressed: bool,
}

#[derive(Debug)]
pub(crate) struct JsonFile {
    path: PathBuf,
    bounds: Bounds,
    attributes: BTreeMap<String, String>,
    file: File,
    bytes: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'a str,
    stream: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attrs: &'a BTreeMap<String, String>,
    time: &'a str,
}

impl JsonFile {
    /// Opens the file at `path`; what lies behind `kept` bytes was a batch that was not completed.
    pub fn open(
        path: PathBuf,
        bounds: Bounds,
        attributes: BTreeMap<String, String>,
        kept: Option<u64>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let there = file.metadata()?.len();
        let bytes = kept.filter(|kept| *kept <= there).unwrap_or(there);
        if bytes < there {
            file.set_len(bytes)?;
        }
        Ok(JsonFile { path, bounds, attributes, file, bytes })
    }

    /// Bytes in the current file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a batch with one write, or a few where the file is rotated.
    pub fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(entries.iter().map(|entry| entry.text.len() + 96).sum());
        let mut latest = (Timestamp::NEVER, String::new());
        for entry in entries {
            if latest.0 != entry.time {
                latest = (entry.time, entry.time.iso8601());
            }
            let begin = buffer.len();
            self.line(&mut buffer, entry, &latest.1)?;
            let length = (buffer.len() - begin) as u64;
            let is_over =
                |max: u64| self.bytes + begin as u64 + length > max && self.bytes + begin as u64 > 0;
            if self.bounds.max_bytes.is_some_and(is_over) {
                let line = buffer.split_off(begin);
                self.append(&buffer)?;
                self.rotate()?;
                buffer = line;
            }
        }
        self.append(&buffer)
    }

    fn line(&self, buffer: &mut Vec<u8>, entry: &Entry, time: &str) -> io::Result<()> {
        let mut text = String::from_utf8_lossy(&entry.text).into_owned();
        if !entry.goes_on {
            text.push('\n');
        }
        let stream = match entry.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        serde_json::to_writer(&mut *buffer, &Line { log: &text, stream, attrs: &self.attributes, time })?;
        buffer.push(b'\n');
        Ok(())
    }

    fn append(&mut self, buffer: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(buffer) {
            // A full disk may have taken a part: the whole batch comes again.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    /// Docker: `NAME.1` is the youngest of the files before, and with one file it begins anew.
    fn rotate(&mut self) -> io::Result<()> {
        let suffix = if self.bounds.is_compressed { ".gz" } else { "" };
        let older = |nth: u32| with_suffix(&self.path, &format!(".{nth}{suffix}"));
        if self.bounds.max_files > 1 {
            for nth in (1..self.bounds.max_files - 1).rev() {
                rename_if_there(&older(nth), &older(nth + 1))?;
            }
            if self.bounds.is_compressed {
                compress(&self.path, &older(1))?;
                fs::remove_file(&self.path)?;
            } else {
                fs::rename(&self.path, older(1))?;
            }
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        } else {
            self.file.set_len(0)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(File::create(to)?, flate2::Compression::fast());
    io::copy(&mut File::open(from)?, &mut encoder)?;
    encoder.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use runtime::spool::Position;

    use super::*;

    fn entry(text: &str, stream: Stream) -> Entry {
        let at = Position::default();
        let time = Timestamp::from_millis(1_700_000_000_123);
        Entry { at, next: at, stream, time, goes_on: false, text: text.as_bytes().to_vec() }
    }

    fn bounds(max_bytes: Option<u64>, max_files: u32) -> Bounds {
        Bounds { max_bytes, max_files, is_compressed: false }
    }

    #[test]
    fn a_line_is_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-json.log");
        let attributes = BTreeMap::from([("tag".to_owned(), "web".to_owned())]);
        let mut file = JsonFile::open(path.clone(), bounds(None, 1), attributes, None).unwrap();
        file.write(&[entry("say \"hi\"", Stream::Stdout), entry("", Stream::Stderr)]).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let expected = concat!(
            r#"{"log":"say \"hi\"\n","stream":"stdout","attrs":{"tag":"web"},"time":"2023-11-14T22:13:20.123Z"}"#,
            "\n",
            r#"{"log":"\n","stream":"stderr","attrs":{"tag":"web"},"time":"2023-11-14T22:13:20.123Z"}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn files_rotate_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-json.log");
        let mut file = JsonFile::open(path.clone(), bounds(Some(200), 3), BTreeMap::new(), None).unwrap();
        for nth in 0..20 {
            file.write(&[entry(&format!("line {nth}"), Stream::Stdout)]).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["web-json.log", "web-json.log.1", "web-json.log.2"]);
        for name in &names {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(text.len() <= 200 && !text.is_empty());
        }
        assert!(fs::read_to_string(path).unwrap().contains("line 19"));
    }

    #[test]
    fn one_file_begins_anew_and_compressed_ones_shrink() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = JsonFile::open(path.clone(), bounds(Some(100), 1), BTreeMap::new(), None).unwrap();
        file.write(&[entry("one", Stream::Stdout), entry("two", Stream::Stdout)]).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("one"));
        let path = dir.path().join("b");
        let compressed = Bounds { max_bytes: Some(100), max_files: 2, is_compressed: true };
        let mut file = JsonFile::open(path.clone(), compressed, BTreeMap::new(), None).unwrap();
        file.write(&[entry("one", Stream::Stdout), entry("two", Stream::Stdout)]).unwrap();
        let mut text = String::new();
        let packed = File::open(dir.path().join("b.1.gz")).unwrap();
        io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
        assert!(text.contains("one"));
    }

    #[test]
    fn a_batch_that_was_not_completed_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = JsonFile::open(path.clone(), bounds(None, 1), BTreeMap::new(), None).unwrap();
        file.write(&[entry("one", Stream::Stdout)]).unwrap();
        let kept = file.bytes();
        file.write(&[entry("two", Stream::Stdout)]).unwrap();
        let mut file = JsonFile::open(path.clone(), bounds(None, 1), BTreeMap::new(), Some(kept)).unwrap();
        file.write(&[entry("two", Stream::Stdout)]).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 2);
    }
}
