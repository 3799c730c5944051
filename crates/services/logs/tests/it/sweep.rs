use std::fs;
use std::time::Duration;

use aws_logs::{
    DeleteLogGroupRequest, DescribeLogGroupsRequest, FilterLogEventsRequest, GetLogEventsRequest,
    PutRetentionPolicyRequest, op,
};

use crate::Scene;

async fn count(scene: &Scene) -> usize {
    let request = GetLogEventsRequest {
        log_group_name: Some("g".into()),
        log_stream_name: "s".into(),
        ..Default::default()
    };
    let got = scene.call::<op::GetLogEvents>(request).await.unwrap().events.unwrap().len();
    let request = FilterLogEventsRequest { log_group_name: Some("g".into()), ..Default::default() };
    let found = scene.call::<op::FilterLogEvents>(request).await.unwrap().events.unwrap().len();
    assert_eq!(got, found);
    got
}

async fn stored(scene: &Scene) -> i64 {
    let answer = scene.call::<op::DescribeLogGroups>(DescribeLogGroupsRequest::default()).await.unwrap();
    answer.log_groups.unwrap()[0].stored_bytes.unwrap()
}

#[tokio::test]
async fn a_group_made_anew_is_empty_before_and_after_the_sweep() {
    let scene = Scene::with_stream().await;
    scene.put("s", &[(0, "old")]).await;
    assert_eq!(stored(&scene).await, 3);
    let delete = DeleteLogGroupRequest { log_group_name: "g".into() };
    scene.call::<op::DeleteLogGroup>(delete).await.unwrap();
    scene.group("g").await;
    scene.stream("g", "s").await;
    assert_eq!((count(&scene).await, stored(&scene).await), (0, 0));
    scene.put("s", &[(0, "new")]).await;
    assert_eq!(scene.logs.sweep(&scene.platform).await.unwrap().deleted, 1);
    assert_eq!(count(&scene).await, 1);
    assert_eq!(scene.logs.sweep(&scene.platform).await.unwrap().deleted, 0);
}

#[tokio::test]
async fn what_has_expired_is_not_answered_and_then_let_go() {
    let scene = Scene::with_stream().await;
    scene.put("s", &[(0, "old")]).await;
    let request = PutRetentionPolicyRequest { log_group_name: "g".into(), retention_in_days: 1 };
    scene.call::<op::PutRetentionPolicy>(request).await.unwrap();
    assert_eq!(count(&scene).await, 1);
    scene.platform.clock().advance(Duration::from_secs(86_401));
    assert_eq!((count(&scene).await, stored(&scene).await), (0, 3));
    scene.logs.sweep(&scene.platform).await.unwrap();
    assert_eq!(stored(&scene).await, 0);
    let answer = scene.put("s", &[(-86_400_001, "expired"), (-1, "new")]).await;
    assert_eq!(answer.rejected_log_events_info.unwrap().expired_log_event_end_index, Some(1));
    assert_eq!(count(&scene).await, 1);
    assert!(fs::read_dir(scene.dir.path()).unwrap().count() >= 2);
}
