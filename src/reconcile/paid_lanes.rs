//! Asks CloudWatch for what it knows of the session's use: Container Insights, and a load balancer.
//!
//! Each metric that is asked for costs money (aws-facts §2.2). Guarantee: it is counted before it is asked for, whatever
//! comes of it; who publishes metrics (`publish`) journals the count with the session.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use tokio::time::{Instant, sleep_until};

use super::lanes::{Lane, Watched};
use crate::{
    activity::{
        insights::{self, Above, Told},
        load_balancer,
        minutes::{Minute, Minutes},
    },
    cloud::{Metric, Series},
    domain::model::{Span, Timestamp},
};

/// How Container Insights' metrics are called (aws-facts §7).
const INSIGHTS: &str = "ECS/ContainerInsights";

/// How an application load balancer's are.
const LOAD_BALANCER: &str = "AWS/ApplicationELB";

/// One source: what is asked, and what the answers mean.
struct Question {
    metrics: Vec<Metric>,
    interval: Span,
    latency: Span,
    /// For people.
    what: String,
    read: Box<dyn Fn(Vec<Series>) -> BTreeMap<Timestamp, Minute> + Send + Sync>,
}

impl Watched {
    /// What Container Insights says of the session's tasks.
    pub(super) async fn insights_loop(&self, start: Instant, lane: Lane) {
        let policy = &self.policy.activity.insights;
        let names = self.policy.names.for_session(self.session.as_str());
        // The busiest task of the family counts: each has probes of its own at most.
        let metric = |name| Metric {
            namespace: INSIGHTS,
            name,
            dimensions: vec![
                ("ClusterName", names.cluster.clone()),
                ("TaskDefinitionFamily", names.task_definition.clone()),
            ],
            statistic: "Maximum",
        };
        let (network, cpu) = (policy.network_above, policy.cpu_above);
        let mut metrics = Vec::new();
        metrics.extend(network.into_iter().flat_map(|_| [metric("NetworkRxBytes"), metric("NetworkTxBytes")]));
        metrics.extend(cpu.map(|_| metric("CpuUtilized")));
        let above =
            Above { network: network.unwrap_or_default(), cpu: cpu.unwrap_or_default(), of: self.policy.task.size.cpu };
        let read = move |series: Vec<Series>| {
            let mut series = series.into_iter();
            let network = network.and_then(|_| series.next().zip(series.next()));
            insights::minutes(&Told { network, cpu: cpu.and_then(|_| series.next()) }, above)
        };
        let what = format!("Container Insights for cluster {}", names.cluster);
        let (interval, latency) = (policy.interval, policy.latency);
        self.ask(start, lane, Question { metrics, interval, latency, what, read: Box::new(read) }).await;
    }

    /// What a load balancer has counted.
    pub(super) async fn load_balancer_loop(&self, start: Instant, lane: Lane) {
        let policy = &self.policy.activity.load_balancer;
        let name = policy.name.clone().unwrap_or_default();
        let metric = |metric, group: Option<&String>| {
            let mut dimensions = vec![("LoadBalancer", name.clone())];
            dimensions.extend(group.map(|group| ("TargetGroup", group.clone())));
            Metric { namespace: LOAD_BALANCER, name: metric, dimensions, statistic: "Sum" }
        };
        let metrics = vec![metric("RequestCount", policy.target_group.as_ref()), metric("ConsumedLCUs", None)];
        let least = policy.min_requests;
        let read = move |series: Vec<Series>| match series.as_slice() {
            [requests, there] => load_balancer::minutes(requests, there, least),
            _ => BTreeMap::new(),
        };
        let what = format!("load balancer {name}");
        let (interval, latency) = (policy.interval, policy.latency);
        self.ask(start, lane, Question { metrics, interval, latency, what, read: Box::new(read) }).await;
    }

    async fn ask(&self, start: Instant, mut lane: Lane, question: Question) {
        let mut minutes = Minutes::since(self.clock.now(), question.latency);
        let mut next = start;
        loop {
            let (from, until) = minutes.window(self.clock.now());
            let asked = question.metrics.len() as u64;
            self.metrics_read.fetch_add(asked, Ordering::Relaxed);
            let (paid, read) = self.cloud.metric_data(&question.metrics, from, until).await;
            self.metrics_read.fetch_add(paid.saturating_sub(asked), Ordering::Relaxed);
            let read = read.map(&question.read).map_err(|fault| fault.to_string());
            let at = self.clock.now();
            lane.take(self, at, minutes.take(at, read, &question.what));
            next = (next + question.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }
}
