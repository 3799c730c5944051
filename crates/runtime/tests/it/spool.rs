use runtime::spool::{Appended, MAX_LINE, Position, Reader, Stream, Writer};

fn texts(reader: &mut Reader) -> Vec<String> {
    let entries = reader.read(1000, 16 << 20).unwrap();
    entries.into_iter().map(|e| String::from_utf8(e.text).unwrap()).collect()
}

#[test]
fn what_is_written_is_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), 1 << 20).unwrap();
    let mut reader = Reader::new(dir.path(), Position::default());
    assert_eq!(texts(&mut reader), Vec::<String>::new());
    writer.append(Stream::Stdout, 5, b"one", false).unwrap();
    writer.append(Stream::Stderr, 6, b"", true).unwrap();
    let entries = reader.read(10, 1 << 20).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].stream, entries[0].time.as_millis()), (Stream::Stdout, 5));
    assert!(entries[1].goes_on);
    assert_eq!(reader.position(), writer.end());
}

#[test]
fn a_reader_goes_on_across_segments_and_torn_frames() {
    let dir = tempfile::tempdir().unwrap();
    let line = vec![b'x'; MAX_LINE];
    {
        let mut writer = Writer::open(dir.path(), 64 << 20).unwrap();
        for _ in 0..20 {
            writer.append(Stream::Stdout, 1, &line, false).unwrap();
        }
    }
    // The writer was killed within a frame.
    let last = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    bytes.truncate(bytes.len() - 7);
    std::fs::write(&last, bytes).unwrap();
    let mut writer = Writer::open(dir.path(), 64 << 20).unwrap();
    writer.append(Stream::Stdout, 2, b"after", false).unwrap();
    let mut reader = Reader::new(dir.path(), Position::default());
    let seen = texts(&mut reader);
    assert_eq!(seen.len(), 20, "19 whole lines and the one after");
    assert_eq!(seen[19], "after");
}

#[test]
fn a_full_spool_takes_more_once_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), 1).unwrap();
    let line = vec![b'x'; 70_000];
    let mut written = 0;
    while writer.append(Stream::Stdout, 1, &line, false).unwrap() == Appended::Written {
        written += 1;
    }
    assert!(written >= 1, "one line of the largest size always fits");
    let mut reader = Reader::new(dir.path(), Position::default());
    assert_eq!(texts(&mut reader).len(), written);
    reader.release(reader.position()).unwrap();
    let appended = writer.append(Stream::Stdout, 1, b"more", false).unwrap();
    assert_eq!(appended, Appended::Written);
}

/// A disk of one MiB, for the calling thread alone; `None` without root.
#[expect(deprecated, reason = "the replacement is unsafe for flags that are not used here")]
fn small_disk(dir: &std::path::Path) -> Option<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNS).ok()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    mount("tmpfs", dir, "tmpfs", MountFlags::empty(), Some(c"size=1m")).unwrap();
    Some(())
}

#[test]
fn a_full_disk_tears_no_frame_for_good() {
    let dir = tempfile::tempdir().unwrap();
    if small_disk(dir.path()).is_none() {
        eprintln!("left out: a full disk (not root)");
        return;
    }
    let spool = dir.path().join("spool");
    let mut writer = Writer::open(&spool, 64 << 20).unwrap();
    let filler = dir.path().join("filler");
    std::fs::write(&filler, vec![0; 500_000]).unwrap();
    let line = vec![b'x'; 60_000];
    let mut written = 0;
    while writer.append_unbounded(Stream::Stdout, 1, &line, false).is_ok() {
        written += 1;
    }
    let mut reader = Reader::new(&spool, Position::default());
    assert_eq!(texts(&mut reader).len(), written, "the torn one is not seen");
    std::fs::remove_file(&filler).unwrap();
    writer.append_unbounded(Stream::Stdout, 1, b"after", false).unwrap();
    assert_eq!(texts(&mut reader), ["after"]);
}
