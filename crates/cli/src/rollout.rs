//! How far a deployment has come, as people see it: bars on a terminal, a line elsewhere.
//!
//! Pure: what the API said goes in, text comes out.

use std::collections::BTreeMap;

use aws_ecs::{Service, ServiceDeployment, ServiceRevisionSummary};

/// What is said where a PAUSE hook holds a deployment up.
const WAITS: &str = "waits for somebody: aws ecs continue-service-deployment";
/// Cells of a bar.
const WIDTH: usize = 20;

/// One look at a deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    pub service: String,
    pub status: String,
    /// Of strategies that shift traffic: `TEST_TRAFFIC_SHIFT` …
    pub stage: Option<String>,
    pub desired: i32,
    pub new: Side,
    pub old: Vec<Side>,
    /// Targets of the service's groups by state; `None` without a balancer.
    pub targets: Option<BTreeMap<String, usize>>,
    pub failed: i32,
    /// The id of a hook that waits for somebody's word.
    pub awaits: Option<String>,
}

/// Tasks of one revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// `web:4`.
    pub definition: String,
    pub running: i32,
    pub pending: i32,
    /// Percent of production traffic that it gets, where traffic is shifted.
    pub weight: Option<f64>,
}

impl Look {
    /// `definition` names a revision's task definition.
    pub fn of(
        service: &Service,
        deployment: &ServiceDeployment,
        targets: Option<BTreeMap<String, usize>>,
        definition: impl Fn(&str) -> String,
    ) -> Look {
        let configuration = deployment.deployment_configuration.as_ref();
        let strategy = configuration.and_then(|one| one.strategy.as_deref()).unwrap_or("ROLLING");
        let is_shifting = strategy != "ROLLING";
        let side = |summary: &ServiceRevisionSummary| Side {
            definition: definition(summary.arn.as_deref().unwrap_or_default()),
            running: summary.running_task_count.unwrap_or_default(),
            pending: summary.pending_task_count.unwrap_or_default(),
            weight: summary.requested_production_traffic_weight.filter(|_| is_shifting),
        };
        let breaker = deployment.deployment_circuit_breaker.as_ref();
        let hooks = deployment.lifecycle_hook_details.iter().flatten();
        let waiting = hooks.filter(|hook| hook.status.as_deref() == Some("AWAITING_ACTION"));
        Look {
            awaits: waiting.filter_map(|hook| hook.hook_id.clone()).next(),
            service: service.service_name.clone().unwrap_or_default(),
            status: deployment.status.clone().unwrap_or_default(),
            stage: deployment.lifecycle_stage.clone().filter(|_| is_shifting),
            desired: service.desired_count.unwrap_or_default(),
            new: deployment.target_service_revision.as_ref().map(side).unwrap_or_default(),
            old: deployment.source_service_revisions.iter().flatten().map(side).collect(),
            targets,
            failed: breaker.and_then(|breaker| breaker.failure_count).unwrap_or_default(),
        }
    }

    /// Whether nothing of it is still to come.
    pub fn is_over(&self) -> bool {
        is_over(&self.status)
    }

    /// In one line: what changes is said where no terminal is.
    pub fn line(&self) -> String {
        let side = |side: &Side| {
            let weight = side.weight.map_or_else(String::new, |weight| format!(", {weight:.0}% of traffic"));
            let pending = match side.pending {
                0 => String::new(),
                pending => format!(", {pending} pending"),
            };
            (format!("{} running{pending}{weight}", side.running), side.definition.clone())
        };
        let (new, definition) = side(&self.new);
        let mut parts = vec![format!("new {definition}: {new}")];
        for (old, definition) in self.old.iter().map(side) {
            parts.push(format!("old {definition}: {old}"));
        }
        if let Some(targets) = &self.targets {
            parts.push(format!("targets: {}", states(targets)));
        }
        if self.failed > 0 {
            parts.push(format!("failed: {}", self.failed));
        }
        if let Some(hook) = &self.awaits {
            parts.push(format!("{WAITS} --hook-id {hook}"));
        }
        let stage = self.stage.as_deref().map_or_else(String::new, |stage| format!(" {stage}"));
        format!("{} {}{stage}: {}", self.service, self.status, parts.join("; "))
    }

