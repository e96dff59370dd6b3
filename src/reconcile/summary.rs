//! From record, plan and readings to what people see: status, gauges and log lines.

use crate::{
    domain::{
        model::{
            CredentialReading, Event, Fault, FaultClass, HealthReading, ImageProgress, Life, LimitKind, Money, Net,
            Phase, Plan, Record, Resource, ResourceKey, ResourceKind, SourceReading, Span, TaskStatus, Timestamp,
            Unread,
        },
        policy::{Policy, retry},
    },
    telemetry::SessionGauges,
};

use super::status::{HealthStatus, LeaseStatus, NetStatus, NetWord, ResourceStatus, SessionStatus};

/// What is known beside record and plan.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    /// The present probe reading.
    pub health: HealthReading,
    /// What each source of activity says.
    pub sources: Vec<SourceReading>,
    /// What is wrong with the journal.
    pub alarm: Option<String>,
    /// What is known of the credentials.
    pub credentials: CredentialReading,
    /// Why its tasks could not be read.
    pub unread: Option<Unread>,
    /// Why AWS could place no task of its service, and when it was last seen to say so.
    pub unplaced: Option<(Timestamp, Fault)>,
    /// By how many milliseconds AWS's clock is ahead of ours.
    pub clock_ahead: Option<i64>,
    /// Why the own address is not known, where the session has ports for it.
    pub unknown_address: Option<String>,
    /// How far the image has come.
    pub image: Option<ImageProgress>,
}

/// The status of a session.
#[must_use]
pub fn status(record: &Record, policy: &Policy, plan: &Plan, aside: &Aside, now: Timestamp) -> SessionStatus {
    let outlook = &plan.outlook;
    let budget = if outlook.budget == Money::ZERO { policy.limits.budget } else { outlook.budget };
    let mut status = SessionStatus {
        id: record.id.clone(),
        name: record.name.clone(),
        owner: record.owner.clone(),
        phase: record.phase,
        phase_since: record.phase_since,
        doing: doing(record, aside, now),
        identity: record.identity.clone(),
        opened_at: record.opened_at,
        // The address of a task that is gone, or going, is nobody's any more.
        url: record.url.clone().filter(|_| record.phase == Phase::Running),
        health: HealthStatus {
            healthy: record.health.as_ref().map(|(healthy, ..)| *healthy),
            detail: aside.health.detail.clone(),
            at: aside.health.at,
            latency_us: aside.health.latency_us,
        },
        last_activity: record.last_activity.clone(),
        sources: aside.sources.clone(),
        leases: leases(record, now),
        idle: outlook.idle,
        spend: outlook.spend,
        rate: outlook.rate,
        budget,
        budget_left: budget.less(outlook.spend + outlook.teardown_cost),
        teardown_cost: outlook.teardown_cost,
        overshoot: record.overshoot,
        forecast: outlook.forecast,
        deadline: outlook.deadline,
        limits: outlook.limits.clone(),
        ending: record.ending.as_ref().map(|ending| (ending.cause, ending.detail.clone())),
        restarts: record.restarts,
        resources: record
            .resources
            .iter()
            .map(|(key, resource)| {
                let waiting = waiting(resource, now);
                let fault = resource.last_fault.as_ref().filter(|_| waiting.is_none());
                ResourceStatus {
                    key: *key,
                    name: resource.name.clone(),
                    id: resource.id.clone(),
                    life: resource.life,
                    ours: resource.ours,
                    fault: resource.unproven.clone().or(fault.map(|(_, fault)| fault.to_string())),
                    waiting,
                }
            })
            .collect(),
        things_left: record.ours_left().count(),
        nets: nets(record, policy, plan),
        image: None,
        blockers: record.blockers.clone(),
        next_look: plan.wake_at,
        next_try: plan.outlook.next_try,
        alarm: alarm(record, aside, now),
        closed_at: record.closed_at,
        at: now,
    };
    status.show_image(aside.image.clone());
    status
}

