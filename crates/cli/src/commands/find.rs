//! Which task a user means: its id, the beginning of one, its ARN, or a family.

use anyhow::{Result, bail};
use aws_ecs::op::{DescribeTasks, ListClusters, ListTasks};
use aws_ecs::{DescribeTasksRequest, ListClustersRequest, ListTasksRequest, Task};

use crate::client::{Client, refused_with};

/// The last part of an ARN.
pub fn last(arn: Option<&str>) -> &str {
    arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default()
}

pub fn id(task: &Task) -> &str {
    last(task.task_arn.as_deref())
}

pub fn is_stopped(task: &Task) -> bool {
    task.last_status.as_deref() == Some("STOPPED")
}

pub fn family(task: &Task) -> &str {
    last(task.task_definition_arn.as_deref()).split(':').next().unwrap_or_default()
}

/// The clusters to look into: the one that is named, or all.
pub async fn clusters(client: &Client, named: Option<&str>) -> Result<Vec<String>> {
    if let Some(cluster) = named {
        return Ok(vec![cluster.to_owned()]);
    }
    let (mut clusters, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListClustersRequest { next_token, ..Default::default() };
        let page = client.call::<ListClusters>(request).await?;
        clusters.extend(page.cluster_arns.into_iter().flatten());
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(clusters);
        }
    }
}

/// A cluster's tasks that are to run, or those that are to stop.
pub async fn tasks(client: &Client, cluster: &str, desired: &str) -> Result<Vec<Task>> {
    let (mut tasks, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListTasksRequest {
            cluster: Some(cluster.to_owned()),
            desired_status: Some(desired.to_owned()),
            next_token,
            ..Default::default()
        };
        let page = client.call::<ListTasks>(request).await?;
        let arns = page.task_arns.unwrap_or_default();
        if !arns.is_empty() {
            tasks.extend(described(client, cluster, arns).await?);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(tasks);
        }
    }
}

/// The task that is meant, and its cluster. Tasks that run go before those that have stopped.
pub async fn find(client: &Client, named: &str, cluster: Option<&str>) -> Result<(String, Task)> {
    // Every id begins with nothing.
    if named.is_empty() {
        bail!("no task is named: `boxship ps` lists those that run");
    }
    let in_arn = named.split(":task/").nth(1).and_then(|resource| resource.split('/').next());
    let clusters = clusters(client, cluster.or(in_arn)).await?;
    for cluster in &clusters {
        if let Some(task) = described(client, cluster, vec![named.to_owned()]).await?.pop() {
            return Ok((cluster.clone(), task));
        }
    }
    for desired in ["RUNNING", "STOPPED"] {
        let mut meant = Vec::new();
        for cluster in &clusters {
            let tasks = tasks(client, cluster, desired).await?.into_iter();
            let is_meant = |task: &Task| id(task).starts_with(named) || family(task) == named;
            meant.extend(tasks.filter(is_meant).map(|task| (cluster.clone(), task)));
        }
        match meant.len() {
            0 => {}
            1 => return Ok(meant.remove(0)),
            _ => {
                let ids: Vec<&str> = meant.iter().map(|(_, task)| id(task)).collect();
                bail!("{named} may be any of these tasks: {}", ids.join(", "))
            }
        }
    }
    bail!("no task {named}: `boxship ps --all` lists those of the last hour")
}

/// The task as it is now; `None` once it is forgotten.
pub async fn describe(client: &Client, cluster: &str, arn: &str) -> Result<Option<Task>> {
    Ok(described(client, cluster, vec![arn.to_owned()]).await?.pop())
}

async fn described(client: &Client, cluster: &str, tasks: Vec<String>) -> Result<Vec<Task>> {
    let request = DescribeTasksRequest { cluster: Some(cluster.to_owned()), tasks, ..Default::default() };
    match client.call::<DescribeTasks>(request).await {
        Ok(answer) => Ok(answer.tasks.unwrap_or_default()),
        // What is no task's id may be the beginning of one.
        Err(error) if refused_with(&error, "InvalidParameterException") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
