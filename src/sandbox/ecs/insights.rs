//! Container Insights of clusters that have it on: each minute's figures of running tasks, and the log group behind them.
//!
//! Guarantees: figures show `latency.insights` after their minute; the log group
//! `/aws/ecs/containerinsights/CLUSTER/performance` is made, without tags, whenever figures are written and it is not
//! there: also late, after the cluster's end. Of what a runtime cannot measure there is no figure, never a zero. Never
//! writes performance events into the group: it is only there.

use super::{
    super::{runtime::ContainerKey, runtime::Used, state::World},
    Due,
    task::Status,
};
use crate::domain::model::{Span, Timestamp};

const NAMESPACE: &str = "ECS/ContainerInsights";
const MINUTE: Span = Span::from_mins(1);

/// Whether a cluster's settings switch it on.
pub(super) fn is_on(settings: &serde_json::Value) -> bool {
    settings.as_array().into_iter().flatten().any(|setting| {
        setting["name"] == "containerInsights" && matches!(setting["value"].as_str(), Some("enabled" | "enhanced"))
    })
}

/// The beginning of the next minute.
fn next_minute(now: Timestamp) -> Timestamp {
    Timestamp::from_millis((now.as_millis().div_euclid(60_000) + 1) * 60_000)
}

/// From now on the cluster's minutes are measured.
pub(super) fn begin(world: &mut World, cluster: &str) {
    let at = next_minute(world.now);
    world.ecs.schedule(at, Due::Insights(cluster.to_owned()));
}

/// A minute of a cluster is over.
pub(super) fn minute(world: &mut World, cluster: &str) {
    let on = world.ecs.clusters.get(cluster).is_some_and(|it| it.active && is_on(&it.settings));
    if !on {
        return;
    }
    let containers = std::sync::Arc::clone(&world.containers);
    let mut any = false;
    let ids: Vec<String> =
        world.ecs.clusters.get(cluster).map(|it| it.tasks.iter().cloned().collect()).unwrap_or_default();
    let mut running = 0_u32;
    for id in ids {
        let Some(task) = world.ecs.tasks.get_mut(&id).filter(|task| task.status == Status::Running) else { continue };
        running += 1;
        let used = task
            .containers
            .iter()
            .filter_map(|container| containers.used(&ContainerKey { task: id.clone(), name: container.name.clone() }));
        let used = used.fold(None, |sum: Option<Used>, one| Some(sum.map_or(one, |sum| sum.and(one))));
        let Some(used) = used else { continue };
        // What was used before the first minute is of no minute: the task's start.
        let before = task.measured.replace(used).unwrap_or_default();
        let family = task.family.clone();
        let reserved = number(&task.cpu);
        let mut figures = vec![
            ("CpuUtilized", f64::from(used.cpu_ms.saturating_sub(before.cpu_ms) as u32) / 60_000.0 * 1024.0, "None"),
            ("CpuReserved", reserved, "None"),
        ];
        if let (Some(now), then) = (used.network, before.network.unwrap_or_default()) {
            let rate =
                |now: u64, then: u64| f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX)) / 60.0;
            figures.push(("NetworkRxBytes", rate(now.0, then.0), "Bytes/Second"));
            figures.push(("NetworkTxBytes", rate(now.1, then.1), "Bytes/Second"));
        }
        for (name, value, unit) in figures {
            put(world, cluster, Some(&family), name, value, unit);
            put(world, cluster, None, name, value, unit);
        }
        any = true;
    }
    if any {
        put(world, cluster, None, "TaskCount", f64::from(running), "Count");
        let at = world.now + world.latency.insights;
        world.ecs.schedule(at, Due::InsightsWritten(cluster.to_owned()));
    }
    begin(world, cluster);
}

/// Figures are written: the log group is there from then on.
pub(super) fn written(world: &mut World, cluster: &str) {
    let name = format!("/aws/ecs/containerinsights/{cluster}/performance");
    world.logs.make_for_service(&name, world.now);
}

fn put(world: &mut World, cluster: &str, family: Option<&str>, name: &str, value: f64, unit: &str) {
    let mut dimensions = vec![("ClusterName".to_owned(), cluster.to_owned())];
    dimensions.extend(family.map(|family| ("TaskDefinitionFamily".to_owned(), family.to_owned())));
    let (at, shown) = (world.now - MINUTE, world.now + world.latency.insights);
    world.cloudwatch.put_of_service((NAMESPACE, name), dimensions, (at, shown), value, unit);
}

/// CPU units, which ECS keeps as text.
fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}
