//! How long a group keeps its events.

use aws_logs::{DeleteRetentionPolicyRequest, PutRetentionPolicyRequest};
use base::Fault;
use service::Tx;
use wire::Empty;

use crate::faults;
use crate::state::{Group, find_group};

/// AWS: PutRetentionPolicy, `retentionInDays`.
const ALLOWED: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

pub(super) fn put(tx: &mut Tx<'_>, request: PutRetentionPolicyRequest) -> Result<Empty, Fault> {
    if !ALLOWED.contains(&request.retention_in_days) {
        return Err(faults::invalid(format_args!(
            "1 validation error detected: Value '{}' at 'retentionInDays' failed to satisfy constraint: Member \
             must satisfy enum value set: {ALLOWED:?}",
            request.retention_in_days
        )));
    }
    set(tx, &request.log_group_name, Some(request.retention_in_days))
}

pub(super) fn delete(tx: &mut Tx<'_>, request: DeleteRetentionPolicyRequest) -> Result<Empty, Fault> {
    set(tx, &request.log_group_name, None)
}

fn set(tx: &mut Tx<'_>, name: &str, retention_days: Option<i32>) -> Result<Empty, Fault> {
    let group = find_group(tx, tx.caller, Some(name), None)?;
    tx.put(Group { retention_days, ..(*group).clone() });
    Ok(Empty::default())
}
