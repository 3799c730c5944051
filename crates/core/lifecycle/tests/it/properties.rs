use base::Timestamp;
use core_lifecycle::{Event, Milestones, StopCode, Task};
use proptest::prelude::*;

fn rank(task: &Task) -> u8 {
    match task {
        Task::Provisioning => 0,
        Task::Pending { .. } => 1,
        Task::Activating { .. } => 2,
        Task::Running { .. } => 3,
        Task::Deactivating { .. } => 4,
        Task::Stopping { .. } => 5,
        Task::Deprovisioning { .. } => 6,
        Task::Stopped { .. } => 7,
    }
}

fn event() -> impl Strategy<Value = Event> {
    let milestones = (0i64..9)
        .prop_map(|n| Milestones { connected_at: Some(Timestamp::from_secs(n)), ..Milestones::default() });
    prop_oneof![
        milestones.clone().prop_map(Event::Seen),
        milestones.clone().prop_map(Event::Started),
        Just(Event::Active),
        (milestones.clone(), "[a-c]").prop_map(|(milestones, reason)| Event::Stop {
            milestones,
            code: StopCode::UserInitiated,
            reason
        }),
        Just(Event::Drained),
        milestones.prop_map(Event::Ended),
        Just(Event::Released),
    ]
}

proptest! {
    #[test]
    fn states_only_move_forward_and_the_first_cause_stays(events in prop::collection::vec(event(), 0..24)) {
        let mut task = Task::Provisioning;
        for (i, event) in events.into_iter().enumerate() {
            let before = task.clone();
            task = task.next(event, Timestamp::from_secs(i as i64));
            prop_assert!(rank(&task) >= rank(&before), "{before:?} -> {task:?}");
            if let Some(cause) = before.stop_cause() {
                prop_assert_eq!(Some(cause), task.stop_cause());
            }
            prop_assert_eq!(task.stopped_at().is_some(), rank(&task) == 7);
        }
    }

    #[test]
    fn directions_never_panic(label in "\\PC{0,40}") {
        let _ = core_lifecycle::simulate::Directions::parse(&label);
    }

    #[test]
    fn records_round_trip(events in prop::collection::vec(event(), 0..12)) {
        let task = events.into_iter().fold(Task::Provisioning, |task, e| task.next(e, Timestamp::EPOCH));
        let text = serde_json::to_string(&task).expect("serializable");
        prop_assert_eq!(serde_json::from_str::<Task>(&text).expect("parses"), task);
    }
}
