//! AddTags, RemoveTags, DescribeTags; limits and policies of an account.

use aws_elbv2 as aws;
use aws_elbv2::op;

use crate::world::{World, fixed, refused, strings};

fn tag(key: &str, value: &str) -> aws::Tag {
    aws::Tag { key: key.into(), value: Some(value.into()) }
}

#[test]
fn every_resource_has_tags() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let listener = world.listener(&balancer, 80, &group);
    let rule = world.rule(&listener, 1, "/a", fixed("200"));
    let arns = vec![balancer, group, listener, rule];
    let add = |arns: &[String], tags: Vec<aws::Tag>| {
        world.call::<op::AddTags>(aws::AddTagsInput { resource_arns: arns.to_vec(), tags })
    };
    let shown = || {
        let request = aws::DescribeTagsInput { resource_arns: arns.clone() };
        let all = world.call::<op::DescribeTags>(request).unwrap().tag_descriptions.unwrap();
        all.into_iter().map(|one| one.tags.unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(shown(), [0; 4]);
    add(&arns, vec![tag("a", "1"), tag("b", "2")]).unwrap();
    add(&arns, vec![tag("a", "3")]).unwrap();
    assert_eq!(shown(), [2; 4]);
    let remove = aws::RemoveTagsInput { resource_arns: arns[..2].to_vec(), tag_keys: strings(&["a", "z"]) };
    world.call::<op::RemoveTags>(remove).unwrap();
    assert_eq!(shown(), [1, 1, 2, 2]);
    refused(add(&arns, vec![tag("a", ""), tag("a", "")]), "DuplicateTagKeys", "'a'");
    refused(add(&arns, vec![tag("aws:x", "")]), "ValidationError", "aws:");
    let many = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
    refused(add(&arns, many), "TooManyTags", "50");
    let more = (0..49).map(|n| tag(&format!("k{n}"), "")).collect();
    refused(add(&arns[2..3], more), "TooManyTags", "50");
    refused(add(&strings(&["nonsense"]), vec![tag("a", "")]), "ValidationError", "nonsense");
    refused(add(&vec![arns[0].clone(); 21], vec![tag("a", "")]), "ValidationError", "20");
    let mut gone = arns[1].clone();
    gone.replace_range(gone.len() - 4.., "zzzz");
    refused(add(&[gone], vec![tag("a", "")]), "TargetGroupNotFound", "not found");
}

#[test]
fn an_account_has_limits_and_policies() {
    let world = World::new();
    let limits = world.call::<op::DescribeAccountLimits>(Default::default()).unwrap().limits.unwrap();
    let rules = limits.iter().find(|one| one.name.as_deref() == Some("rules-per-application-load-balancer"));
    assert_eq!(rules.unwrap().max.as_deref(), Some("100"));
    let request = aws::DescribeSSLPoliciesInput {
        names: Some(strings(&["ELBSecurityPolicy-TLS13-1-2-2021-06"])),
        ..Default::default()
    };
    let policy = world.call::<op::DescribeSSLPolicies>(request).unwrap().ssl_policies.unwrap().remove(0);
    assert_eq!(policy.ssl_protocols, Some(strings(&["TLSv1.2", "TLSv1.3"])));
    assert_eq!(policy.ciphers.unwrap()[0].priority, Some(1));
    let unknown = aws::DescribeSSLPoliciesInput { names: Some(strings(&["none"])), ..Default::default() };
    refused(world.call::<op::DescribeSSLPolicies>(unknown), "SSLPolicyNotFound", "'none'");
    let mut marker = None;
    let mut names = std::collections::BTreeSet::new();
    loop {
        let request = aws::DescribeSSLPoliciesInput { page_size: Some(7), marker, ..Default::default() };
        let answer = world.call::<op::DescribeSSLPolicies>(request).unwrap();
        names.extend(answer.ssl_policies.unwrap().into_iter().filter_map(|policy| policy.name));
        marker = answer.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names.len(), core_routing::SSL_POLICIES.len());
}
