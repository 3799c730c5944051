//! The same image, unpacked by us and by umoci, is the same tree. Left out where umoci is missing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use oci::Platform;
use oci::assemble::{Recipe, assemble, layer, write_layout};
use oci::tar::{Kind, WriteEntry};
use oci::unpack::Limits;

use crate::support::{directory, file, is_root, link, unpack_bytes};

/// Mode, owner, modification time, size, links, device and link target by path.
type Tree = BTreeMap<String, (u32, u32, u32, i64, u64, u64, u64, String)>;

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let m = fs::symlink_metadata(&path).unwrap();
        let target = fs::read_link(&path).map(|t| t.display().to_string()).unwrap_or_default();
        let content = if m.is_file() { fs::read_to_string(&path).unwrap() } else { target };
        let size = if m.is_dir() { 0 } else { m.size() };
        let links = if m.is_dir() { 0 } else { m.nlink() };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        // Whoever unpacks chooses the root's time where the layer does not.
        if !name.is_empty() {
            found.insert(name, (m.mode(), m.uid(), m.gid(), m.mtime(), size, links, m.rdev(), content));
        }
        if m.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn our_tree_is_umocis() {
    if !is_root() || Command::new("umoci").arg("--version").output().is_err() {
        eprintln!("left out: it takes root and umoci");
        return;
    }
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let entries = [
        WriteEntry { mtime: 1_000, ..directory("etc") },
        WriteEntry { mtime: 2_000, uid: 7, gid: 8, mode: 0o640, ..file("etc/conf", "x=1\n") },
        WriteEntry { mtime: 3_000, mode: 0o4755, ..file("etc/su", "#!") },
        WriteEntry {
            mtime: 2_000,
            uid: 7,
            gid: 8,
            mode: 0o640,
            ..link(Kind::HardLink, "etc/conf2", "etc/conf")
        },
        WriteEntry { mtime: 4_000, ..link(Kind::Symlink, "bin", "/etc/su") },
        WriteEntry { mtime: 5_000, kind: Kind::CharDevice, device: (1, 5), ..file("zero", "") },
        WriteEntry { mtime: 5_000, kind: Kind::Fifo, ..file("fifo", "") },
        WriteEntry { mtime: 6_000, mode: 0o1777, ..directory("tmp") },
        WriteEntry { mtime: 7_000, ..directory(&long[..90]) },
        WriteEntry { mtime: 8_000, ..file(&long, "long") },
    ];
    let plain = layer(&entries);
    let image = assemble(std::slice::from_ref(&plain), &Platform::host(), &Recipe::default());
    let dir = tempfile::tempdir().unwrap();
    let (layout, bundle, ours) =
        (dir.path().join("layout"), dir.path().join("bundle"), dir.path().join("ours"));
    let mut archive = Vec::new();
    write_layout(&image, "latest", &mut archive).unwrap();
    fs::create_dir(&layout).unwrap();
    unpack_bytes(&archive, &layout, Limits::default()).unwrap();
    let run = Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:latest", layout.display()))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::create_dir(&ours).unwrap();
    unpack_bytes(&plain, &ours, Limits::default()).unwrap();
    assert_eq!(tree(&ours), tree(&bundle.join("rootfs")));
}