/// Which nets hold, and which do not and why.
fn nets(record: &Record, policy: &Policy, plan: &Plan) -> Vec<NetStatus> {
    let of = |net: Net| {
        let required = policy.fuse.requires(net);
        let known = record.nets.get(&net).filter(|_| policy.fuse.has(net));
        let (state, detail) = match known {
            _ if !policy.fuse.has(net) => (NetWord::Off, "switched off by the policy".to_owned()),
            Some(known) if known.holds => (NetWord::Holds, known.detail.clone()),
            Some(known) => (NetWord::Fails, known.detail.clone()),
            None => (NetWord::Pending, "being made".to_owned()),
        };
        let acts_at = match net {
            Net::Scheduler => plan.outlook.net_acts_at,
            Net::Sentinel => plan.outlook.sentinel_acts,
        };
        NetStatus { net, state, required, detail, acts_at }
    };
    Net::ALL.into_iter().map(of).collect()
}

/// The leases that have not lapsed.
fn leases(record: &Record, now: Timestamp) -> Vec<LeaseStatus> {
    let open = record.leases.iter().filter(|(_, lease)| lease.lapses(now) > now && !record.is_closed());
    let shown = open.map(|(id, lease)| LeaseStatus {
        id: id.clone(),
        by: lease.by.clone(),
        opened_at: lease.opened_at,
        expires_at: lease.lapses(now),
    });
    shown.collect()
}

/// That long something may wait before it is told as a fault (aws-facts §4: an interface outlives its task by up to a
/// minute or two; §6: a new role takes the scheduler as long).
const USUAL_WAIT: Span = Span::from_mins(2);

/// What is waited for, while the wait is a usual one: by a removal, or by what needs a thing that AWS made moments ago
/// and does not know everywhere yet.
fn waiting(resource: &Resource, now: Timestamp) -> Option<String> {
    let (_, fault) = resource.last_fault.as_ref()?;
    if matches!(resource.life, Life::Intended | Life::Live)
        && fault.class == FaultClass::Dependency
        && now.since(resource.intended_at) < USUAL_WAIT
    {
        return Some("waiting for AWS to know what was made for it moments ago".to_owned());
    }
    let since = resource.leaving_at?;
    if resource.life != Life::Leaving || fault.class != FaultClass::Dependency || now.since(since) >= USUAL_WAIT {
        return None;
    }
    let holders = fault.advice.as_deref().and_then(|advice| advice.strip_prefix("held by "));
    let holders: Vec<&str> = holders
        .into_iter()
        .flat_map(|holders| holders.split("network interface ").skip(1))
        .filter_map(|holder| holder.split([' ', ',']).next())
        .collect();
    Some(match holders.as_slice() {
        [] => "waiting for what still uses it to go".to_owned(),
        [one] => format!("waiting for the network interface {one} to go"),
        several => format!("waiting for the network interfaces {} to go", several.join(", ")),
    })
}

fn alarm(record: &Record, aside: &Aside, now: Timestamp) -> Option<String> {
    let of_credentials = if aside.credentials.missing {
        Some(
            "no AWS credentials are to be had: set AWS_PROFILE, run `aws configure`, or log in again; labguard looks again by itself",
        )
    } else if aside.credentials.refused {
        Some(
            "AWS refuses the credentials (expired or invalid); renew them in the same profile, labguard reads them again by itself",
        )
    } else {
        None
    };
    if let Some(said) = of_credentials.filter(|_| !record.is_closed()) {
        return Some(said.to_owned());
    }
    let runs = |(key, it): (&ResourceKey, &Resource)| {
        matches!(key.kind, ResourceKind::Task | ResourceKind::Service) && it.life.may_exist()
    };
    let looked_for = !record.is_closed() && record.resources.iter().any(runs);
    let unread =
        aside.unread.as_ref().filter(|unread| looked_for && unread.is_told(now)).map(|Unread { since, fault }| {
            format!(
                "its tasks cannot be read since {since}, so that what becomes of them is not seen: {}: {fault}",
                retry::explain(fault)
            )
        });
    let unreachable = aside.unknown_address.as_ref().filter(|_| !record.is_closed()).map(|why| {
        format!("ports for \"own\" are open to nobody, since the own address is not known: {why}; name your range in its stead")
    });
    let apart = aside.clock_ahead.filter(|_| !record.is_closed()).and_then(clock_apart);
    aside.alarm.clone().or(unread).or(unreachable).or(apart)
}

/// From here on clocks that are apart are told.
const APART: u64 = 60_000;

/// What it means that AWS's clock is not ours.
fn clock_apart(ahead: i64) -> Option<String> {
    let by = Span::from_millis(ahead.unsigned_abs() / 1000 * 1000);
    if ahead.unsigned_abs() < APART {
        return None;
    }
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    Some(format!(
        "this machine's clock is {by} {way} AWS's: what AWS does by the clock (schedules, a guard in the task) is set by AWS's, \
         hours and a fixed end are this machine's; set the clock (NTP)"
    ))
}

