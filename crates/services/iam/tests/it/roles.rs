use aws_iam::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListInstanceProfilesForRoleRequest,
    ListRoleTagsRequest, ListRolesRequest, Tag, TagRoleRequest, UntagRoleRequest,
    UpdateAssumeRolePolicyRequest, op,
};

use crate::{Scene, TRUST, caller, role};

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

#[tokio::test]
async fn a_role_is_made_read_and_deleted_in_every_region() {
    let scene = Scene::new();
    let request = CreateRoleRequest {
        path: Some("/app/".into()),
        description: Some("runs tasks".into()),
        max_session_duration: Some(7_200),
        tags: Some(vec![tag("a", "1")]),
        ..role("web")
    };
    let made = scene.call::<op::CreateRole>(request).await.unwrap().role;
    assert_eq!(made.arn, "arn:aws:iam::000000000000:role/app/web");
    assert!(made.role_id.starts_with("AROA") && made.role_id.len() == 21, "{}", made.role_id);
    assert!(made.role_id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
    let get = || GetRoleRequest { role_name: "web".into() };
    let found = scene.0.call::<op::GetRole>(caller("eu-west-1"), get()).await.unwrap().role;
    assert_eq!(found, made);
    assert_eq!(found.description.as_deref(), Some("runs tasks"));
    assert_eq!((found.max_session_duration, found.tags), (Some(7_200), Some(vec![tag("a", "1")])));
    let document = found.assume_role_policy_document.unwrap();
    assert!(document.starts_with("%7B%22Version%22%3A%222012-10-17%22%2C"), "{document}");
    let delete = || DeleteRoleRequest { role_name: "web".into() };
    scene.call::<op::DeleteRole>(delete()).await.unwrap();
    let gone =
        (String::from("NoSuchEntityException"), String::from("The role with name web cannot be found."));
    assert_eq!(scene.fault::<op::DeleteRole>(delete()).await, gone);
    assert_eq!(scene.fault::<op::GetRole>(get()).await, gone);
}

#[tokio::test]
async fn names_are_unique_whatever_their_case() {
    let scene = Scene::new();
    scene.role("Web").await;
    let (code, text) = scene.fault::<op::CreateRole>(role("web")).await;
    assert_eq!((&*code, &*text), ("EntityAlreadyExistsException", "Role with name web already exists."));
    assert_eq!(
        scene.fault::<op::GetRole>(GetRoleRequest { role_name: "web".into() }).await.0,
        "NoSuchEntityException"
    );
}

#[tokio::test]
async fn requests_that_cannot_be_kept_are_refused() {
    let scene = Scene::new();
    let bad = CreateRoleRequest { assume_role_policy_document: "{".into(), ..role("a") };
    let malformed = ("MalformedPolicyDocumentException".into(), "This policy contains invalid Json".into());
    assert_eq!(scene.fault::<op::CreateRole>(bad).await, malformed);
    let large = TRUST.replace("ecs-tasks", &"x".repeat(2_048));
    let large = CreateRoleRequest { assume_role_policy_document: large, ..role("a") };
    assert_eq!(scene.fault::<op::CreateRole>(large).await.0, "LimitExceededException");
    let boundary =
        CreateRoleRequest { permissions_boundary: Some("arn:aws:iam::aws:policy/X".into()), ..role("a") };
    let (code, text) = scene.fault::<op::CreateRole>(boundary).await;
    assert!(code == "ValidationError" && text.contains("PermissionsBoundary"), "{code}: {text}");
    let twice = CreateRoleRequest { tags: Some(vec![tag("k", "1"), tag("K", "2")]), ..role("a") };
    assert_eq!(scene.fault::<op::CreateRole>(twice).await.0, "InvalidInputException");
    assert!(scene.call::<op::ListRoles>(Default::default()).await.unwrap().roles.is_empty());
}

#[tokio::test]
async fn roles_come_in_pages_and_by_path() {
    let scene = Scene::new();
    for name in ["b", "C", "a", "D", "e"] {
        let path = if name == "D" { "/x/y/" } else { "/" };
        let request = CreateRoleRequest { path: Some(path.into()), ..role(name) };
        scene.call::<op::CreateRole>(request).await.unwrap();
    }
    let mut names = Vec::new();
    let mut marker = None;
    loop {
        let request = ListRolesRequest { marker, max_items: Some(2), ..Default::default() };
        let page = scene.call::<op::ListRoles>(request).await.unwrap();
        assert_eq!(page.is_truncated, Some(page.marker.is_some()));
        names.extend(page.roles.into_iter().map(|role| role.role_name));
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "C", "D", "e"]);
    let request = ListRolesRequest { path_prefix: Some("/x/".into()), ..Default::default() };
    assert_eq!(scene.call::<op::ListRoles>(request).await.unwrap().roles.len(), 1);
}

#[tokio::test]
async fn tags_come_and_go() {
    let scene = Scene::new();
    scene.role("web").await;
    let request = TagRoleRequest { role_name: "web".into(), tags: vec![tag("b", "1"), tag("a", "2")] };
    scene.call::<op::TagRole>(request).await.unwrap();
    let request = TagRoleRequest { role_name: "web".into(), tags: vec![tag("B", "3")] };
    scene.call::<op::TagRole>(request).await.unwrap();
    let request = UntagRoleRequest { role_name: "web".into(), tag_keys: vec!["a".into()] };
    scene.call::<op::UntagRole>(request).await.unwrap();
    let request = ListRoleTagsRequest { role_name: "web".into(), ..Default::default() };
    assert_eq!(scene.call::<op::ListRoleTags>(request).await.unwrap().tags, [tag("B", "3")]);
    let many = (0..50).map(|number| tag(&number.to_string(), "")).collect();
    let request = TagRoleRequest { role_name: "web".into(), tags: many };
    assert_eq!(scene.fault::<op::TagRole>(request).await.0, "LimitExceededException");
}

#[tokio::test]
async fn trust_can_be_replaced() {
    let scene = Scene::new();
    scene.role("web").await;
    let update =
        |text: &str| UpdateAssumeRolePolicyRequest { role_name: "web".into(), policy_document: text.into() };
    scene.call::<op::UpdateAssumeRolePolicy>(update(&TRUST.replace("ecs-tasks", "ec2"))).await.unwrap();
    let found = scene.call::<op::GetRole>(GetRoleRequest { role_name: "web".into() }).await.unwrap().role;
    assert!(found.assume_role_policy_document.unwrap().contains("ec2.amazonaws.com"));
    assert_eq!(
        scene.fault::<op::UpdateAssumeRolePolicy>(update("{}")).await.0,
        "MalformedPolicyDocumentException"
    );
    let request = ListInstanceProfilesForRoleRequest { role_name: "web".into(), ..Default::default() };
    assert!(
        scene.call::<op::ListInstanceProfilesForRole>(request).await.unwrap().instance_profiles.is_empty()
    );
}
