//! Compressed bytes in, archive bytes out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::UnpackError;

/// A file that counts what was read of it.
pub(super) struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(to)?;
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// Decompresses by what the content is, as Docker does; the media type must not say otherwise.
/// `read` counts compressed bytes.
pub(super) fn reader(
    file: File,
    media_type: &str,
    read: Arc<AtomicU64>,
) -> Result<Box<dyn Read + Send>, UnpackError> {
    let mut input = BufReader::with_capacity(256 << 10, Counted { file, read });
    let start = input.fill_buf().map_err(UnpackError::Inflate)?;
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let is_zstd = start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (start.len() >= 4 && start[1..4] == [0x2a, 0x4d, 0x18] && start[0] & 0xf0 == 0x50);
    let is_plain = !is_gzip && !is_zstd;
    // Docker takes a plain archive for a compressed one and the reverse; only one compression
    // under the name of the other, or something else altogether, is a mistake worth stopping at.
    let fits = match media_type {
        m if m.ends_with("+zstd") || m.ends_with(".zstd") => is_zstd || is_plain,
        m if m.ends_with("+gzip") || m.ends_with(".gzip") => is_gzip || is_plain,
        m => m.ends_with(".tar") || m.is_empty(),
    };
    if !fits {
        return Err(UnpackError::Compression { media_type: media_type.chars().take(200).collect() });
    }
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(input))
    } else if is_zstd {
        Box::new(Zstd { input, decoder: FrameDecoder::new(), in_frame: false })
    } else {
        Box::new(input)
    })
}

/// Frames one after another, skippable ones skipped. The diff id covers what their checksums would.
struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Enters the next frame; false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.input).take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let step = ruzstd::decoding::BlockDecodingStrategy::UptoBytes(256 << 10);
                self.decoder
                    .decode_blocks(&mut self.input, step)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            }
            let read = self.decoder.read(to)?;
            if read > 0 {
                return Ok(read);
            }
            self.in_frame = false;
        }
    }
}
