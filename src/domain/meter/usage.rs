//! What of a session is billed, by which rule, and how much of it there was by any instant.
//!
//! Every kind of resource has a rule here, also those that cost nothing. A use is a function of time: how many units by
//! then. It never falls, is nothing before the resource was born, and ends at its proven death. So what was used
//! between two instants is a difference, and differences add up whatever the cuts (aws-facts §2.3).

use std::collections::BTreeMap;

use super::insights;
use crate::domain::{
    model::{
        Accounting, ImageSource, Item, Life, Metered, Record, Resource, ResourceKey, ResourceKind, TaskSize, Timestamp,
    },
    policy::Policy,
};

/// Fargate's minimum charge: one minute (Linux).
pub(super) const MINIMUM_SECS: u64 = 60;

/// The included ephemeral storage, GB.
pub(super) const INCLUDED_STORAGE: u32 = 20;

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// Seconds of a month as AWS counts it: 730 hours.
pub(super) const MONTH_SECS: u64 = 730 * 3600;

/// One thing that is billed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use<'r> {
    /// Which resource; absent for labguard's own calls.
    pub key: Option<ResourceKey>,
    /// What is paid for.
    pub item: Item,
    /// How much.
    pub flow: Flow<'r>,
    /// How many units of `flow` make one unit of the price.
    pub per: u64,
}

/// How much of something there was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flow<'r> {
    /// As long as it lasts.
    Time {
        /// When it began.
        from: Timestamp,
        /// When it ended; absent while it goes on.
        until: Option<Timestamp>,
        /// So many seconds at least, once begun.
        least: u64,
        /// Billed in steps of so many seconds, each begun one whole.
        step: u64,
        /// Units in a second.
        each: u64,
    },
    /// By every hour of the clock in which there was any of it.
    Hours {
        /// When it began.
        from: Timestamp,
        /// When it ended; absent while it goes on.
        until: Option<Timestamp>,
        /// Units in an hour.
        each: u64,
    },
    /// As often as it happened.
    Count(&'r BTreeMap<Timestamp, Metered>, fn(&Metered) -> u64),
}

impl Use<'_> {
    /// Units used by `at`.
    pub fn by(&self, at: Timestamp) -> u64 {
        match self.flow {
            Flow::Time { from, .. } if at < from => 0,
            Flow::Time { from, until, least, step, each } => {
                let end = until.map_or(at, |until| until.min(at));
                let secs = end.since(from).as_secs_ceil().max(least).next_multiple_of(step);
                secs.saturating_mul(each)
            }
            Flow::Hours { from, .. } if at < from => 0,
            Flow::Hours { from, until, each } => {
                let hour = |at: Timestamp| at.as_millis().div_euclid(HOUR);
                // The instant at which an hour begins is not in it yet, unless it all begins there.
                let end = until.map_or(at, |until| until.min(at));
                let last = end.as_millis().saturating_sub(1).max(from.as_millis());
                let begun = last.div_euclid(HOUR) - hour(from) + 1;
                u64::try_from(begun).unwrap_or(0).saturating_mul(each)
            }
            Flow::Count(counts, of) => counts.range(..at).map(|(_, metered)| of(metered)).sum(),
        }
    }

    /// Units that another hour will bring, as things stand.
    pub fn hourly(&self) -> u64 {
        match self.flow {
            Flow::Time { until: None, each, .. } => each.saturating_mul(3600),
            Flow::Hours { until: None, each, .. } => each,
            Flow::Time { until: Some(_), .. } | Flow::Hours { until: Some(_), .. } | Flow::Count(..) => 0,
        }
    }

    /// So many units, for people: `0.25 vCPU × 312 s`.
    pub fn quantity(&self, units: u64) -> String {
        match self.flow {
            Flow::Count(..) => match self.item {
                Item::Metric => format!("{units} metric-hours"),
                Item::ScheduleInvocations => format!("{units} schedules, if due"),
                Item::MetricReads => format!("{units} metrics asked for"),
                _ => format!("{units} requests"),
            },
            Flow::Hours { each, .. } => format!("{each} metrics × {} h", units / each.max(1)),
            Flow::Time { each, .. } => format!("{} × {} s", thing(self.item, each), units / each.max(1)),
        }
    }
}

/// So much of an item at any moment.
fn thing(item: Item, each: u64) -> String {
    match item {
        Item::VcpuX86 | Item::VcpuArm | Item::SpotVcpuX86 | Item::SpotVcpuArm | Item::VcpuWindows => {
            format!("{} vCPU", thousandths(each))
        }
        Item::MemoryX86 | Item::MemoryArm | Item::SpotMemoryX86 | Item::SpotMemoryArm | Item::MemoryWindows => {
            format!("{} GB", thousandths(each))
        }
        Item::PublicIpv4 => format!("{each} address"),
        Item::ImageStorage => format!("{}.{:03} MB", each / 1000, each % 1000),
        Item::LogsIngested | Item::DataOut => format!("{each} MiB/h"),
        _ => format!("{each} GB"),
    }
}

