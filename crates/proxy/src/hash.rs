//! A quick hash for keys that peers do not choose: routes and ARNs come from tables.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps on a request's path.
pub type Quick = BuildHasherDefault<Folded>;

/// Multiplies and folds, word by word.
#[derive(Default)]
pub struct Folded(u64);

impl Folded {
    #[inline]
    fn take(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word ^ 0xf39c_c060_5ced_c834) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
}

impl Hasher for Folded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.take(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.take(u64::from(number));
    }

    #[inline]
    fn write_u16(&mut self, number: u16) {
        self.take(u64::from(number));
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.take(u64::from(number));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn keys_that_are_alike_fall_apart() {
        let quick = Quick::default();
        let arns =
            (0..10_000).map(|at| quick.hash_one(format!("arn:aws:elasticloadbalancing:targetgroup/{at}")));
        let ports = (0..10_000_u32).map(|at| quick.hash_one((1_u32, at)));
        let low: HashSet<u64> = arns.chain(ports).map(|hash| hash & 0xf_ffff).collect();
        assert!(low.len() > 19_000, "{} of 20,000", low.len());
    }
}
