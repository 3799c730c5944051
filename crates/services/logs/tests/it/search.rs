use aws_logs::{FilterLogEventsRequest, FilteredLogEvent, op};
use proptest::prelude::*;

use crate::Scene;

fn of_g() -> FilterLogEventsRequest {
    FilterLogEventsRequest { log_group_name: Some("g".into()), ..Default::default() }
}

/// Every page of the search, one after another.
async fn search(scene: &Scene, request: FilterLogEventsRequest) -> Vec<FilteredLogEvent> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let request = FilterLogEventsRequest { next_token: token, ..request.clone() };
        let page = scene.call::<op::FilterLogEvents>(request).await.unwrap();
        assert_eq!(page.searched_log_streams, Some(vec![]));
        all.extend(page.events.unwrap());
        token = page.next_token;
        if token.is_none() {
            return all;
        }
    }
}

fn messages(events: &[FilteredLogEvent]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_deref().unwrap()).collect()
}

async fn scene() -> Scene {
    let scene = Scene::new();
    scene.group("g").await;
    for stream in ["web/a", "web/b", "job"] {
        scene.stream("g", stream).await;
    }
    scene.put("web/a", &[(-60, "ERROR one"), (-40, "INFO three"), (-20, "ERROR five")]).await;
    scene.put("web/b", &[(-50, "ERROR two"), (-10, "INFO six")]).await;
    scene.put("job", &[(-30, "{\"level\":\"ERROR\",\"n\":4}")]).await;
    scene
}

#[tokio::test]
async fn streams_are_interleaved_by_time() {
    let scene = scene().await;
    let all = search(&scene, of_g()).await;
    let last_words: Vec<&str> =
        messages(&all).into_iter().map(|message| message.rsplit(' ').next().unwrap()).collect();
    assert_eq!(last_words, ["one", "two", "three", "{\"level\":\"ERROR\",\"n\":4}", "five", "six"]);
    let ids: std::collections::HashSet<_> = all.iter().map(|event| event.event_id.clone().unwrap()).collect();
    assert_eq!(ids.len(), 6);
    let down = FilterLogEventsRequest { start_from_head: Some(false), limit: Some(2), ..of_g() };
    let mut down = search(&scene, down).await;
    down.reverse();
    assert_eq!(down, all);
}

#[tokio::test]
async fn streams_and_patterns_narrow_a_search() {
    let scene = scene().await;
    let pattern = |text: &str| FilterLogEventsRequest { filter_pattern: Some(text.into()), ..of_g() };
    let error = FilterLogEventsRequest {
        log_stream_name_prefix: Some("web/".into()),
        limit: Some(1),
        ..pattern("ERROR -five")
    };
    assert_eq!(messages(&search(&scene, error).await), ["ERROR one", "ERROR two"]);
    assert_eq!(search(&scene, pattern("{ $.n > 3 }")).await.len(), 1);
    assert_eq!(messages(&search(&scene, pattern("[level=INFO, word]")).await), ["INFO three", "INFO six"]);
    let names = FilterLogEventsRequest {
        log_stream_names: Some(vec!["job".into(), "web/b".into(), "job".into()]),
        ..of_g()
    };
    assert_eq!(search(&scene, names.clone()).await.len(), 3);
    for (request, code) in [
        (
            FilterLogEventsRequest { log_stream_name_prefix: Some("w".into()), ..names },
            "InvalidParameterException",
        ),
        (
            FilterLogEventsRequest { log_stream_names: Some(vec!["none".into()]), ..of_g() },
            "ResourceNotFoundException",
        ),
        (pattern("%(%"), "InvalidParameterException"),
        (FilterLogEventsRequest { next_token: Some("x".into()), ..of_g() }, "InvalidParameterException"),
    ] {
        assert_eq!(Scene::code(scene.call::<op::FilterLogEvents>(request).await), code);
    }
}

#[tokio::test]
async fn a_window_has_both_its_ends() {
    let scene = scene().await;
    let all = search(&scene, of_g()).await;
    let window =
        FilterLogEventsRequest { start_time: all[1].timestamp, end_time: all[3].timestamp, ..of_g() };
    assert_eq!(search(&scene, window).await, all[1..=3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// However the events lie in streams and however small the pages, a search answers each once,
    /// in the order of time, and backward is forward turned around.
    #[test]
    fn pages_add_up(events in prop::collection::vec((0..4usize, 0..20i64), 1..60), limit in 1..7i32) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let scene = Scene::new();
            scene.group("g").await;
            for stream in 0..4 {
                scene.stream("g", &stream.to_string()).await;
            }
            for (number, (stream, back)) in events.iter().enumerate() {
                let message = number.to_string();
                scene.put(&stream.to_string(), &[(-1000 - back * 1000, &message)]).await;
            }
            let up = search(&scene, FilterLogEventsRequest { limit: Some(limit), ..of_g() }).await;
            let times: Vec<i64> = up.iter().map(|event| event.timestamp.unwrap()).collect();
            assert!(times.is_sorted(), "{times:?}");
            let mut found: Vec<usize> = messages(&up).iter().map(|text| text.parse().unwrap()).collect();
            found.sort_unstable();
            assert_eq!(found, (0..events.len()).collect::<Vec<_>>());
            let down = FilterLogEventsRequest { start_from_head: Some(false), limit: Some(limit), ..of_g() };
            let mut down = search(&scene, down).await;
            down.reverse();
            assert_eq!(down, up);
        });
    }
}