/// `n / 1024` with up to three decimals; integer arithmetic only.
fn thousandths(units: u64) -> String {
    let thousandths = units.saturating_mul(1000) / 1024;
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a session used, or may have: what may exist is counted as if it did.
pub(super) fn of(record: &Record) -> impl Iterator<Item = Use<'_>> {
    let own = [
        (Item::Metric, 730, (|metered: &Metered| metered.metric_hours) as fn(&Metered) -> u64),
        (Item::MetricRequests, 1000, |metered: &Metered| metered.put_metric_calls),
        (Item::MetricReads, 1000, |metered: &Metered| metered.metrics_read),
        // Each may be invoked once, should labguard be gone by then.
        (Item::ScheduleInvocations, 1_000_000, |metered: &Metered| metered.schedules),
    ];
    let own =
        own.into_iter().map(|(item, per, of)| Use { key: None, item, flow: Flow::Count(&record.metered, of), per });
    record.resources.iter().flat_map(|(key, resource)| of_resource(record, *key, resource)).flatten().chain(own)
}

/// The rule of every kind of resource. What is not ours is not ours to pay, but for tasks: whatever runs for the session
/// is counted.
fn of_resource<'r>(record: &'r Record, key: ResourceKey, resource: &'r Resource) -> [Option<Use<'r>>; 6] {
    let nothing = [None; 6];
    if resource.life == Life::Never {
        return nothing;
    }
    let gone = resource.gone_at.map(|at| at + resource.set_back.1);
    match key.kind {
        ResourceKind::Task => {
            let facts = resource.task.as_ref();
            let from = facts
                .and_then(|facts| facts.pull_started_at.or(facts.created_at).or(facts.started_at))
                .unwrap_or(resource.intended_at + resource.set_back.0);
            let until = facts.and_then(|facts| facts.stopped_at).or(gone);
            let size = resource.size.unwrap_or(TaskSize::SMALLEST);
            of_task(Terms::of(record), Some(key), &size, from, until)
        }
        ResourceKind::Image => match resource.bytes.filter(|_| resource.ours) {
            Some(bytes) => {
                let from = resource.live_at.unwrap_or(resource.intended_at) + resource.set_back.0;
                let each = bytes.div_ceil(1000);
                let flow = Flow::Time { from, until: gone, least: 0, step: 1, each };
                let stored = Use { key: Some(key), item: Item::ImageStorage, flow, per: 1_000_000 * MONTH_SECS };
                [Some(stored), None, None, None, None, None]
            }
            None => nothing,
        },
        ResourceKind::InsightsLog => {
            let [metrics, data] = insights::of(record, key, resource);
            [metrics, data, None, None, None, None]
        }
        // They cost nothing themselves: what is in them does (images, log data, tasks).
        ResourceKind::Repository
        | ResourceKind::LogGroup
        | ResourceKind::ExecutionRole
        | ResourceKind::Cluster
        | ResourceKind::SecurityGroup
        | ResourceKind::TaskDefinition
        | ResourceKind::Service
        | ResourceKind::SchedulerRole
        | ResourceKind::ScheduleGroup => nothing,
    }
}

/// How a session's tasks are billed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether tasks have a public address.
    pub public_ip: bool,
    /// How their use is counted.
    pub accounting: Accounting,
}

impl Terms {
    pub fn of(record: &Record) -> Self {
        Self { public_ip: record.public_ip, accounting: record.accounting }
    }

    pub fn by(policy: &Policy) -> Self {
        Self { public_ip: policy.network.public_ip, accounting: policy.accounting }
    }
}

/// What one task uses from `from` on.
pub(super) fn of_task<'r>(
    terms: Terms,
    key: Option<ResourceKey>,
    size: &TaskSize,
    from: Timestamp,
    until: Option<Timestamp>,
) -> [Option<Use<'r>>; 6] {
    let (vcpu, memory) = Item::compute(size);
    let Terms { public_ip, accounting } = terms;
    let time = |item, each: u32, per: u64, least, step| {
        let flow = Flow::Time { from, until, least, step, each: u64::from(each) };
        (each > 0).then_some(Use { key, item, flow, per })
    };
    let address_step = if accounting.ipv4_by_hour { 3600 } else { 1 };
    // AWS's GB of data are counted as 1000 MiB here: not low.
    const DATA: u64 = 1000 * 3600;
    [
        time(vcpu, size.cpu, 1024 * 3600, MINIMUM_SECS, 1),
        time(memory, size.memory, 1024 * 3600, MINIMUM_SECS, 1),
        time(Item::EphemeralStorage, size.storage.saturating_sub(INCLUDED_STORAGE), 3600, MINIMUM_SECS, 1),
        time(Item::PublicIpv4, u32::from(public_ip), 3600, MINIMUM_SECS, address_step),
        time(Item::LogsIngested, accounting.logs_mib_per_hour, DATA, 0, 1),
        time(Item::DataOut, accounting.traffic_mib_per_hour, DATA, 0, 1),
    ]
}

/// What a session of this policy can use: what its card must have prices of.
#[must_use]
pub fn needs(policy: &Policy) -> Vec<Item> {
    let uses = of_task(Terms::by(policy), None, &policy.task.size, Timestamp::default(), None);
    let mut items: Vec<Item> = uses.iter().flatten().map(|used| used.item).collect();
    if !matches!(policy.image.source, ImageSource::Registry { mirror: false, .. }) {
        items.push(Item::ImageStorage);
    }
    if !policy.metrics.cloudwatch.is_empty() {
        items.extend([Item::Metric, Item::MetricRequests]);
    }
    if policy.activity.insights.enabled {
        let more = [Item::Metric, Item::LogsIngested].into_iter().filter(|item| !items.contains(item));
        items.extend(more.collect::<Vec<_>>());
    }
    if policy.activity.metrics_read_per_hour() > 0 {
        items.push(Item::MetricReads);
    }
    if policy.fuse.scheduler {
        items.push(Item::ScheduleInvocations);
    }
    items
}
