//! Buffers that a worker lends: an idle connection holds none.

use std::cell::RefCell;

/// Fits a head and a small body.
pub const SMALL: usize = 16 * 1024;
/// For bodies that flow.
pub const LARGE: usize = 256 * 1024;

/// How many of each are kept; more are freed.
const SMALL_KEPT: usize = 512;
const LARGE_KEPT: usize = 16;

/// Last in, first out: the next user gets what the processor's cache still holds.
#[derive(Default)]
pub struct Buffers {
    small: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer of [`SMALL`] bytes' capacity.
    pub fn small(&self) -> Vec<u8> {
        self.small.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(SMALL))
    }

    /// An empty buffer of [`LARGE`] bytes' capacity.
    pub fn large(&self) -> Vec<u8> {
        self.large.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(LARGE))
    }

    /// Frees most of what nobody has asked for: what a burst left behind.
    pub fn trim(&self) {
        for (kept, most) in [(&self.small, SMALL_KEPT / 8), (&self.large, LARGE_KEPT / 4)] {
            kept.borrow_mut().truncate(most);
        }
    }

    /// Takes a buffer back, whatever its origin; one without capacity costs nothing.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let (kept, most) = match buffer.capacity() {
            SMALL => (&self.small, SMALL_KEPT),
            LARGE => (&self.large, LARGE_KEPT),
            _ => return,
        };
        buffer.clear();
        let mut kept = kept.borrow_mut();
        if kept.len() < most {
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_the_last_one_first() {
        let buffers = Buffers::default();
        let (mut first, second) = (buffers.small(), buffers.small());
        first.extend_from_slice(b"left");
        let at = first.as_ptr();
        buffers.give(second);
        buffers.give(first);
        let again = buffers.small();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (at, 0, SMALL));
    }

    #[test]
    fn what_has_grown_is_not_kept() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(SMALL * 2));
        assert!(buffers.small.borrow().is_empty() && buffers.large.borrow().is_empty());
    }
}
