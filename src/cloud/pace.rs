//! Client-side token buckets, below AWS's own (aws-facts §5.1, §5.2).
//!
//! Each bucket has 80 % of AWS's size and refill, so that one daemon leaves room for people. Waiters are
//! served first come, first served; a dropped waiter takes nothing. Never drops or reorders a call.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// AWS's bucket size and refill per second, by group.
const GROUPS: [(Group, f64, f64); 18] = [
    (Group::ClusterModify, 20.0, 1.0),
    (Group::ClusterRead, 50.0, 20.0),
    (Group::DefinitionModify, 20.0, 1.0),
    (Group::DefinitionRead, 50.0, 20.0),
    (Group::DefinitionDelete, 5.0, 1.0),
    (Group::TaskModify, 100.0, 40.0),
    (Group::TaskRead, 100.0, 20.0),
    (Group::ServiceModify, 50.0, 5.0),
    (Group::ServiceRead, 100.0, 20.0),
    (Group::Ec2Read, 100.0, 20.0),
    (Group::Ec2Modify, 50.0, 5.0),
    (Group::LogsModify, 10.0, 5.0),
    (Group::Metrics, 500.0, 500.0),
    // CreateSchedule outside us-east-1, where it is 5,000 a second; of UpdateSchedule the same is taken.
    (Group::Schedules, 250.0, 250.0),
    // Not published, kept low. Each service counts its own: whose account this is must not queue behind removals.
    (Group::Identity, 25.0, 12.5),
    (Group::Iam, 25.0, 12.5),
    (Group::Registry, 25.0, 12.5),
    (Group::Other, 25.0, 12.5),
];

/// Which calls AWS counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    ClusterModify,
    ClusterRead,
    DefinitionModify,
    DefinitionRead,
    DefinitionDelete,
    TaskModify,
    TaskRead,
    ServiceModify,
    ServiceRead,
    Ec2Read,
    Ec2Modify,
    LogsModify,
    Metrics,
    Schedules,
    Identity,
    Iam,
    Registry,
    Other,
}

impl Group {
    /// The group of `service:Operation`.
    pub(crate) fn of(operation: &str) -> Self {
        match operation {
            "ecs:CreateCluster" | "ecs:DeleteCluster" => Group::ClusterModify,
            "ecs:DescribeClusters" => Group::ClusterRead,
            "ecs:RegisterTaskDefinition" | "ecs:DeregisterTaskDefinition" => Group::DefinitionModify,
            "ecs:DescribeTaskDefinition" | "ecs:ListTaskDefinitions" => Group::DefinitionRead,
            "ecs:DeleteTaskDefinitions" => Group::DefinitionDelete,
            "ecs:RunTask" | "ecs:StopTask" => Group::TaskModify,
            "ecs:DescribeTasks" | "ecs:ListTasks" => Group::TaskRead,
            "ecs:CreateService" | "ecs:DeleteService" => Group::ServiceModify,
            "ecs:DescribeServices" => Group::ServiceRead,
            "logs:CreateLogGroup" | "logs:DeleteLogGroup" | "logs:PutRetentionPolicy" => Group::LogsModify,
            "cloudwatch:PutMetricData" => Group::Metrics,
            "scheduler:CreateSchedule" | "scheduler:UpdateSchedule" => Group::Schedules,
            _ if operation.starts_with("ec2:Describe") => Group::Ec2Read,
            _ if operation.starts_with("ec2:") => Group::Ec2Modify,
            _ if operation.starts_with("sts:") => Group::Identity,
            _ if operation.starts_with("iam:") => Group::Iam,
            _ if operation.starts_with("ecr:") => Group::Registry,
            _ => Group::Other,
        }
    }
}

/// One bucket.
#[derive(Debug)]
struct Bucket {
    group: Group,
    size: f64,
    refill: f64,
    level: Mutex<Option<(Instant, f64)>>,
}

impl Bucket {
    async fn take(&self) {
        // tokio's mutex is fair: whoever holds it sleeps, the others queue behind in order.
        let mut level = self.level.lock().await;
        let (mut at, mut tokens) = level.unwrap_or_else(|| (Instant::now(), self.size));
        loop {
            let now = Instant::now();
            tokens = (tokens + now.duration_since(at).as_secs_f64() * self.refill).min(self.size);
            at = now;
            if tokens >= 1.0 {
                break;
            }
            // Rounded up to a whole millisecond: tokio's timers are no finer.
            let wait = ((1.0 - tokens) / self.refill * 1000.0).ceil().max(1.0);
            tokio::time::sleep(Duration::from_millis(wait as u64)).await;
        }
        *level = Some((at, tokens - 1.0));
    }
}

/// Every bucket of one account and region.
#[derive(Debug)]
pub(crate) struct Pace {
    buckets: Vec<Bucket>,
}

impl Pace {
    /// Full buckets at 80 % of AWS's.
    pub(crate) fn new() -> Self {
        let bucket =
            |(group, size, refill)| Bucket { group, size: size * 0.8, refill: refill * 0.8, level: Mutex::new(None) };
        Self { buckets: GROUPS.into_iter().map(bucket).collect() }
    }

    /// Waits for the turn of one call.
    pub(crate) async fn take(&self, operation: &str) {
        let group = Group::of(operation);
        if let Some(bucket) = self.buckets.iter().find(|bucket| bucket.group == group) {
            bucket.take().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_account_this_is_does_not_queue_behind_what_is_removed() {
        let identity = Group::of("sts:GetCallerIdentity");
        for operation in ["iam:DeleteRole", "ecr:DeleteRepository", "tagging:GetResources", "ecs:DeleteCluster"] {
            assert_ne!(Group::of(operation), identity, "{operation}");
        }
    }

    /// A session sets a dozen schedules as it comes up, and a dozen again in its last minutes.
    #[tokio::test(start_paused = true)]
    async fn the_schedules_of_many_sessions_at_once_are_set_within_seconds() {
        let (pace, start) = (Pace::new(), Instant::now());
        for _ in 0..100 * 12 {
            pace.take("scheduler:UpdateSchedule").await;
        }
        assert!(start.elapsed() <= Duration::from_secs(6), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_refill_rate() {
        let pace = Pace::new();
        let start = Instant::now();
        for _ in 0..4 {
            pace.take("ecs:DeleteTaskDefinitions").await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..8 {
            pace.take("ecs:DeleteTaskDefinitions").await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(10) && took <= Duration::from_millis(10_020), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order_and_groups_do_not_wait_for_each_other() {
        let pace = std::sync::Arc::new(Pace::new());
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut running = Vec::new();
        for n in 0..10 {
            let (pace, order) = (pace.clone(), order.clone());
            running.push(tokio::spawn(async move {
                pace.take("ecs:DeleteTaskDefinitions").await;
                order.lock().unwrap().push(n);
            }));
        }
        tokio::task::yield_now().await;
        let start = Instant::now();
        pace.take("ecs:DescribeTasks").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        for task in running {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    }
}
