//! What a controller is.

use std::fmt::Debug;

use store::Change;

use crate::{Plan, World};

/// A loop over records, without the loop: no sleep, no retry, no clock.
pub trait Controller: Send + Sync + 'static {
    type Key: Ord + Clone + Debug + Send + 'static;

    /// For logs: `ecs/tasks`.
    fn name(&self) -> &'static str;

    /// Keys worth another look after `change`. Too many is harmless, too few is a bug. A pass over
    /// everything shows every record as a change that has just made it.
    fn touched(&self, change: &Change) -> Vec<Self::Key>;

    /// Pure and total. `world` is one snapshot, one instant and one seed; `key` says where to look,
    /// never what happened. Quick, since it is run within a transaction where what it reads moves
    /// too often. Once nothing is left to do it must plan no writes: a write touches keys
    /// again.
    fn plan(&self, key: &Self::Key, world: &World) -> Plan;
}
