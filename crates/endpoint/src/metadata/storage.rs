//! How full a task's ephemeral storage is.
//!
//! AWS: "Amazon ECS task metadata v4 JSON response for tasks on Fargate", `EphemeralStorageMetrics`.

use std::path::PathBuf;

use core_lifecycle::LaunchType;
use serde_json::{Value, json};

use crate::Inner;
use crate::known::Subject;

const MIB: u64 = 1 << 20;

/// In MiB. `None`: the task has no storage of its own that could be measured.
pub(super) async fn value(inner: &Inner, subject: &Subject) -> Option<Value> {
    let task = &subject.task;
    let reserved = u64::from(task.ephemeral_storage_gib?) << 10;
    if task.launch_type != LaunchType::Fargate {
        return None;
    }
    let record = inner.parts.runtime.state(&task.task_id).await.ok()??;
    let running =
        record.containers.iter().find(|container| container.pid != 0 && container.exit.is_none())?;
    // What a container writes lies on the task's storage, and so its root tells of that.
    let root = PathBuf::from(format!("/proc/{}/root", running.pid));
    // A disk may keep whoever asks waiting.
    let told = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&root)).await.ok()?.ok()?;
    let in_mib = |blocks: u64| blocks.saturating_mul(told.f_frsize) / MIB;
    // More than was reserved: this host cannot bound it, and what is told is the host's disk.
    let is_own = in_mib(told.f_blocks) <= reserved;
    let utilized = in_mib(told.f_blocks.saturating_sub(told.f_bfree));
    is_own.then(|| json!({ "Utilized": utilized, "Reserved": reserved }))
}
