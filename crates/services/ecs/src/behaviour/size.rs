//! CPU and memory of a task: how they are written, and which pairs Fargate has.
//!
//! AWS: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>

/// CPU units that a task may have on an instance.
pub const EC2_CPU: std::ops::RangeInclusive<u32> = 128..=196_608;

/// CPU units from `256`, `.25 vCPU`, `1 vcpu`.
pub fn cpu_units(text: &str) -> Option<u32> {
    measured(text, "vcpu")
}

/// MiB from `512`, `0.5GB`, `1 GB`.
pub fn memory_mib(text: &str) -> Option<u32> {
    measured(text, "gb")
}

/// A whole number of 1,024ths, or a decimal number with the unit behind it.
fn measured(text: &str, unit: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let Some(number) = text.strip_suffix(unit) else {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        return if is_number { text.parse().ok().filter(|n| *n > 0) } else { None };
    };
    let number: f64 = number.trim().parse().ok()?;
    let units = number * 1024.0;
    let is_sound = units.is_finite() && units >= 1.0 && units <= f64::from(u32::MAX) && units.fract() == 0.0;
    is_sound.then_some(units as u32)
}

/// Whether Fargate has tasks of this size.
pub fn is_fargate_pair(cpu: u32, memory: u32) -> bool {
    let (low, high, step) = match cpu {
        256 => return matches!(memory, 512 | 1024 | 2048),
        512 => (1024, 4096, 1024),
        1024 => (2048, 8192, 1024),
        2048 => (4096, 16_384, 1024),
        4096 => (8192, 30_720, 1024),
        8192 => (16_384, 61_440, 4096),
        16_384 => (32_768, 122_880, 8192),
        _ => return false,
    };
    (low..=high).contains(&memory) && memory.is_multiple_of(step)
}
