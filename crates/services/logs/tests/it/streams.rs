use aws_logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse, op,
};

use crate::Scene;

fn names(answer: &DescribeLogStreamsResponse) -> Vec<&str> {
    answer.log_streams.iter().flatten().map(|stream| stream.log_stream_name.as_deref().unwrap()).collect()
}

fn of_g() -> DescribeLogStreamsRequest {
    DescribeLogStreamsRequest { log_group_name: Some("g".into()), ..Default::default() }
}

#[tokio::test]
async fn a_stream_is_made_described_and_deleted() {
    let scene = Scene::with_stream().await;
    let create =
        |group: &str| CreateLogStreamRequest { log_group_name: group.into(), log_stream_name: "s".into() };
    let again = scene.call::<op::CreateLogStream>(create("g")).await;
    assert_eq!(Scene::code(again), "ResourceAlreadyExistsException");
    let nowhere = scene.call::<op::CreateLogStream>(create("none")).await;
    assert_eq!(Scene::code(nowhere), "ResourceNotFoundException");
    let empty = scene.call::<op::DescribeLogStreams>(of_g()).await.unwrap();
    let stream = &empty.log_streams.as_ref().unwrap()[0];
    assert_eq!(stream.arn.as_deref(), Some("arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:s"));
    assert_eq!((stream.first_event_timestamp, stream.last_ingestion_time), (None, None));
    let now = scene.now();
    scene.put("s", &[(-5000, "a"), (-1000, "b")]).await;
    let full = scene.call::<op::DescribeLogStreams>(of_g()).await.unwrap();
    let stream = &full.log_streams.as_ref().unwrap()[0];
    let (first, last) = (stream.first_event_timestamp.unwrap(), stream.last_event_timestamp.unwrap());
    assert!(last - first == 4000 && first >= now - 5000 && stream.last_ingestion_time.unwrap() >= now);
    assert!(stream.upload_sequence_token.is_some());
    let delete = || DeleteLogStreamRequest { log_group_name: "g".into(), log_stream_name: "s".into() };
    scene.call::<op::DeleteLogStream>(delete()).await.unwrap();
    assert_eq!(Scene::code(scene.call::<op::DeleteLogStream>(delete()).await), "ResourceNotFoundException");
}

async fn paged(scene: &Scene, request: DescribeLogStreamsRequest) -> Vec<String> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let request = DescribeLogStreamsRequest { limit: Some(2), next_token: token, ..request.clone() };
        let page = scene.call::<op::DescribeLogStreams>(request).await.unwrap();
        all.extend(names(&page).into_iter().map(String::from));
        token = page.next_token;
        if token.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn streams_come_by_name_and_by_time_either_way() {
    let scene = Scene::new();
    scene.group("g").await;
    for (name, from_now) in [("a", -1000), ("b", -3000), ("c", -2000), ("d", -4000), ("e/f", -5000)] {
        scene.stream("g", name).await;
        scene.put(name, &[(from_now, "x")]).await;
    }
    assert_eq!(paged(&scene, of_g()).await, ["a", "b", "c", "d", "e/f"]);
    let down = DescribeLogStreamsRequest { descending: Some(true), ..of_g() };
    assert_eq!(paged(&scene, down.clone()).await, ["e/f", "d", "c", "b", "a"]);
    let by_time = DescribeLogStreamsRequest { order_by: Some("LastEventTime".into()), ..of_g() };
    assert_eq!(paged(&scene, by_time.clone()).await, ["e/f", "d", "b", "c", "a"]);
    let latest = DescribeLogStreamsRequest { descending: Some(true), ..by_time.clone() };
    assert_eq!(paged(&scene, latest).await, ["a", "c", "b", "d", "e/f"]);
    let prefix = DescribeLogStreamsRequest { log_stream_name_prefix: Some("e/".into()), ..of_g() };
    assert_eq!(paged(&scene, prefix).await, ["e/f"]);
    let both = DescribeLogStreamsRequest { log_stream_name_prefix: Some("a".into()), ..by_time };
    assert_eq!(Scene::code(scene.call::<op::DescribeLogStreams>(both).await), "InvalidParameterException");
    let arn = String::from("arn:aws:logs:us-east-1:000000000000:log-group:g");
    let by_arn = DescribeLogStreamsRequest { log_group_identifier: Some(arn), ..Default::default() };
    assert_eq!(paged(&scene, by_arn).await.len(), 5);
    assert_eq!(
        Scene::code(scene.call::<op::DescribeLogStreams>(Default::default()).await),
        "InvalidParameterException"
    );
}
