//! Each kind of layer that means harm, or is merely odd.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use oci::assemble::layer;
use oci::tar::{Kind, WriteEntry};
use oci::unpack::{Limits, UnpackError};

use crate::support::{directory, file, is_root, link, unpack_bytes};

/// Unpacks into `outer/root` beside `outer/victim`; gives the outcome and what became of the victim.
fn attempt(entries: &[WriteEntry<'_>]) -> (tempfile::TempDir, Result<u64, UnpackError>) {
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("root")).unwrap();
    fs::write(outer.path().join("victim"), "untouched").unwrap();
    let done = unpack_bytes(&layer(entries), &outer.path().join("root"), Limits::default());
    assert_eq!(fs::read_to_string(outer.path().join("victim")).unwrap(), "untouched");
    let mut names: Vec<_> =
        fs::read_dir(&outer).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["root", "victim"]);
    (outer, done.map(|unpacked| unpacked.entries))
}

fn refused(entries: &[WriteEntry<'_>], text: &str) {
    let error = attempt(entries).1.unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn paths_that_climb_are_refused() {
    if !is_root() {
        return;
    }
    refused(&[file("../victim", "x")], "leads out of the layer");
    refused(&[file("a/../../victim", "x")], "leads out of the layer");
    refused(&[file("/../victim", "x")], "leads out of the layer");
    refused(&[link(Kind::HardLink, "a", "../victim")], "leads out of the layer");
    refused(&[file("../.wh.victim", "")], "leads out of the layer");
    refused(&[file(".wh...", "")], "a whiteout of nothing");
    refused(&[file("a/.wh.", "")], "a whiteout of nothing");
}

#[test]
fn links_lead_nowhere_outside() {
    if !is_root() {
        return;
    }
    // `..` through a planted link stops at the root.
    let up = [link(Kind::Symlink, "up", "../.."), file("up/victim", "x")];
    let (outer, done) = attempt(&up);
    assert_eq!(done.unwrap(), 2);
    assert_eq!(fs::read_to_string(outer.path().join("root/victim")).unwrap(), "x");
    // An absolute one is taken within the root, where it dangles.
    refused(&[link(Kind::Symlink, "abs", "/nowhere"), file("abs/victim", "x")], "leads nowhere");
    // The last name is replaced, never followed.
    let (outer, done) = attempt(&[link(Kind::Symlink, "v", "../victim"), file("v", "mine")]);
    done.unwrap();
    assert_eq!(fs::read_to_string(outer.path().join("root/v")).unwrap(), "mine");
    refused(&[link(Kind::Symlink, "a", "b"), link(Kind::Symlink, "b", "a"), file("a/x", "")], "loop");
    refused(&[link(Kind::Symlink, "p", "/proc/self/root"), file("p/tmp/x", "")], "leads nowhere");
    refused(&[file("f", ""), file("f/x", "")], "not a directory");
    refused(&[link(Kind::HardLink, "h", "missing")], "not in this layer");
    refused(&[directory("d"), link(Kind::HardLink, "h", "d")], "to a directory");
    refused(&[link(Kind::Symlink, "l", "../victim"), link(Kind::HardLink, "h", "l/x")], "not in this layer");
}

#[test]
fn a_hard_link_to_a_link_is_the_link() {
    if !is_root() {
        return;
    }
    let entries =
        [link(Kind::Symlink, "l", "../victim"), link(Kind::HardLink, "h", "l"), file("h", "replaced")];
    let (outer, done) = attempt(&entries);
    done.unwrap();
    assert_eq!(fs::read_to_string(outer.path().join("root/h")).unwrap(), "replaced");
}

#[test]
fn metadata_is_kept() {
    if !is_root() {
        return;
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let pax = [("SCHILY.xattr.security.capability", &capability[..]), ("mtime", b"1700000000.5")];
    let entries = [
        directory("d"),
        WriteEntry { uid: 1000, gid: 1001, mode: 0o4755, pax: &pax, ..file("d/suid", "x") },
        WriteEntry { kind: Kind::CharDevice, device: (1, 3), ..file("null", "") },
        WriteEntry { kind: Kind::Fifo, mode: 0o600, ..file("fifo", "") },
        link(Kind::HardLink, "d/again", "d/suid"),
        WriteEntry { mode: 0o1777, mtime: 5, ..directory("d") },
    ];
    let (outer, done) = attempt(&entries);
    done.unwrap();
    let root = outer.path().join("root");
    let suid = fs::metadata(root.join("d/suid")).unwrap();
    assert_eq!((suid.uid(), suid.gid(), suid.mode() & 0o7777, suid.nlink()), (1000, 1001, 0o4755, 2));
    assert_eq!((suid.mtime(), suid.mtime_nsec()), (1_700_000_000, 500_000_000));
    let mut value = [0; 32];
    let len = rustix::fs::getxattr(root.join("d/suid"), "security.capability", &mut value).unwrap();
    assert_eq!(value[..len], capability);
    let d = fs::metadata(root.join("d")).unwrap();
    assert_eq!((d.permissions().mode() & 0o7777, d.mtime()), (0o1777, 5));
    let null = fs::metadata(root.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    assert!(fs::metadata(root.join("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn overlay_marks_come_from_whiteouts_alone() {
    if !is_root() {
        return;
    }
    let forged: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
    ];
    let entries = [
        WriteEntry { pax: &forged, ..directory("forged") },
        file("a/.wh.gone", ""),
        directory("opaque"),
        file("opaque/.wh..wh..opq", ""),
        file(".wh..wh.aufs", ""),
        file("new", "x"),
        file(".wh.new", ""),
        file(".wh.dir", ""),
        directory("dir"),
    ];
    let (outer, done) = attempt(&entries);
    done.unwrap();
    let root = outer.path().join("root");
    let opaque = |name: &str| {
        let mut value = [0; 8];
        let read = rustix::fs::getxattr(root.join(name), "trusted.overlay.opaque", &mut value);
        read.is_ok_and(|len| &value[..len] == b"y")
    };
    assert!(opaque("opaque") && opaque("dir") && !opaque("forged") && !opaque("a"));
    let mut list = [0; 256];
    assert_eq!(rustix::fs::listxattr(root.join("forged"), &mut list).unwrap(), 0);
    let gone = fs::symlink_metadata(root.join("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(!root.join(".wh..wh.aufs").exists());
    assert_eq!(fs::read_to_string(root.join("new")).unwrap(), "x");
}

#[test]
fn bombs_are_stopped() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let zeros = "\0".repeat(4 << 20);
    let plain = layer(&[file("zeros", &zeros)]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).unwrap();
    let bomb = encoder.finish().unwrap();
    let check = |bytes: &[u8], limits: Limits, what: &str| {
        let error = unpack_bytes(bytes, root.path(), limits).unwrap_err();
        assert!(matches!(error, UnpackError::Limit { what: w, .. } if w == what), "{error}");
    };
    check(&bomb, Limits { bytes: 1 << 20, ..Limits::default() }, "unpacked bytes");
    let ratio = Limits { ratio: 100, ratio_from: 1 << 20, ..Limits::default() };
    check(&bomb, ratio, "unpacked bytes per compressed byte");
    let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| file(name, "")).collect();
    check(&layer(&many), Limits { entries: 10, ..Limits::default() }, "entries");
    let long = "a/".repeat(300);
    refused(&[directory(&long)], "too deep");
    refused(&[file(&"x".repeat(256), "")], "too long");
}

#[test]
fn broken_streams_are_errors() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let plain = layer(&[file("a", &"data".repeat(10_000))]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let gzip = encoder.finish().unwrap();
    let cut = unpack_bytes(&gzip[..gzip.len() - 20], root.path(), Limits::default());
    assert!(matches!(cut, Err(UnpackError::Inflate(_))), "{cut:?}");
    let cut = unpack_bytes(&plain[..20_000], root.path(), Limits::default());
    assert!(matches!(cut, Err(UnpackError::Tar(_))), "{cut:?}");
    let whole = unpack_bytes(&gzip, root.path(), Limits::default()).unwrap();
    assert_eq!((whole.diff_id, whole.bytes), (blobs::Digest::of(&plain), plain.len() as u64));
    // Two gzip members are one stream.
    let halves = [gzip_of(&plain[..700]), gzip_of(&plain[700..])].concat();
    assert_eq!(unpack_bytes(&halves, root.path(), Limits::default()).unwrap().diff_id, whole.diff_id);
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn zstd_frames_follow_one_another() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let plain = layer(&[file("a", &"data".repeat(200_000))]);
    let frame = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let stream = [&skippable[..], &frame(&plain[..5000]), &skippable, &frame(&plain[5000..])].concat();
    let done = unpack_bytes(&stream, root.path(), Limits::default()).unwrap();
    assert_eq!(done.diff_id, blobs::Digest::of(&plain));
    for cut in [3, 10, 40, stream.len() - 3] {
        assert!(unpack_bytes(&stream[..cut], root.path(), Limits::default()).is_err(), "{cut}");
    }
}

#[test]
fn a_media_type_must_not_name_another_compression() {
    let root = tempfile::tempdir().unwrap();
    let gzip = gzip_of(&layer(&[]));
    let attempt = |bytes: &[u8], media_type: &str| {
        let file = crate::support::temporary(bytes);
        oci::unpack::unpack(file, media_type, root.path(), Default::default(), &|_| ())
            .map(|done| done.entries)
    };
    for fits in ["", "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"]
    {
        assert_eq!(attempt(&gzip, fits).unwrap(), 0, "{fits}");
    }
    for wrong in ["application/vnd.oci.image.layer.v1.tar+zstd", "text/html"] {
        assert!(matches!(attempt(&gzip, wrong), Err(UnpackError::Compression { .. })), "{wrong}");
    }
    let plain = layer(&[]);
    assert_eq!(attempt(&plain, "application/vnd.docker.image.rootfs.diff.tar.gzip").unwrap(), 0);
}
