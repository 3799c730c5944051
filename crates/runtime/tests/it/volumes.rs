//! Volumes of tasks and of the host.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use runtime::{MountPlan, MountSource};

use crate::fixture::{Fixture, TASK, linux, linux_with};
use crate::settings::run;

fn task(name: &str, target: &str) -> MountPlan {
    MountPlan { source: MountSource::Task(name.to_owned()), target: target.to_owned(), is_read_only: false }
}

/// What the image has at `/data`.
fn furnish(layer: &Path) {
    let data = layer.join("data");
    fs::create_dir_all(data.join("sub/deep")).unwrap();
    fs::write(data.join("file"), "from the image").unwrap();
    fs::set_permissions(data.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    fs::write(data.join("sub/deep/tool"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(data.join("sub/deep/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::hard_link(data.join("file"), data.join("sub/again")).unwrap();
    // Links lead where they say, in the container.
    symlink("/etc/shadow", data.join("absolute")).unwrap();
    symlink("../../../../../../etc/passwd", data.join("outside")).unwrap();
    std::os::unix::fs::chown(data.join("file"), Some(33), Some(34)).unwrap();
    std::os::unix::fs::chown(&data, Some(33), Some(50)).unwrap();
    fs::set_permissions(&data, PermissionsExt::from_mode(0o2775)).unwrap();
}

async fn check_volumes(fixture: Fixture) {
    furnish(&fixture.layer);
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script = "cat /data/file; ls -lna /data | cat; /data/sub/deep/tool; echo changed > /data/file; echo new > /data/new";
    let (code, output) =
        run(&fixture, "writer", script, |plan| plan.mounts = vec![task("shared", "/data")]).await;
    assert_eq!(code, 0, "{output}");
    for expected in ["from the image", "drwxrwsr-x", "-rw-r-----", "absolute -> /etc/shadow", "\nran\n"] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    // What another container of the task sees is what the first left, and the image's content stays away.
    let (_, output) = run(
        &fixture,
        "reader",
        "cat /elsewhere/file /elsewhere/new /elsewhere/sub/again; touch /elsewhere/x 2>&1",
        |plan| {
            plan.mounts = vec![MountPlan { is_read_only: true, ..task("shared", "/elsewhere") }];
        },
    )
    .await;
    assert!(output.starts_with("changed\nnew\nchanged\n"), "one file with two names stays one: {output}");
    assert!(output.contains("Read-only file system"), "{output}");
    fixture.end().await;
}

#[tokio::test]
async fn an_empty_volume_gets_what_the_image_has() {
    let Some(fixture) = linux() else { return };
    check_volumes(fixture).await;
}

#[tokio::test]
async fn an_empty_volume_gets_what_the_image_has_over_runc() {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|p| Path::new(p).exists());
    match runc.and_then(|runc| linux_with(Some(runc))) {
        Some(fixture) => check_volumes(fixture).await,
        None => eprintln!("left out: runc"),
    }
}

/// An image whose path is a link must not give away what the host has there.
#[tokio::test]
async fn a_link_in_the_image_leads_into_the_image() {
    let Some(fixture) = linux() else { return };
    let secret = fixture.dir.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "host's").unwrap();
    symlink(&secret, fixture.layer.join("data")).unwrap();
    symlink("/etc", fixture.layer.join("conf")).unwrap();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let (_, output) = run(&fixture, "main", "ls /data/ /conf/ | cat; cat /conf/group", |plan| {
        plan.mounts = vec![task("a", "/data"), task("b", "/conf")];
    })
    .await;
    assert!(!output.contains("key"), "{output}");
    assert!(output.contains("logs:x:50:web"), "the image's own /etc: {output}");
    fixture.end().await;
}

#[tokio::test]
async fn the_images_volumes_and_nested_mounts() {
    let Some(fixture) = linux() else { return };
    furnish(&fixture.layer);
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script =
        "cat /data/file; mount | grep -c ' /data '; cat /a/b/c/deep; echo x > /data/kept; ls /data/kept";
    let host = fixture.dir.path().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("deep"), "deep\n").unwrap();
    let change = |plan: &mut runtime::ContainerPlan| {
        plan.image.volumes = vec!["/data".to_owned(), "/a".to_owned()];
        // The deeper one is listed first and still seen.
        plan.mounts = vec![
            MountPlan {
                source: MountSource::Host(host.clone()),
                target: "/a/b/c".to_owned(),
                is_read_only: true,
            },
            task("upper", "/a"),
        ];
        plan.readonly_root = true;
    };
    let (code, output) = run(&fixture, "main", script, change).await;
    assert_eq!((code, output.as_str()), (0, "from the image1\ndeep\n/data/kept\n"));
    fixture.end().await;
}

#[tokio::test]
async fn volumes_that_outlive_the_task() {
    let Some(fixture) = linux() else { return };
    let shared = |is_provisioned| {
        let source = MountSource::Shared { name: "keep".to_owned(), is_provisioned };
        vec![MountPlan { source, target: "/keep".to_owned(), is_read_only: false }]
    };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("early", "true");
    plan.mounts = shared(false);
    let error = fixture.runtime.start_container(TASK, plan).await.unwrap_err();
    assert_eq!(error.to_string(), "get keep: no such volume");
    run(&fixture, "writer", "echo kept > /keep/it", |plan| plan.mounts = shared(true)).await;
    fixture.runtime.remove_sandbox(TASK).await.unwrap();
    fixture.runtime.forget(TASK).await.unwrap();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let (_, output) = run(&fixture, "reader", "cat /keep/it", |plan| plan.mounts = shared(false)).await;
    assert_eq!(output, "kept\n");
    assert_eq!(fs::read_to_string(fixture.dir.path().join("volumes/keep/it")).unwrap(), "kept\n");
    fixture.end().await;
}

#[tokio::test]
async fn paths_of_the_host() {
    let Some(fixture) = linux() else { return };
    let new = fixture.dir.path().join("made/for/it");
    let file = fixture.dir.path().join("one-file");
    fs::write(&file, "hello\n").unwrap();
    let host = |path: &Path, target: &str, is_read_only| MountPlan {
        source: MountSource::Host(path.to_owned()),
        target: target.to_owned(),
        is_read_only,
    };
    let mounts = vec![host(&new, "/new", false), host(&file, "/etc/one", true)];
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let (code, output) =
        run(&fixture, "main", "echo out > /new/out; cat /etc/one", |plan| plan.mounts = mounts).await;
    assert_eq!((code, output.as_str()), (0, "hello\n"));
    assert_eq!(fs::read_to_string(new.join("out")).unwrap(), "out\n");
    assert_eq!(fs::metadata(&new).unwrap().mode() & 0o7777, 0o755);
    // A task's own volumes go with it, the host's paths stay.
    fixture.runtime.remove_sandbox(TASK).await.unwrap();
    assert!(new.join("out").exists());
    assert!(!fixture.dir.path().join("tasks").join(TASK).join("disk").exists());
    fixture.end().await;
}