/// What the session is at, in a person's words.
fn doing(record: &Record, aside: &Aside, now: Timestamp) -> String {
    let named = |wanted: &dyn Fn(Life) -> bool| -> String {
        let kinds: Vec<String> = record
            .resources
            .iter()
            .filter(|(_, resource)| resource.ours && wanted(resource.life))
            .map(|(key, _)| key.to_string())
            .collect();
        kinds.join(", ")
    };
    match record.phase {
        Phase::Pending => "accepted".to_owned(),
        Phase::Provisioning => match named(&|life| life == Life::Intended) {
            making if making.is_empty() => match record.only(ResourceKind::Service) {
                Some(before) if before.life == Life::Leaving => format!("waiting for {} to be deleted", before.name),
                _ => "looking at the account".to_owned(),
            },
            making => format!("making {making}"),
        },
        Phase::Starting => match record.current_task().and_then(|(_, task)| task.task.as_ref()) {
            Some(task) if task.status == TaskStatus::Running => "waiting for the first healthy answer".to_owned(),
            Some(task) => {
                let unread = aside.unread.as_ref().is_some_and(|unread| unread.is_told(now));
                let unseen = if unread { "; it cannot be read" } else { "" };
                format!("waiting for the task ({}{unseen})", status_word(task.status))
            }
            None => match aside.unplaced.as_ref().filter(|(at, _)| *at >= record.phase_since) {
                Some((_, fault)) => format!("waiting for AWS to place a task: {}: {fault}", retry::explain(fault)),
                None => record.phase_because.clone(),
            },
        },
        Phase::Running => match &record.health {
            Some((false, _, detail)) => format!("unhealthy: {detail}"),
            _ => "running".to_owned(),
        },
        Phase::Stopping => {
            let tasks: Vec<_> = record.tasks().filter(|(_, task)| task.life.may_exist()).collect();
            if tasks.is_empty() { "stopped; can be resumed".to_owned() } else { "stopping its tasks".to_owned() }
        }
        Phase::TearingDown => match named(&Life::may_exist) {
            left if left.is_empty() => {
                format!("verifying that nothing is left ({} of 2 clean passes)", record.clean_passes.min(2))
            }
            left => format!("removing {left}"),
        },
        Phase::Ended => match &record.ending {
            Some(ending) => format!("ended: {}", ending.cause),
            None => "ended".to_owned(),
        },
        Phase::Stuck => record.blockers.first().map_or_else(
            || record.phase_because.clone(),
            |blocker| format!("stuck on {} {}: {}", blocker.key, blocker.name, blocker.why),
        ),
    }
}

fn status_word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning => "PROVISIONING: its network interface",
        TaskStatus::Pending => "PENDING",
        TaskStatus::Activating => "ACTIVATING: pulling the image",
        TaskStatus::Running => "RUNNING",
        TaskStatus::Deactivating => "DEACTIVATING",
        TaskStatus::Stopping => "STOPPING",
        TaskStatus::Deprovisioning => "DEPROVISIONING",
        TaskStatus::Stopped => "STOPPED",
        TaskStatus::Other => "a state this version does not know",
    }
}

/// What the metrics say of a session.
#[must_use]
pub fn gauges(status: &SessionStatus) -> SessionGauges {
    SessionGauges {
        id: status.id.clone(),
        name: status.name.clone(),
        phase: status.phase,
        healthy: status.health.healthy,
        probe_latency_us: status.health.latency_us,
        idle: status.idle,
        spend: status.spend,
        rate: status.rate,
        budget_left: status.budget_left,
        nets: status
            .nets
            .iter()
            .filter(|net| net.state != NetWord::Off)
            .map(|net| (net.net, net.state == NetWord::Holds))
            .collect(),
        limits: status.limits.iter().map(|limit| (limit.kind, limit.at.since(status.at))).collect(),
        restarts: status.restarts,
        things_left: status.things_left,
    }
}

