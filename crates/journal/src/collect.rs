//! Giving back the space of what was deleted or trimmed.
//!
//! A sealed segment of which less than half is alive is written anew beside itself and renamed
//! over, so frames keep their order and no other segment is touched. Deletions and trims stay as
//! long as an older segment might hold what they hide.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

use crate::frame::{self, Frame, HEADER, State};
use crate::index::{Index, Span, Stream};
use crate::journal::Journal;
use crate::segment::{self, Footer, MAGIC, Scan, Segment};

/// What a segment still has to say about one stream.
struct Claim {
    alive: Vec<Range<u64>>,
    /// Its state here, unless later segments say as much.
    state: Option<State>,
    holds_trim: bool,
}

/// One segment to be rewritten.
struct Work {
    segment: Arc<Segment>,
    claims: BTreeMap<Arc<str>, Claim>,
    /// Whether older segments exist, whose content deletions and trims in this one may hide.
    is_oldest: bool,
}

impl Journal {
    /// Rewrites or removes the sealed segments that are mostly dead. Answers the bytes given back.
    /// Blocking; appends and reads go on meanwhile.
    pub fn collect(&self) -> io::Result<u64> {
        let _one = self.shared.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<u64> = self.shared.index().segments.keys().copied().collect();
        let mut freed = 0;
        for number in numbers {
            if let Some(work) = self.work(number)? {
                freed += self.rewrite(work)?;
            }
        }
        Ok(freed)
    }

    /// What there is to do for a segment; `None` for the growing one and for those alive enough.
    fn work(&self, number: u64) -> io::Result<Option<Work>> {
        let index = self.shared.index();
        let Some(segment) = index.segments.get(&number).cloned() else { return Ok(None) };
        if index.segments.last_key_value().is_some_and(|(last, _)| *last == number) {
            return Ok(None);
        }
        let is_oldest = index.segments.first_key_value().is_some_and(|(first, _)| *first == number);
        let length = segment.file.metadata()?.len();
        let claims: BTreeMap<Arc<str>, Claim> = index
            .streams
            .iter()
            .filter_map(|(key, stream)| Some((Arc::clone(key), claim(stream, number)?)))
            .collect();
        let spans = index.streams.values().flat_map(Stream::spans);
        let alive: u64 = spans.filter(|(at, _)| *at == number).map(|(_, span)| span.own).sum();
        let is_empty = claims.values().all(|claim| claim.alive.is_empty() && claim.state.is_none());
        let is_worth = alive * 2 < length && length > self.shared.small || is_empty && is_oldest;
        Ok(is_worth.then_some(Work { segment, claims, is_oldest }))
    }

    fn rewrite(&self, work: Work) -> io::Result<u64> {
        let number = work.segment.number;
        let old_length = work.segment.file.metadata()?.len();
        let path = work.segment.path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let mut copy = Copy { file: &file, length: 0, buffer: MAGIC.to_vec() };
        let mut index = Index::default();
        let deleted = keep(&work, &mut copy, &mut index)?;
        if deleted.is_empty() && index.streams.is_empty() {
            drop(file);
            fs::remove_file(&path)?;
            self.replace(number, None, Index::default(), || fs::remove_file(&work.segment.path))?;
            segment::sync_dir(&self.shared.dir)?;
            return Ok(old_length);
        }
        let footer = Footer::gather(&index, number, deleted);
        let length = copy.length + copy.buffer.len() as u64;
        copy.buffer.extend_from_slice(&footer.encode(length));
        copy.flush()?;
        let new_length = copy.length;
        file.sync_all()?;
        let segment = Arc::new(Segment { number, file, path: work.segment.path.clone() });
        self.replace(number, Some(segment), index, || fs::rename(&path, &work.segment.path))?;
        segment::sync_dir(&self.shared.dir)?;
        Ok(old_length.saturating_sub(new_length))
    }

