//! Repositories and their tags.

use aws_ecr::op::{
    DeleteRepository, DescribeRepositories, GetAuthorizationToken, ListTagsForResource, TagResource,
    UntagResource,
};
use aws_ecr::{
    DeleteRepositoryRequest, DescribeRepositoriesRequest, GetAuthorizationTokenRequest,
    ListTagsForResourceRequest, Tag, TagResourceRequest, UntagResourceRequest,
};
use testkit::{customer_of, refusal};

use crate::Registry;

fn named(name: &str) -> DescribeRepositoriesRequest {
    DescribeRepositoriesRequest { repository_names: Some(vec![name.into()]), ..Default::default() }
}

#[test]
fn a_repository_is_made_once_and_seen_in_its_account_and_region_only() {
    let registry = Registry::new();
    let made = registry.create("team/web", None).unwrap().repository.unwrap();
    assert_eq!(made.repository_uri.as_deref(), Some("localhost:4566/team/web"));
    assert_eq!(
        made.repository_arn.as_deref(),
        Some("arn:aws:ecr:us-east-1:000000000000:repository/team/web")
    );
    assert_eq!(refusal(registry.create("team/web", None)).0, "RepositoryAlreadyExistsException");
    for other in [customer_of("111111111111", "us-east-1"), customer_of("000000000000", "eu-west-1")] {
        let (code, text) = refusal(registry.bench.ask_as::<DescribeRepositories>(&other, named("team/web")));
        assert_eq!(code, "RepositoryNotFoundException");
        let account = &other.account;
        assert_eq!(
            text,
            format!("The repository with name 'team/web' does not exist in the registry with id '{account}'")
        );
    }
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let registry = Registry::new();
    let (code, text) = refusal(registry.create("web", Some("IMMUTABLE_WITH_EXCLUSION")));
    assert_eq!(code, "InvalidParameterException");
    assert!(text.contains("IMMUTABLE_WITH_EXCLUSION"), "{text}");
}

#[test]
fn pages_of_repositories() {
    let registry = Registry::new();
    for n in 0..5 {
        registry.create(&format!("repo-{n}"), None).unwrap();
    }
    let (mut seen, mut next_token) = (Vec::new(), None);
    loop {
        let request = DescribeRepositoriesRequest { max_results: Some(2), next_token, ..Default::default() };
        let page = registry.bench.ask::<DescribeRepositories>(request).unwrap();
        let names =
            page.repositories.unwrap().into_iter().map(|repository| repository.repository_name.unwrap());
        seen.extend(names);
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["repo-0", "repo-1", "repo-2", "repo-3", "repo-4"]);
}

#[test]
fn a_repository_with_images_goes_only_by_force() {
    let registry = Registry::with_repository();
    registry.image("web", "hello", Some("1"));
    let request =
        |force| DeleteRepositoryRequest { repository_name: "web".into(), force, ..Default::default() };
    assert_eq!(
        refusal(registry.bench.ask::<DeleteRepository>(request(None))).0,
        "RepositoryNotEmptyException"
    );
    registry.bench.ask::<DeleteRepository>(request(Some(true))).unwrap();
    assert_eq!(
        refusal(registry.bench.ask::<DescribeRepositories>(named("web"))).0,
        "RepositoryNotFoundException"
    );
    assert!(service_ecr::live_blobs(&registry.bench.platform.store().snapshot()).is_empty());
}

#[test]
fn tags_of_a_repository() {
    let registry = Registry::with_repository();
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/web";
    let tags = ["a", "b"].map(|key| Tag { key: key.into(), value: format!("{key}!") });
    let request = TagResourceRequest { resource_arn: arn.into(), tags: tags.to_vec() };
    registry.bench.ask::<TagResource>(request).unwrap();
    let request = UntagResourceRequest { resource_arn: arn.into(), tag_keys: vec!["a".into()] };
    registry.bench.ask::<UntagResource>(request).unwrap();
    let listed =
        registry.bench.ask::<ListTagsForResource>(ListTagsForResourceRequest { resource_arn: arn.into() });
    assert_eq!(listed.unwrap().tags.unwrap(), [Tag { key: "b".into(), value: "b!".into() }]);
    let request = TagResourceRequest {
        resource_arn: arn.into(),
        tags: vec![Tag { key: "aws:x".into(), value: String::new() }],
    };
    assert_eq!(refusal(registry.bench.ask::<TagResource>(request)).0, "InvalidTagParameterException");
}

#[test]
fn a_password_names_the_registry() {
    let registry = Registry::new();
    let answer =
        registry.bench.ask::<GetAuthorizationToken>(GetAuthorizationTokenRequest::default()).unwrap();
    let data = answer.authorization_data.unwrap().remove(0);
    assert_eq!(data.proxy_endpoint.as_deref(), Some("http://localhost:4566"));
    assert!(data.authorization_token.unwrap().starts_with("QVdTO"), "base64 of AWS:");
}
