use aws::op;
use aws_ecs as aws;

use crate::world::{INVALID, World, refused, run_request};

fn create(world: &mut World, name: &str) -> aws::Cluster {
    let request = aws::CreateClusterRequest { cluster_name: Some(name.into()), ..Default::default() };
    world.call::<op::CreateCluster>(request).unwrap().cluster.unwrap()
}

fn describe(world: &mut World, names: &[&str]) -> aws::DescribeClustersResponse {
    let clusters = Some(names.iter().map(|name| String::from(*name)).collect());
    let include = Some(vec!["TAGS".into(), "SETTINGS".into(), "STATISTICS".into()]);
    world.call::<op::DescribeClusters>(aws::DescribeClustersRequest { clusters, include }).unwrap()
}

#[test]
fn a_cluster_is_made_once() {
    let mut world = World::new();
    let unnamed =
        world.call::<op::CreateCluster>(aws::CreateClusterRequest::default()).unwrap().cluster.unwrap();
    assert_eq!(unnamed.cluster_name.as_deref(), Some("default"));
    assert_eq!(unnamed.cluster_arn.as_deref(), Some("arn:aws:ecs:us-east-1:000000000000:cluster/default"));
    assert_eq!(unnamed.status.as_deref(), Some("ACTIVE"));
    assert_eq!(create(&mut world, "default"), unnamed);
    let all = world.call::<op::ListClusters>(aws::ListClustersRequest::default()).unwrap();
    assert_eq!(all.cluster_arns.unwrap().len(), 1);
    let other = world.call_in::<op::ListClusters>("eu-west-1", aws::ListClustersRequest::default()).unwrap();
    assert_eq!(other.cluster_arns.unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let mut world = World::new();
    let setting = |value: &str| aws::CreateClusterRequest {
        settings: Some(vec![aws::ClusterSetting {
            name: Some("containerInsights".into()),
            value: Some(value.into()),
        }]),
        ..Default::default()
    };
    world.call::<op::CreateCluster>(setting("disabled")).unwrap();
    let message = "The cluster setting containerInsights 'enabled' is not supported by Boxship yet.";
    refused(world.call::<op::CreateCluster>(setting("enabled")), INVALID, message);
    let provider =
        aws::CreateClusterRequest { capacity_providers: Some(vec!["mine".into()]), ..Default::default() };
    let message = "The capacity provider mine is not supported by Boxship yet.";
    refused(world.call::<op::CreateCluster>(provider), INVALID, message);
    let strategy = aws::CreateClusterRequest {
        service_connect_defaults: Some(aws::ClusterServiceConnectDefaultsRequest { namespace: "x".into() }),
        ..Default::default()
    };
    let message = "serviceConnectDefaults is not supported by Boxship yet.";
    refused(world.call::<op::CreateCluster>(strategy), INVALID, message);
    let name = aws::CreateClusterRequest { cluster_name: Some("a b".into()), ..Default::default() };
    assert_eq!(world.call::<op::CreateCluster>(name).unwrap_err().code, INVALID);
}

#[test]
fn clusters_are_found_by_name_and_arn_and_missed_by_name() {
    let mut world = World::new();
    let made = create(&mut world, "main");
    let answer = describe(&mut world, &["main", made.cluster_arn.as_ref().unwrap(), "nope"]);
    assert_eq!(answer.clusters.unwrap().len(), 2);
    let failures = answer.failures.unwrap();
    assert_eq!(failures[0].arn.as_deref(), Some("arn:aws:ecs:us-east-1:000000000000:cluster/nope"));
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    let unnamed = describe(&mut world, &[]);
    assert_eq!(unnamed.failures.unwrap().len(), 1);
}

#[test]
fn pages_of_clusters() {
    let mut world = World::new();
    for nth in 0..5 {
        create(&mut world, &format!("c{nth}"));
    }
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let request = aws::ListClustersRequest { max_results: Some(2), next_token: token };
        let answer = world.call::<op::ListClusters>(request).unwrap();
        seen.push(answer.cluster_arns.unwrap().len());
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, [2, 2, 1]);
    let bad = |max_results, token: Option<&str>| aws::ListClustersRequest {
        max_results,
        next_token: token.map(Into::into),
    };
    refused(world.call::<op::ListClusters>(bad(None, Some("%%"))), INVALID, "Invalid token.");
    refused(world.call::<op::ListClusters>(bad(None, Some("AAAA"))), INVALID, "Invalid token.");
    assert!(world.call::<op::ListClusters>(bad(Some(0), None)).is_err());
    assert!(world.call::<op::ListClusters>(bad(Some(101), None)).is_err());
}