    /// Puts the rewritten segment in the old one's place, in the index and on disk at once.
    fn replace(
        &self,
        number: u64,
        segment: Option<Arc<Segment>>,
        mut rewritten: Index,
        on_disk: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut index = self.shared.index_mut();
        on_disk()?;
        for (key, stream) in &mut index.streams {
            let Ok(at) = stream.parts.binary_search_by_key(&number, |(part, _)| *part) else { continue };
            // A stream that was deleted meanwhile has no part here and stays away.
            let new = rewritten.streams.remove(key).and_then(|mut new| new.parts.pop());
            match new {
                Some((_, part)) => stream.parts[at].1 = part,
                None => drop(stream.parts.remove(at)),
            }
            // And what was trimmed meanwhile came back with the copy.
            stream.drop_hidden();
        }
        match segment {
            Some(segment) => drop(index.segments.insert(number, segment)),
            None => drop(index.segments.remove(&number)),
        }
        Ok(())
    }
}

fn claim(stream: &Stream, number: u64) -> Option<Claim> {
    let at = stream.parts.binary_search_by_key(&number, |(part, _)| *part).ok()?;
    let part = &stream.parts[at].1;
    let mut later = State::default();
    stream.parts[at + 1..].iter().for_each(|(_, part)| later.absorb(&part.state));
    let mut both = later.clone();
    both.absorb(&part.state);
    let alive = part.spans.iter().map(|span: &Span| span.start..span.end).collect();
    let holds_trim = part.trim.is_some() && part.trim == stream.trim();
    Some(Claim { alive, state: (both != later).then(|| part.state.clone()), holds_trim })
}

/// Copies what is still claimed; answers the streams whose deletion was kept.
fn keep(work: &Work, copy: &mut Copy<'_>, index: &mut Index) -> io::Result<Vec<String>> {
    let number = work.segment.number;
    let mut deleted = BTreeSet::new();
    let damage = || io::Error::new(io::ErrorKind::InvalidData, "a sealed segment is damaged");
    let mut scan = Scan::new(&work.segment.file)?.ok_or_else(damage)?;
    let mut is_whole = false;
    while let Some((start, payload)) = scan.step()? {
        let frame = Frame::parse(payload).map_err(|_| damage())?;
        let is_kept = match &frame {
            Frame::Footer(_) => {
                is_whole = true;
                break;
            }
            Frame::Batch { key, .. } => work
                .claims
                .get(*key)
                .is_some_and(|claim| claim.alive.iter().any(|range| range.contains(&start))),
            Frame::Delete { key } => {
                let is_kept = !work.is_oldest;
                if is_kept {
                    deleted.insert((*key).to_owned());
                }
                is_kept
            }
            Frame::Trim { key, .. } => {
                !work.is_oldest && work.claims.get(*key).is_some_and(|claim| claim.holds_trim)
            }
            // Written anew below, as it is at the segment's end.
            Frame::State { .. } => false,
        };
        if is_kept {
            let at = copy.frame(payload)?;
            index.note(number, at, &frame);
        }
    }
    if !is_whole {
        return Err(damage());
    }
    for (key, claim) in &work.claims {
        let Some(state) = &claim.state else { continue };
        let mut frame = Vec::new();
        frame::write_state(&mut frame, key, state);
        let at = copy.frame(&frame[HEADER..])?;
        index.note(number, at, &Frame::State { key, state: state.clone() });
    }
    Ok(deleted.into_iter().collect())
}

/// A file that grows by buffered frames.
struct Copy<'a> {
    file: &'a fs::File,
    length: u64,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    /// Adds a frame around `payload`; answers where it lies.
    fn frame(&mut self, payload: &[u8]) -> io::Result<Range<u64>> {
        if self.buffer.len() > 1 << 20 {
            self.flush()?;
        }
        let start = self.length + self.buffer.len() as u64;
        frame::framed(&mut self.buffer, |out| out.extend_from_slice(payload));
        Ok(start..self.length + self.buffer.len() as u64)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.length)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
