use aws_iam::{
    AttachRolePolicyRequest, DeleteRolePolicyRequest, DeleteRoleRequest, DetachRolePolicyRequest,
    GetRolePolicyRequest, ListAttachedRolePoliciesRequest, ListRolePoliciesRequest, PutRolePolicyRequest, op,
};

use crate::Scene;

const EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
const POLICY: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

fn attach(arn: &str) -> AttachRolePolicyRequest {
    AttachRolePolicyRequest { role_name: "web".into(), policy_arn: arn.into() }
}

fn detach(arn: &str) -> DetachRolePolicyRequest {
    DetachRolePolicyRequest { role_name: "web".into(), policy_arn: arn.into() }
}

fn put(name: &str, document: &str) -> PutRolePolicyRequest {
    PutRolePolicyRequest {
        role_name: "web".into(),
        policy_name: name.into(),
        policy_document: document.into(),
    }
}

#[tokio::test]
async fn managed_policies_are_attached_by_arn() {
    let scene = Scene::new();
    scene.role("web").await;
    for arn in [EXECUTION, EXECUTION, "arn:aws:iam::aws:policy/ReadOnlyAccess"] {
        scene.call::<op::AttachRolePolicy>(attach(arn)).await.unwrap();
    }
    let list = |prefix: Option<&str>| ListAttachedRolePoliciesRequest {
        role_name: "web".into(),
        path_prefix: prefix.map(Into::into),
        ..Default::default()
    };
    let names = |answer: aws_iam::ListAttachedRolePoliciesResponse| -> Vec<String> {
        answer.attached_policies.unwrap().into_iter().map(|policy| policy.policy_name.unwrap()).collect()
    };
    let all = scene.call::<op::ListAttachedRolePolicies>(list(None)).await.unwrap();
    assert_eq!(names(all), ["ReadOnlyAccess", "AmazonECSTaskExecutionRolePolicy"]);
    let some = scene.call::<op::ListAttachedRolePolicies>(list(Some("/service-role/"))).await.unwrap();
    assert_eq!(names(some), ["AmazonECSTaskExecutionRolePolicy"]);
    let conflict = scene.fault::<op::DeleteRole>(DeleteRoleRequest { role_name: "web".into() }).await;
    assert_eq!(conflict.0, "DeleteConflictException");
    scene.call::<op::DetachRolePolicy>(detach(EXECUTION)).await.unwrap();
    assert_eq!(scene.fault::<op::DetachRolePolicy>(detach(EXECUTION)).await.0, "NoSuchEntityException");
}

#[tokio::test]
async fn what_cannot_be_attached_is_told_why() {
    let scene = Scene::new();
    scene.role("web").await;
    let unknown = "arn:aws:iam::aws:policy/NoSuchPolicy";
    assert_eq!(
        scene.fault::<op::AttachRolePolicy>(attach(unknown)).await,
        ("NoSuchEntityException".into(), format!("Policy {unknown} does not exist or is not attachable."))
    );
    let linked = "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy";
    assert_eq!(scene.fault::<op::AttachRolePolicy>(attach(linked)).await.0, "PolicyNotAttachableException");
    assert_eq!(scene.fault::<op::AttachRolePolicy>(attach("nonsense")).await.0, "ValidationError");
    for name in [
        "AdministratorAccess",
        "AmazonS3FullAccess",
        "AmazonS3ReadOnlyAccess",
        "AmazonSQSFullAccess",
        "AmazonSQSReadOnlyAccess",
        "AmazonDynamoDBFullAccess",
        "AmazonDynamoDBReadOnlyAccess",
        "AmazonECS_FullAccess",
        "CloudWatchFullAccess",
        "CloudWatchReadOnlyAccess",
    ] {
        let arn = format!("arn:aws:iam::aws:policy/{name}");
        scene.call::<op::AttachRolePolicy>(attach(&arn)).await.unwrap();
    }
    let eleventh = scene.fault::<op::AttachRolePolicy>(attach(EXECUTION)).await;
    assert_eq!(eleventh.0, "LimitExceededException");
}

#[tokio::test]
async fn inline_policies_are_kept_as_they_were_given() {
    let scene = Scene::new();
    scene.role("web").await;
    scene.call::<op::PutRolePolicy>(put("b", POLICY)).await.unwrap();
    scene.call::<op::PutRolePolicy>(put("a", POLICY)).await.unwrap();
    let get = GetRolePolicyRequest { role_name: "web".into(), policy_name: "a".into() };
    let found = scene.call::<op::GetRolePolicy>(get).await.unwrap();
    assert!(found.policy_document.ends_with("%22Resource%22%3A%22%2A%22%7D%7D"), "{}", found.policy_document);
    let list = ListRolePoliciesRequest { role_name: "web".into(), ..Default::default() };
    let names = scene.call::<op::ListRolePolicies>(list).await.unwrap();
    assert_eq!((names.policy_names, names.is_truncated), (vec!["a".into(), "b".into()], Some(false)));
    let conflict = scene.fault::<op::DeleteRole>(DeleteRoleRequest { role_name: "web".into() }).await;
    assert_eq!(conflict.0, "DeleteConflictException");
    let delete = || DeleteRolePolicyRequest { role_name: "web".into(), policy_name: "a".into() };
    scene.call::<op::DeleteRolePolicy>(delete()).await.unwrap();
    assert_eq!(scene.fault::<op::DeleteRolePolicy>(delete()).await.0, "NoSuchEntityException");
    assert_eq!(scene.fault::<op::PutRolePolicy>(put("c", "{}")).await.0, "MalformedPolicyDocumentException");
    let large = POLICY.replace("s3:*", &format!("s3:{}", "x".repeat(10_240)));
    assert_eq!(scene.fault::<op::PutRolePolicy>(put("c", &large)).await.0, "LimitExceededException");
}
