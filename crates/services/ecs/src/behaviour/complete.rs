//! AWS's defaults, filled in when a definition is registered.

use crate::behaviour::size;
use crate::state::definition::Spec;

/// Fills in what AWS answers for members that were left out, and writes sizes as numbers.
pub fn complete(mut spec: Spec, account: &str) -> Spec {
    sizes(&mut spec);
    for role in [&mut spec.task_role, &mut spec.execution_role].into_iter().flatten() {
        // AWS: a role may be given by its name alone.
        if !role.is_empty() && !role.contains([':', '/']) {
            *role = format!("arn:aws:iam::{account}:role/{role}");
        }
    }
    let shares_ports = matches!(spec.network_mode.as_deref(), Some("awsvpc" | "host"));
    for container in &mut spec.containers {
        container.cpu.get_or_insert(0);
        container.essential.get_or_insert(true);
        container.environment.get_or_insert_default();
        container.mount_points.get_or_insert_default();
        container.volumes_from.get_or_insert_default();
        container.system_controls.get_or_insert_default();
        for mapping in container.port_mappings.get_or_insert_default() {
            mapping.protocol.get_or_insert_with(|| String::from("tcp"));
            if mapping.container_port_range.is_none() {
                let default = if shares_ports { mapping.container_port } else { Some(0) };
                mapping.host_port = mapping.host_port.or(default);
            }
        }
        if let Some(health) = &mut container.health_check {
            health.interval.get_or_insert(30);
            health.timeout.get_or_insert(5);
            health.retries.get_or_insert(3);
        }
    }
    spec
}

/// AWS: sizes are answered as numbers, however they were written.
pub fn sizes(spec: &mut Spec) {
    if let Some(units) = spec.cpu.as_deref().and_then(size::cpu_units) {
        spec.cpu = Some(units.to_string());
    }
    if let Some(mib) = spec.memory.as_deref().and_then(size::memory_mib) {
        spec.memory = Some(mib.to_string());
    }
}
