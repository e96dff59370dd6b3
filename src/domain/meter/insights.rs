//! What Container Insights costs, where it is switched on: AWS's custom-metric price for each metric that it makes of the
//! cluster, its task definition and its service, and the log data behind them (aws-facts §2.2, §7).
//!
//! How many there are AWS tells only afterwards: those of its list for Fargate are counted ("Amazon ECS Container Insights
//! metrics", CloudWatch's user guide), by every hour of the clock that is begun, from the intent to the cluster's proven
//! end. Guarantee: not low.

use crate::domain::model::{Item, Record, Resource, ResourceKey, ResourceKind, Timestamp};

use super::usage::{Flow, Use};

/// Metrics by `ClusterName` alone.
const OF_CLUSTER: u64 = 12;

/// Metrics by `TaskDefinitionFamily`, those of attached volumes among them.
const OF_FAMILY: u64 = 12;

/// Metrics by `ServiceName`, in the same way.
const OF_SERVICE: u64 = 17;

/// MiB of log data an hour.
const LOG_MIB: u64 = 1;

/// Metrics of one session.
pub(super) const fn metrics(service: bool) -> u64 {
    OF_CLUSTER + OF_FAMILY + if service { OF_SERVICE } else { 0 }
}

/// What is used from `from` on.
pub(super) fn uses<'r>(
    key: Option<ResourceKey>,
    service: bool,
    from: Timestamp,
    until: Option<Timestamp>,
) -> [Option<Use<'r>>; 2] {
    let hours = Flow::Hours { from, until, each: metrics(service) };
    let data = Flow::Time { from, until, least: 0, step: 1, each: LOG_MIB };
    [
        Some(Use { key, item: Item::Metric, flow: hours, per: 730 }),
        Some(Use { key, item: Item::LogsIngested, flow: data, per: 1000 * 3600 }),
    ]
}

/// What a session uses whose log group of Container Insights this is: it goes on until the cluster is gone.
pub(super) fn of<'r>(record: &'r Record, key: ResourceKey, resource: &'r Resource) -> [Option<Use<'r>>; 2] {
    let gone = record.only(ResourceKind::Cluster).and_then(|it| Some(it.gone_at? + it.set_back.1));
    let from = resource.intended_at + resource.set_back.0;
    uses(Some(key), record.only(ResourceKind::Service).is_some(), from, gone.map(|gone| gone.max(from)))
}
