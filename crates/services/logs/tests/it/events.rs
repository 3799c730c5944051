use aws_logs::{GetLogEventsRequest, GetLogEventsResponse, PutLogEventsRequest, op};
use base::{AccountId, Region};
use service_logs::{Incoming, Target};

use crate::Scene;

fn of_s() -> GetLogEventsRequest {
    GetLogEventsRequest {
        log_group_name: Some("g".into()),
        log_stream_name: "s".into(),
        ..Default::default()
    }
}

fn messages(answer: &GetLogEventsResponse) -> Vec<&str> {
    answer.events.iter().flatten().map(|event| event.message.as_deref().unwrap()).collect()
}

async fn get(scene: &Scene, request: GetLogEventsRequest) -> GetLogEventsResponse {
    scene.call::<op::GetLogEvents>(request).await.unwrap()
}

#[tokio::test]
async fn events_are_read_page_by_page_both_ways() {
    let scene = Scene::with_stream().await;
    let empty = get(&scene, of_s()).await;
    assert!(messages(&empty).is_empty());
    let revision = scene.platform.store().snapshot().revision();
    scene.put("s", &[(-50, "1"), (-40, "2"), (-40, "3"), (-30, "4"), (-20, "5")]).await;
    assert_eq!(scene.platform.store().snapshot().revision(), revision, "putting events writes no record");
    // A client that waits at the end of the empty stream sees what comes.
    let waited = GetLogEventsRequest { next_token: empty.next_forward_token, ..of_s() };
    assert_eq!(messages(&get(&scene, waited).await), ["1", "2", "3", "4", "5"]);

    let page = |token: Option<String>| GetLogEventsRequest { limit: Some(2), next_token: token, ..of_s() };
    let head = get(&scene, GetLogEventsRequest { start_from_head: Some(true), ..page(None) }).await;
    assert_eq!(messages(&head), ["1", "2"]);
    let second = get(&scene, page(head.next_forward_token.clone())).await;
    assert_eq!(messages(&second), ["3", "4"]);
    let third = get(&scene, page(second.next_forward_token)).await;
    assert_eq!(messages(&third), ["5"]);
    let end = get(&scene, page(third.next_forward_token.clone())).await;
    assert!(messages(&end).is_empty());
    assert_eq!(end.next_forward_token, third.next_forward_token);
    let back = get(&scene, page(end.next_backward_token)).await;
    assert_eq!(messages(&back), ["4", "5"]);

    let tail = get(&scene, page(None)).await;
    assert_eq!(messages(&tail), ["4", "5"]);
    let before = get(&scene, page(tail.next_backward_token)).await;
    assert_eq!(messages(&before), ["2", "3"]);
    let first = get(&scene, page(before.next_backward_token)).await;
    assert_eq!(messages(&first), ["1"]);
    let start = get(&scene, page(first.next_backward_token.clone())).await;
    assert_eq!((messages(&start).len(), &start.next_backward_token), (0, &first.next_backward_token));
    assert_eq!(messages(&get(&scene, page(start.next_forward_token)).await), ["1", "2"]);
}

#[tokio::test]
async fn a_window_has_its_start_and_not_its_end() {
    let scene = Scene::with_stream().await;
    scene.put("s", &[(-50, "1"), (-40, "2"), (-30, "3")]).await;
    let times: Vec<i64> =
        get(&scene, of_s()).await.events.unwrap().iter().map(|event| event.timestamp.unwrap()).collect();
    let window = GetLogEventsRequest { start_time: Some(times[1]), end_time: Some(times[2]), ..of_s() };
    assert_eq!(messages(&get(&scene, window).await), ["2"]);
}

#[tokio::test]
async fn batches_that_no_stream_takes_are_refused_whole() {
    let scene = Scene::with_stream().await;
    let order = scene.try_put("s", &[(0, "a"), (-1, "b")]).await;
    assert_eq!(Scene::code(order), "InvalidParameterException");
    let span = scene.try_put("s", &[(-90_000_000, "a"), (0, "b")]).await;
    assert_eq!(Scene::code(span), "InvalidParameterException");
    let large = "x".repeat(1_048_576);
    assert_eq!(Scene::code(scene.try_put("s", &[(0, &large)]).await), "InvalidParameterException");
    assert_eq!(Scene::code(scene.try_put("none", &[(0, "a")]).await), "ResourceNotFoundException");
    assert!(messages(&get(&scene, of_s()).await).is_empty());
    let largest = "x".repeat(1_048_576 - 26);
    scene.put("s", &[(0, &largest)]).await;
    assert_eq!(messages(&get(&scene, of_s()).await), [largest]);
}