    /// In several lines with bars.
    pub fn bars(&self) -> String {
        let stage = self.stage.as_deref().map_or_else(String::new, |stage| format!(" \u{b7} {stage}"));
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(" \u{b7} {failed} failed"),
        };
        let sides = || [&self.new].into_iter().chain(&self.old);
        let wide = sides().map(|side| side.definition.chars().count()).max().unwrap_or_default();
        let mut text = format!("{} {}{stage}{failed}", self.service, self.status.to_lowercase());
        for (nth, side) in sides().enumerate() {
            let name = if nth == 0 { "new" } else { "old" };
            let (running, pending) = (share(side.running, self.desired), share(side.pending, self.desired));
            let pending = pending.min(WIDTH - running);
            let bar = format!(
                "{}{}{}",
                "\u{2588}".repeat(running),
                "\u{2592}".repeat(pending),
                "\u{b7}".repeat(WIDTH - running - pending)
            );
            let weight = side.weight.map_or_else(String::new, |weight| format!(", {weight:.0}% of traffic"));
            text.push_str(&format!(
                "\n    {name} {:wide$} {bar} {} of {}{weight}",
                side.definition, side.running, self.desired
            ));
        }
        if let Some(targets) = &self.targets {
            text.push_str(&format!("\n    targets: {}", states(targets)));
        }
        if let Some(hook) = &self.awaits {
            text.push_str(&format!("\n    {WAITS} --hook-id {hook}"));
        }
        text
    }
}

/// AWS: the states in which a service deployment stays.
pub fn is_over(status: &str) -> bool {
    matches!(status, "SUCCESSFUL" | "STOPPED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED")
}

/// Cells of a bar; more than desired, as a rollout may have, fill it.
fn share(count: i32, desired: i32) -> usize {
    let (count, desired) = (usize::try_from(count).unwrap_or(0), usize::try_from(desired).unwrap_or(0));
    if desired == 0 { 0 } else { (count * WIDTH).div_ceil(desired).min(WIDTH) }
}

fn states(targets: &BTreeMap<String, usize>) -> String {
    if targets.is_empty() {
        return String::from("none");
    }
    let mut states: Vec<_> = targets.iter().collect();
    // The good news first.
    states.sort_by_key(|(state, _)| (*state != "healthy", (*state).clone()));
    states.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look {
            service: String::from("web"),
            status: String::from("IN_PROGRESS"),
            desired: 4,
            new: Side { definition: String::from("web:10"), running: 2, pending: 1, weight: None },
            old: vec![Side { definition: String::from("web:9"), running: 3, pending: 0, weight: None }],
            targets: Some(BTreeMap::from([("initial".into(), 1), ("healthy".into(), 4)])),
            ..Look::default()
        }
    }

    #[test]
    fn a_line_says_old_new_and_targets() {
        assert_eq!(
            look().line(),
            "web IN_PROGRESS: new web:10: 2 running, 1 pending; old web:9: 3 running; targets: 4 healthy, 1 initial"
        );
        let shifting = Look {
            stage: Some(String::from("BAKE_TIME")),
            new: Side { weight: Some(10.0), ..look().new },
            targets: None,
            failed: 2,
            awaits: Some(String::from("ecs-1")),
            old: Vec::new(),
            ..look()
        };
        assert_eq!(
            shifting.line(),
            "web IN_PROGRESS BAKE_TIME: new web:10: 2 running, 1 pending, 10% of traffic; failed: 2; \
             waits for somebody: aws ecs continue-service-deployment --hook-id ecs-1"
        );
    }

    #[test]
    fn bars_are_as_wide_whatever_they_show() {
        let text = look().bars();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "web in_progress");
        assert_eq!(
            lines[1],
            "    new web:10 \u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2592}\u{2592}\u{2592}\u{2592}\u{2592}\u{b7}\u{b7}\u{b7}\u{b7}\u{b7} 2 of 4"
        );
        assert!(lines[2].starts_with("    old web:9  "), "{text}");
        assert_eq!(lines[3], "    targets: 4 healthy, 1 initial");
        for (running, pending, desired) in [(0, 0, 0), (9, 9, 1), (1, 9, 3), (-1, 0, 2)] {
            let new = Side { running, pending, ..Side::default() };
            let bars = Look { new, desired, old: Vec::new(), targets: None, ..look() }.bars();
            let cells = bars.chars().filter(|c| "\u{2588}\u{2592}\u{b7}".contains(*c)).count();
            assert_eq!(cells, WIDTH, "{bars}");
        }
    }

    #[test]
    fn only_a_state_that_stays_is_an_end() {
        for status in ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"] {
            assert!(is_over(status));
        }
        for status in
            ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]
        {
            assert!(!is_over(status));
        }
    }
}
