//! Which members a request carries.

use aws_ecs::{
    ContainerOverride, KeyValuePair, RegisterTaskDefinitionRequest, RunTaskRequest, Tag, TaskOverride,
};
use wire::Shape;
use wire::present::{Paths, members, outside};

fn run_task() -> RunTaskRequest {
    RunTaskRequest {
        task_definition: String::from("web:1"),
        count: Some(2),
        tags: Some(vec![Tag { key: Some(String::from("a")), value: None }]),
        overrides: Some(TaskOverride {
            container_overrides: Some(vec![
                ContainerOverride { name: Some(String::from("web")), ..Default::default() },
                ContainerOverride {
                    command: Some(vec![String::from("a"), String::from("b")]),
                    environment: Some(vec![KeyValuePair { name: Some(String::from("A")), value: None }]),
                    ..Default::default()
                },
            ]),
            ..Default::default()
        }),
        placement_strategy: Some(Vec::new()),
        network_configuration: Some(Default::default()),
        ..Default::default()
    }
}

fn paths(paths: &[&str]) -> Paths {
    Paths::new(run_task().schema(), paths).unwrap()
}

#[test]
fn members_are_listed_once_without_indices() {
    let mut found = members(&run_task());
    found.sort();
    assert_eq!(
        found,
        [
            "count",
            "overrides.containerOverrides.command",
            "overrides.containerOverrides.environment.name",
            "overrides.containerOverrides.name",
            "tags.key",
            "taskDefinition",
        ]
    );
}

#[test]
fn a_path_covers_what_is_below_it() {
    assert_eq!(outside(&run_task(), &paths(&["taskDefinition", "count", "tags", "overrides"])), None);
    assert_eq!(outside(&run_task(), &Paths::all()), None);
}

#[test]
fn the_first_member_of_which_nothing_is_inside_is_named() {
    let allowed = paths(&["taskDefinition", "count", "tags.key", "overrides.containerOverrides.command"]);
    assert_eq!(outside(&run_task(), &allowed).as_deref(), Some("overrides.containerOverrides.name"));
    let allowed = paths(&["taskDefinition", "count", "overrides"]);
    assert_eq!(outside(&run_task(), &allowed).as_deref(), Some("tags"));
}

#[test]
fn the_order_of_paths_does_not_matter() {
    for allowed in [
        ["overrides", "overrides.containerOverrides.command"],
        ["overrides.containerOverrides.command", "overrides"],
    ] {
        let request = RunTaskRequest { task_definition: String::new(), ..run_task() };
        let mut all = vec!["taskDefinition", "count", "tags"];
        all.extend(allowed);
        assert_eq!(outside(&request, &paths(&all)), None);
    }
}

#[test]
fn a_path_that_the_model_lacks_is_refused() {
    let schema = RegisterTaskDefinitionRequest::default().schema();
    let error = Paths::new(schema, &["family", "containerDefinitions.comand"]).unwrap_err();
    assert_eq!(error.to_string(), "ContainerDefinition has no member containerDefinitions.comand");
}