/// Says an event in the log. Steps say their own.
pub fn tell(record: &Record, note: &Event, now: Timestamp) {
    match note {
        Event::Entered { phase, because } if record.phase != *phase => {
            tracing::info!(session.phase = %phase, "{because}");
        }
        Event::Announced { url } => tracing::info!(%url, "session is live"),
        Event::Ending { cause, detail, .. } => tracing::info!(%cause, "session ends: {detail}"),
        Event::Warned { limit, at, .. } => {
            let advice = match limit {
                LimitKind::Idle | LimitKind::Budget | LimitKind::Lifetime => "; extend it if it is still needed",
                LimitKind::Credentials => "; renew the credentials if it is still needed",
                LimitKind::Keep => "; resume it if it is still needed",
                LimitKind::EndTime
                | LimitKind::Hours
                | LimitKind::StartGrace
                | LimitKind::SharedBudget
                | LimitKind::SentinelLease
                | LimitKind::Net => "",
            };
            let left = Span::from_secs(at.since(now).as_secs_ceil());
            tracing::warn!(limit = limit.name(), %at, "the session ends in {left}{advice}");
        }
        Event::TaskLost { key, loss, detail } => {
            tracing::warn!(task = %key, "task lost: {}; {detail}", loss.describe())
        }
        Event::Restarting { restart, because } => tracing::warn!(restart, "restarting: {because}"),
        Event::Health { healthy, detail } => tracing::info!(healthy, "health: {detail}"),
        Event::Blocked { blockers } => {
            for blocker in blockers {
                tracing::error!(resource = %blocker.key, name = %blocker.name, cost_per_hour = %blocker.cost_per_hour, "cannot be removed: {}", blocker.why);
            }
        }
        Event::NetChanged { net, holds: true, detail } => tracing::info!(net = net.name(), "net holds: {detail}"),
        Event::NetChanged { net, holds: false, detail } => {
            tracing::warn!(net = net.name(), "net does not hold: {detail}");
        }
        Event::Closed { .. } => tracing::info!("session closed"),
        Event::Verified { left } => tracing::info!(left = left.len(), "verification pass"),
        Event::Unproven { key, why } => tracing::warn!(resource = %key, "let go without proof: {why}"),
        Event::Vanished { key } => tracing::info!(resource = %key, "proven gone"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Askings;

    fn held(advice: Option<&str>) -> Resource {
        let began: Timestamp = "2026-11-22T14:00:00Z".parse().unwrap();
        Resource {
            name: "lab".into(),
            id: Some("sg-1".into()),
            life: Life::Leaving,
            ours: true,
            intended_at: began,
            set_back: (Span::ZERO, Span::ZERO),
            asked_at: None,
            asked: Askings::default(),
            live_at: Some(began),
            leaving_at: Some(began),
            gone_at: None,
            task: None,
            size: None,
            bytes: None,
            failures: 1,
            last_fault: Some((
                began,
                Fault {
                    class: FaultClass::Dependency,
                    operation: "ec2:DeleteSecurityGroup".into(),
                    code: "DependencyViolation".into(),
                    message: "resource sg-1 has a dependent object".into(),
                    request_id: None,
                    advice: advice.map(str::to_owned),
                    own: false,
                },
            )),
            unproven: None,
        }
    }

    #[test]
    fn clocks_that_are_apart_are_told_with_what_it_means() {
        assert_eq!(clock_apart(59_999), None);
        assert_eq!(clock_apart(-2_500), None);
        let said = clock_apart(600_400).unwrap();
        assert!(said.contains("10m behind AWS's") && said.contains("is set by AWS's"), "{said}");
        assert!(clock_apart(-90_000).unwrap().contains("1m 30s ahead of AWS's"));
    }

    #[test]
    fn an_interface_that_outlives_its_task_is_waited_for_and_no_fault_until_it_takes_too_long() {
        let group = held(Some("held by network interface eni-1 (in-use, arn:aws:ecs:us-east-1:0:task/c/1)"));
        let now = group.intended_at + Span::from_secs(3);
        assert_eq!(waiting(&group, now).as_deref(), Some("waiting for the network interface eni-1 to go"));
        assert_eq!(waiting(&group, now + USUAL_WAIT), None);
        assert_eq!(waiting(&held(None), now).as_deref(), Some("waiting for what still uses it to go"));
        let mut young = group.clone();
        young.life = Life::Live;
        assert!(waiting(&young, now).is_some_and(|said| said.contains("moments ago")));
        assert_eq!(waiting(&young, now + USUAL_WAIT), None, "then the fault itself is told");
        let mut denied = group;
        if let Some((_, fault)) = &mut denied.last_fault {
            fault.class = FaultClass::Denied;
        }
        assert_eq!(waiting(&denied, now), None);
    }
}