#[tokio::test]
async fn the_too_old_and_the_too_new_are_named_and_the_rest_is_kept() {
    let scene = Scene::with_stream().await;
    let day = 86_400_000;
    let answer = scene.put("s", &[(-15 * day, "old"), (0, "kept"), (3 * 3_600_000, "new")]).await;
    let rejected = answer.rejected_log_events_info.unwrap();
    assert_eq!(rejected.too_old_log_event_end_index, Some(1));
    assert_eq!(rejected.too_new_log_event_start_index, Some(2));
    assert_eq!(rejected.expired_log_event_end_index, None);
    assert_eq!(messages(&get(&scene, of_s()).await), ["kept"]);
    assert!(answer.next_sequence_token.is_some());
}

#[tokio::test]
async fn an_entity_is_said_to_be_left_out() {
    let scene = Scene::with_stream().await;
    let request = PutLogEventsRequest {
        log_group_name: "g".into(),
        log_stream_name: "s".into(),
        log_events: vec![aws_logs::InputLogEvent { timestamp: scene.now(), message: "m".into() }],
        sequence_token: Some("anything".into()),
        entity: Some(aws_logs::Entity::default()),
    };
    let answer = scene.call::<op::PutLogEvents>(request).await.unwrap();
    assert!(answer.rejected_entity_info.is_some());
    assert_eq!(messages(&get(&scene, of_s()).await), ["m"]);
}

#[tokio::test]
async fn bad_requests_have_their_faults() {
    let scene = Scene::with_stream().await;
    for (request, code) in [
        (GetLogEventsRequest { next_token: Some("f/1/s".into()), ..of_s() }, "InvalidParameterException"),
        (
            GetLogEventsRequest { log_group_identifier: Some("g".into()), ..of_s() },
            "InvalidParameterException",
        ),
        (GetLogEventsRequest { log_group_name: None, ..of_s() }, "InvalidParameterException"),
        (GetLogEventsRequest { log_group_name: Some("none".into()), ..of_s() }, "ResourceNotFoundException"),
        (GetLogEventsRequest { log_stream_name: "none".into(), ..of_s() }, "ResourceNotFoundException"),
    ] {
        assert_eq!(Scene::code(scene.call::<op::GetLogEvents>(request).await), code);
    }
}

#[tokio::test]
async fn a_shipper_may_send_again() {
    let scene = Scene::with_stream().await;
    let to = Target {
        account: AccountId::default_account(),
        region: Region::default_region(),
        group: "g".into(),
        stream: "s".into(),
    };
    let now = scene.now();
    // The second line's clock went back: it is kept all the same.
    let lines = |range: std::ops::Range<u64>| -> Vec<Incoming> {
        let line = |offset: u64| Incoming {
            timestamp_ms: now - (offset as i64 % 3),
            message: offset.to_string(),
            offset,
        };
        range.map(line).collect()
    };
    assert_eq!(scene.logs.covered(&scene.platform, &to, "spool").unwrap(), None);
    let put = scene.logs.put_once(&scene.platform, &to, "spool", lines(1..4)).await.unwrap();
    assert_eq!(put.written, 3);
    let put = scene.logs.put_once(&scene.platform, &to, "spool", lines(1..6)).await.unwrap();
    assert_eq!(put.written, 2);
    assert_eq!(scene.logs.covered(&scene.platform, &to, "spool").unwrap(), Some(5));
    let answer = get(&scene, of_s()).await;
    let mut found = messages(&answer);
    found.sort_unstable();
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
    let nowhere = Target { stream: "none".into(), ..to };
    let fault = scene.logs.put_once(&scene.platform, &nowhere, "spool", lines(1..2)).await.unwrap_err();
    assert_eq!(fault.code, "ResourceNotFoundException");
}