#[test]
fn a_cluster_with_tasks_stays() {
    let mut world = World::furnished();
    let delete = || aws::DeleteClusterRequest { cluster: "main".into() };
    world.call::<op::RunTask>(run_request()).unwrap();
    let counted = describe(&mut world, &["main"]).clusters.unwrap().remove(0);
    assert_eq!((counted.pending_tasks_count, counted.running_tasks_count), (Some(1), Some(0)));
    let message = "The Cluster cannot be deleted while Tasks are active.";
    refused(world.call::<op::DeleteCluster>(delete()), "ClusterContainsTasksException", message);

    create(&mut world, "other");
    let other = || aws::DeleteClusterRequest { cluster: "other".into() };
    let gone = world.call::<op::DeleteCluster>(other()).unwrap().cluster.unwrap();
    assert_eq!(gone.status.as_deref(), Some("INACTIVE"));
    let listed = world.call::<op::ListClusters>(aws::ListClustersRequest::default()).unwrap();
    assert_eq!(listed.cluster_arns.unwrap().len(), 1);
    let nope = aws::DeleteClusterRequest { cluster: "nope".into() };
    refused(world.call::<op::DeleteCluster>(nope), "ClusterNotFoundException", "Cluster not found.");
    assert_eq!(create(&mut world, "other").status.as_deref(), Some("ACTIVE"));

    world.call::<op::DeleteCluster>(other()).unwrap();
    world.advance(std::time::Duration::from_secs(3600));
    let shown = describe(&mut world, &["other"]).clusters.unwrap();
    assert_eq!(shown[0].status.as_deref(), Some("INACTIVE"));
    world.advance(std::time::Duration::from_secs(3700));
    assert_eq!(describe(&mut world, &["other"]).failures.unwrap().len(), 1);
}

#[test]
fn a_cluster_says_how_sessions_are_logged() {
    let mut world = World::new();
    let logging = |text: &str| aws::ClusterConfiguration {
        execute_command_configuration: Some(aws::ExecuteCommandConfiguration {
            logging: Some(text.into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let create = |text: &str| aws::CreateClusterRequest {
        cluster_name: Some("main".into()),
        configuration: Some(logging(text)),
        ..Default::default()
    };
    let message =
        "configuration.executeCommandConfiguration.logging 'OVERRIDE' is not supported by Boxship yet.";
    refused(world.call::<op::CreateCluster>(create("OVERRIDE")), INVALID, message);
    let made = world.call::<op::CreateCluster>(create("NONE")).unwrap().cluster.unwrap();
    assert_eq!(made.configuration, Some(logging("NONE")));
    let update = |text: &str| aws::UpdateClusterRequest {
        cluster: "main".into(),
        configuration: Some(logging(text)),
        ..Default::default()
    };
    refused(world.call::<op::UpdateCluster>(update("OVERRIDE")), INVALID, message);
    let changed = world.call::<op::UpdateCluster>(update("DEFAULT")).unwrap().cluster.unwrap();
    assert_eq!(changed.configuration, Some(logging("DEFAULT")));
    let describe = |include: Option<Vec<String>>| aws::DescribeClustersRequest {
        clusters: Some(vec!["main".into()]),
        include,
    };
    let mut shown = |include: Option<Vec<String>>| {
        let answer = world.call::<op::DescribeClusters>(describe(include)).unwrap();
        answer.clusters.unwrap().remove(0).configuration
    };
    assert_eq!(shown(None), None);
    assert_eq!(shown(Some(vec!["CONFIGURATIONS".into()])), Some(logging("DEFAULT")));
}
