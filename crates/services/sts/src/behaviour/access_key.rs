//! Access key ids: what stands in their sixteen letters.
//!
//! ```text
//! ASIA ‖ base32( 1 bit set │ 40 bits account │ 19 bits drawn │ 20 bits mark )
//! ```
//!
//! AWS: the account stands in the key at the same place; tools read it from there.

use base::{AccountId, Chance};

use crate::seal::Seal;

const TEMPORARY: &str = "ASIA";
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LENGTH: usize = 16;

/// A new key of `account`. Draws until `is_free` likes one.
pub(crate) fn draw(
    account: &AccountId,
    chance: &mut Chance,
    seal: &Seal,
    is_free: impl Fn(&str) -> bool,
) -> String {
    let number: u64 = account.as_str().parse().unwrap_or_default();
    loop {
        let rest = (1 << 59) | (number << 19) | chance.below(1 << 19);
        let key = spell(rest, seal.mark(rest));
        if is_free(&key) {
            return key;
        }
    }
}

/// Whether the key was issued here, now or ever.
pub(crate) fn is_ours(key: &str, seal: &Seal) -> bool {
    let bits = key.strip_prefix(TEMPORARY).and_then(bits);
    bits.is_some_and(|bits| {
        let rest = (bits >> 20) as u64;
        u128::from(seal.mark(rest)) == bits & 0xf_ffff
    })
}

/// The account that stands in a key, ours or AWS's.
pub(crate) fn account(key: &str) -> Option<AccountId> {
    let is_key = key.starts_with(TEMPORARY) || key.starts_with("AKIA");
    let bits = bits(key.get(4..)?).filter(|_| is_key)?;
    AccountId::parse(&format!("{:012}", (bits >> 39) & 0xff_ffff_ffff))
}

fn spell(rest: u64, mark: u32) -> String {
    let bits = (u128::from(rest) << 20) | u128::from(mark);
    let letter = |nth: usize| char::from(LETTERS[(bits >> (75 - 5 * nth)) as usize & 31]);
    (0..LENGTH).fold(String::from(TEMPORARY), |mut key, nth| {
        key.push(letter(nth));
        key
    })
}

fn bits(letters: &str) -> Option<u128> {
    if letters.len() != LENGTH {
        return None;
    }
    letters.bytes().try_fold(0_u128, |bits, byte| {
        let value = LETTERS.iter().position(|letter| *letter == byte)?;
        Some((bits << 5) | value as u128)
    })
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Chance, Secret};

    use super::{account, draw, is_ours};
    use crate::seal::Seal;

    #[test]
    fn a_key_says_whose_it_is() {
        let seal = Seal::new(Secret::new("s"));
        let mut chance = Chance::new(7);
        for id in ["000000000000", "111122223333", "999999999999"] {
            let id = AccountId::parse(id).unwrap();
            let key = draw(&id, &mut chance, &seal, |_| true);
            assert_eq!((key.len(), &key[..4]), (20, "ASIA"));
            assert_eq!(account(&key), Some(id));
            assert!(is_ours(&key, &seal), "{key}");
            assert!(!is_ours(&key, &Seal::new(Secret::new("t"))), "{key}");
        }
        // AWS's own example, from its documentation.
        assert!(!is_ours("ASIAIOSFODNN7EXAMPLE", &seal));
        for none in ["", "ASIA", "ASIAIOSFODNN7EXAMPL1", "AKIA", "111122223333", "ÄSIA"] {
            assert_eq!((account(none), is_ours(none, &seal)), (None, false), "{none}");
        }
    }

    #[test]
    fn a_key_that_is_taken_is_not_drawn() {
        let seal = Seal::new(Secret::new("s"));
        let id = AccountId::default_account();
        let first = draw(&id, &mut Chance::new(7), &seal, |_| true);
        assert_ne!(draw(&id, &mut Chance::new(7), &seal, |key| key != first), first);
    }
}
