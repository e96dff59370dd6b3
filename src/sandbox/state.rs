//! The sandbox's world: one account in one region, all services in one value behind one lock.
//!
//! Guarantees: `now` is set from the clock before any service looks; everything that is due by then has happened.
//! Never talks to a network.

use std::sync::{Arc, Mutex};

use crate::domain::model::{SANDBOX_ACCOUNT, Span, Timestamp};

use super::{
    cloudwatch, cost_explorer, ec2, ecr, ecs, faults::Faults, iam, ids::Ids, latency::Latency, logs, runtime,
    scheduler, tagging,
};

/// What a fault asks of the service that handles the call; everything else about faults is the dispatcher's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bend {
    /// Why RunTask places no task.
    pub unplaced: Option<ecs::Unplaced>,
    /// There is no default VPC.
    pub no_default_vpc: bool,
    /// What this call creates (or reads) is not visible for this long.
    pub missing: Option<Span>,
    /// The service-linked role does not exist yet.
    pub service_linked_role: bool,
}

/// Everything that exists.
#[derive(Debug)]
pub struct World {
    /// The time of day, set from the clock at each request.
    pub now: Timestamp,
    /// For example `us-east-1`.
    pub region: String,
    /// [`SANDBOX_ACCOUNT`].
    pub account: String,
    /// Where the sandbox listens, such as `http://127.0.0.1:4566`; none in memory.
    pub endpoint: Option<String>,
    /// The seeded maker of ids.
    pub rng: Ids,
    /// How long things take.
    pub latency: Latency,
    /// What the fault injection asks of the call being handled.
    pub bend: Bend,
    /// The faults, for what the world does by itself.
    pub faults: Arc<Mutex<Faults>>,
    /// What runs containers.
    pub containers: Arc<dyn runtime::Containers>,
    /// ECS.
    pub ecs: ecs::Ecs,
    /// IAM.
    pub iam: iam::Iam,
    /// EC2's network part.
    pub ec2: ec2::Ec2,
    /// ECR.
    pub ecr: ecr::Ecr,
    /// CloudWatch Logs.
    pub logs: logs::Logs,
    /// CloudWatch.
    pub cloudwatch: cloudwatch::CloudWatch,
    /// EventBridge Scheduler.
    pub scheduler: scheduler::Scheduler,
    /// The index behind the tagging API.
    pub tagging: tagging::Tagging,
    /// What Cost Explorer will know.
    pub bill: cost_explorer::Bill,
}

impl World {
    /// A fresh account.
    #[must_use]
    pub fn new(
        seed: u64,
        now: Timestamp,
        region: &str,
        endpoint: Option<String>,
        latency: Latency,
        containers: Arc<dyn runtime::Containers>,
        faults: Arc<Mutex<Faults>>,
    ) -> Self {
        let mut rng = Ids::new(seed);
        let account = SANDBOX_ACCOUNT.to_owned();
        Self {
            now,
            region: region.to_owned(),
            ecs: ecs::Ecs::new(region, &account),
            iam: iam::Iam::new(&account),
            ec2: ec2::Ec2::new(&mut rng, region, &account),
            ecr: ecr::Ecr::new(region, &account, endpoint.as_deref()),
            logs: logs::Logs::new(region, &account),
            cloudwatch: cloudwatch::CloudWatch::new(region, &account),
            scheduler: scheduler::Scheduler::default(),
            tagging: tagging::Tagging::default(),
            bill: cost_explorer::Bill::default(),
            account,
            endpoint,
            rng,
            latency,
            bend: Bend::default(),
            faults,
            containers,
        }
    }

    /// Lets everything happen that is due by `now`. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        ecs::lifecycle::advance(self, now);
        self.now = self.now.max(now);
    }
}
