//! A disk that takes no more: the append is refused, what was kept stays, the journal goes on.
//!
//! The child is this test binary again, under a limit on the size of its files.

use std::process::Command;

use journal::{AppendError, Journal, Options};
use tempfile::tempdir;

use crate::crash::told;
use crate::{all, event, put, wait};

const DIR: &str = "JOURNAL_FULL_DIR";
/// Sealed at 8 KiB, of files that may have 16: a footer of a hundred streams does not fit.
const OPTIONS: Options = Options { segment_bytes: 8 << 10 };

/// Not a test of its own: returns at once unless the parent asks for it.
#[test]
fn limited_child() {
    let Some(dir) = told(DIR) else { return };
    let journal = Journal::open_with(dir, OPTIONS).unwrap();
    let mut kept = 0;
    let error = loop {
        let key = kept.to_string();
        match journal.append_blocking(&key, None, 0, vec![event(0, &key)]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Refused(_)), "{error}");
    assert!(!journal.is_closed());
    for number in 0..kept {
        assert_eq!(all(&journal, &number.to_string()), [number.to_string()]);
    }
    assert_eq!(journal.streams("").len(), kept);
    println!("\nkept {kept}");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f $((16384 / $1)); shift; exec \"$@\"", "sh", &block()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full::limited_child", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let kept = said.lines().find_map(|line| line.strip_prefix("kept ")).unwrap();
    let kept: usize = kept.parse().unwrap();
    // More than a sealed segment holds: it could not be sealed, and the journal went on in it.
    assert!(kept > 150, "{kept}");
    let journal = Journal::open_with(dir.path(), OPTIONS).unwrap();
    assert_eq!(journal.streams("").len(), kept);
    put(&journal, "0", 1, "there is room again");
    wait(journal.seal()).unwrap();
    assert_eq!(all(&journal, "0"), ["0", "there is room again"]);
}

/// The unit of `ulimit -f`: POSIX has 512 bytes, bash 1024.
fn block() -> String {
    let output = Command::new("sh").args(["-c", "echo ${BASH_VERSION:+1024}"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if said.trim().is_empty() { String::from("512") } else { said.trim().to_owned() }
}
