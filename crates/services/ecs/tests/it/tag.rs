use aws::op;
use aws_ecs as aws;

use crate::world::{INVALID, World, refused, run_request};

fn tag(key: &str, value: &str) -> aws::Tag {
    aws::Tag { key: Some(key.into()), value: Some(value.into()) }
}

#[test]
fn clusters_definitions_and_tasks_have_tags() {
    let mut world = World::furnished();
    let run = world.call::<op::RunTask>(run_request()).unwrap();
    let task = run.tasks.unwrap().remove(0).task_arn.unwrap();
    for arn in [
        "arn:aws:ecs:us-east-1:000000000000:cluster/main",
        "arn:aws:ecs:us-east-1:000000000000:task-definition/app:1",
        &task,
    ] {
        let tags = vec![tag("a", "1"), tag("b", "2")];
        world.call::<op::TagResource>(aws::TagResourceRequest { resource_arn: arn.into(), tags }).unwrap();
        let keys = vec!["a".into()];
        let untag = aws::UntagResourceRequest { resource_arn: arn.into(), tag_keys: keys };
        world.call::<op::UntagResource>(untag).unwrap();
        let list = aws::ListTagsForResourceRequest { resource_arn: arn.into() };
        let found = world.call::<op::ListTagsForResource>(list).unwrap().tags.unwrap();
        assert_eq!(found, [tag("b", "2")], "{arn}");
    }
}

#[test]
fn bad_tags_and_targets_are_refused() {
    let mut world = World::furnished();
    let mut add = |arn: &str, tags| {
        world.call::<op::TagResource>(aws::TagResourceRequest { resource_arn: arn.into(), tags })
    };
    let main = "arn:aws:ecs:us-east-1:000000000000:cluster/main";
    refused(add(main, vec![tag("a", ""), tag("a", "")]), INVALID, "Duplicate tag keys found: 'a'.");
    let reserved = "Tag keys starting with 'aws:' are reserved for system use.";
    refused(add(main, vec![tag("aws:x", "")]), INVALID, reserved);
    let nameless = aws::Tag { key: None, value: Some("v".into()) };
    refused(add(main, vec![nameless]), INVALID, "Tag keys cannot be null or empty.");
    let many = (0..51).map(|n| tag(&n.to_string(), "")).collect();
    assert_eq!(add(main, many).unwrap_err().code, INVALID);
    let missing = "arn:aws:ecs:us-east-1:000000000000:task-definition/app:9";
    refused(add(missing, vec![]), "ResourceNotFoundException", "The specified resource was not found.");
    let elsewhere = "arn:aws:ecs:eu-west-1:000000000000:cluster/main";
    refused(add(elsewhere, vec![]), "ClusterNotFoundException", "Cluster not found.");
    assert_eq!(add("main", vec![]).unwrap_err().code, INVALID);
    assert_eq!(add("arn:aws:s3:::bucket", vec![]).unwrap_err().code, INVALID);
}
