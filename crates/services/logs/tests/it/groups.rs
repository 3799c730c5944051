use aws_logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DeleteRetentionPolicyRequest, DescribeLogGroupsRequest,
    ListTagsForResourceRequest, ListTagsLogGroupRequest, LogGroup, PutRetentionPolicyRequest,
    TagLogGroupRequest, TagResourceRequest, UntagLogGroupRequest, UntagResourceRequest, op,
};
use base::Tags;

use crate::{Scene, caller};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

async fn groups(scene: &Scene, request: DescribeLogGroupsRequest) -> (Vec<LogGroup>, Option<String>) {
    let answer = scene.call::<op::DescribeLogGroups>(request).await.unwrap();
    (answer.log_groups.unwrap(), answer.next_token)
}

fn names(groups: &[LogGroup]) -> Vec<&str> {
    groups.iter().map(|group| group.log_group_name.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_group_is_made_described_and_deleted() {
    let scene = Scene::new();
    scene.group("/ecs/web").await;
    let again = CreateLogGroupRequest { log_group_name: "/ecs/web".into(), ..Default::default() };
    let fault = scene.call::<op::CreateLogGroup>(again).await.unwrap_err();
    assert_eq!(
        (&*fault.code, &*fault.message),
        ("ResourceAlreadyExistsException", "The specified log group already exists")
    );
    let (found, token) = groups(&scene, Default::default()).await;
    assert_eq!((found.len(), token), (1, None));
    let group = &found[0];
    assert_eq!(group.arn.as_deref(), Some("arn:aws:logs:us-east-1:000000000000:log-group:/ecs/web:*"));
    assert_eq!(
        group.log_group_arn.as_deref(),
        Some("arn:aws:logs:us-east-1:000000000000:log-group:/ecs/web")
    );
    assert_eq!(
        (group.stored_bytes, group.metric_filter_count, group.retention_in_days),
        (Some(0), Some(0), None)
    );
    let delete = || DeleteLogGroupRequest { log_group_name: "/ecs/web".into() };
    scene.call::<op::DeleteLogGroup>(delete()).await.unwrap();
    assert_eq!(Scene::code(scene.call::<op::DeleteLogGroup>(delete()).await), "ResourceNotFoundException");
    assert!(groups(&scene, Default::default()).await.0.is_empty());
}

#[tokio::test]
async fn names_of_aws_are_refused() {
    let scene = Scene::new();
    let request = CreateLogGroupRequest { log_group_name: "aws/x".into(), ..Default::default() };
    let code = Scene::code(scene.call::<op::CreateLogGroup>(request).await);
    assert_eq!(code, "InvalidParameterException");
}

#[tokio::test]
async fn another_region_has_its_own() {
    let scene = Scene::new();
    scene.group("g").await;
    let there = scene.platform.call::<op::DescribeLogGroups>(caller("eu-west-1"), Default::default()).await;
    assert!(there.unwrap().log_groups.unwrap().is_empty());
}

#[tokio::test]
async fn groups_come_in_pages_by_prefix_and_by_pattern() {
    let scene = Scene::new();
    for name in ["b", "a/1", "a/2", "a/3", "c"] {
        scene.group(name).await;
    }
    let page = |token: Option<String>| DescribeLogGroupsRequest {
        log_group_name_prefix: Some("a/".into()),
        limit: Some(2),
        next_token: token,
        ..Default::default()
    };
    let (first, token) = groups(&scene, page(None)).await;
    assert_eq!(names(&first), ["a/1", "a/2"]);
    let (second, end) = groups(&scene, page(token)).await;
    assert_eq!((names(&second), end), (vec!["a/3"], None));
    let pattern = DescribeLogGroupsRequest { log_group_name_pattern: Some("2".into()), ..Default::default() };
    let (found, _) = groups(&scene, pattern).await;
    assert_eq!((names(&found), found[0].stored_bytes), (vec!["a/2"], None));
    let both = DescribeLogGroupsRequest {
        log_group_name_prefix: Some("a".into()),
        log_group_name_pattern: Some("a".into()),
        ..Default::default()
    };
    assert_eq!(Scene::code(scene.call::<op::DescribeLogGroups>(both).await), "InvalidParameterException");
    let named = DescribeLogGroupsRequest {
        log_group_identifiers: Some(vec![
            "c".into(),
            "arn:aws:logs:us-east-1:000000000000:log-group:b".into(),
        ]),
        ..Default::default()
    };
    assert_eq!(names(&groups(&scene, named).await.0), ["b", "c"]);
}

#[tokio::test]
async fn what_we_lack_is_refused_by_name() {
    let scene = Scene::new();
    let base = || CreateLogGroupRequest { log_group_name: "g".into(), ..Default::default() };
    for (request, name) in [
        (CreateLogGroupRequest { kms_key_id: Some("k".into()), ..base() }, "kmsKeyId"),
        (
            CreateLogGroupRequest { log_group_class: Some("INFREQUENT_ACCESS".into()), ..base() },
            "logGroupClass",
        ),
        (
            CreateLogGroupRequest { deletion_protection_enabled: Some(true), ..base() },
            "deletionProtectionEnabled",
        ),
    ] {
        let fault = scene.call::<op::CreateLogGroup>(request).await.unwrap_err();
        assert!(fault.message.contains(name), "{}", fault.message);
    }
}

#[tokio::test]
async fn retention_has_its_values() {
    let scene = Scene::new();
    scene.group("g").await;
    let put = |days| PutRetentionPolicyRequest { log_group_name: "g".into(), retention_in_days: days };
    assert_eq!(Scene::code(scene.call::<op::PutRetentionPolicy>(put(2)).await), "InvalidParameterException");
    scene.call::<op::PutRetentionPolicy>(put(7)).await.unwrap();
    assert_eq!(groups(&scene, Default::default()).await.0[0].retention_in_days, Some(7));
    let delete = DeleteRetentionPolicyRequest { log_group_name: "g".into() };
    scene.call::<op::DeleteRetentionPolicy>(delete).await.unwrap();
    assert_eq!(groups(&scene, Default::default()).await.0[0].retention_in_days, None);
}

#[tokio::test]
async fn tags_by_name_and_by_arn_are_the_same() {
    let scene = Scene::new();
    let request = CreateLogGroupRequest {
        log_group_name: "g".into(),
        tags: Some(tags(&[("a", "1")])),
        ..Default::default()
    };
    scene.call::<op::CreateLogGroup>(request).await.unwrap();
    let arn = String::from("arn:aws:logs:us-east-1:000000000000:log-group:g");
    let request = TagResourceRequest { resource_arn: arn.clone(), tags: tags(&[("b", "2")]) };
    scene.call::<op::TagResource>(request).await.unwrap();
    let request = TagLogGroupRequest { log_group_name: "g".into(), tags: tags(&[("c", "3"), ("a", "0")]) };
    scene.call::<op::TagLogGroup>(request).await.unwrap();
    let list = || ListTagsForResourceRequest { resource_arn: arn.clone() };
    let found = scene.call::<op::ListTagsForResource>(list()).await.unwrap();
    assert_eq!(found.tags, Some(tags(&[("a", "0"), ("b", "2"), ("c", "3")])));
    let request = UntagResourceRequest { resource_arn: arn.clone(), tag_keys: vec!["a".into()] };
    scene.call::<op::UntagResource>(request).await.unwrap();
    let request = UntagLogGroupRequest { log_group_name: "g".into(), tags: vec!["b".into(), "none".into()] };
    scene.call::<op::UntagLogGroup>(request).await.unwrap();
    let request = ListTagsLogGroupRequest { log_group_name: "g".into() };
    let found = scene.call::<op::ListTagsLogGroup>(request).await.unwrap();
    assert_eq!(found.tags, Some(tags(&[("c", "3")])));
    let many = (0..50).map(|number| (number.to_string(), String::new())).collect();
    let request = TagResourceRequest { resource_arn: arn, tags: many };
    assert_eq!(Scene::code(scene.call::<op::TagResource>(request).await), "TooManyTagsException");
    let elsewhere =
        ListTagsForResourceRequest { resource_arn: "arn:aws:logs:eu-west-1:000000000000:log-group:g".into() };
    assert_eq!(
        Scene::code(scene.call::<op::ListTagsForResource>(elsewhere).await),
        "ResourceNotFoundException"
    );
}
