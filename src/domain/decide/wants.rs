//! Which fresh reads a turn needs: many in transitions, few while a probe answers, everything to prove an end.
//!
//! AWS's allowance of reads is the account's (aws-facts §5.1), so sessions share it: the more of them run well, the
//! rarer each of those is read; the more are on their way up or down, the rarer each of these. A probe that fails is a
//! reason to look at once, whatever their number.

use crate::domain::{
    model::{
        Life, Net, Observation, Phase, Record, Resource, ResourceKey, ResourceKind, Span, Stage, TaskFacts, Timestamp,
        Want,
    },
    policy::Policy,
};

use super::{
    health, scan_gate,
    turn::{is_service, serving},
    verify,
};

/// Between reads while something is on its way.
pub(super) const FAST: Span = Span::from_millis(2500);

/// Between reads while the probe answers, or nothing runs.
pub(super) const SLOW: Span = Span::from_secs(60);

/// Between reads while something blocks the end, or while a probe fails.
pub(super) const BLOCKED: Span = Span::from_secs(15);

/// Reads per second that all sessions that run well may take together: two fifths of the 20 that ECS gives, so that
/// those which begin, end or fail never wait for them.
const WATCH_PER_SECOND: u64 = 8;

/// Reads per second that all sessions on their way up or down may take together. With the others' there is room left
/// below the 16 that labguard takes of ECS's 20 (`cloud::pace`): nobody queues.
const MOVE_PER_SECOND: u64 = 6;

/// A service usually starts its task within that; one that has none by then is asked why.
const PLACED_WITHIN: Span = Span::from_secs(15);

/// Between looks at whether the group of the net outside the task is still there: somebody may take it away.
const NET: Span = Span::from_mins(10);

/// Looks per second at such groups that all sessions may take together.
const NET_PER_SECOND: u64 = 2;

/// Between reads of one, where so many share that allowance.
fn fair(sharing: usize, per_second: u64) -> Span {
    Span::from_millis(u64::try_from(sharing).unwrap_or(u64::MAX).saturating_mul(1000) / per_second)
}

/// Whether a session is on its way up or down: its tasks are read often.
#[must_use]
pub fn is_moving(record: &Record, policy: &Policy) -> bool {
    rhythm(record, policy) == Some(Rhythm::Moving)
}

/// How a session's tasks are read in its present state, whatever the probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rhythm {
    Moving,
    Steady,
    Stuck,
}

fn rhythm(record: &Record, policy: &Policy) -> Option<Rhythm> {
    if record.is_closed() || !verify::tasks_matter(record) {
        return None;
    }
    let in_transition = record.tasks().any(|(_, task)| matches!(task.life, Life::Intended | Life::Leaving));
    match record.phase {
        Phase::Pending | Phase::Ended => None,
        Phase::Stuck => Some(Rhythm::Stuck),
        _ if in_transition => Some(Rhythm::Moving),
        Phase::Provisioning => record.tasks().any(|(_, task)| task.life.may_exist()).then_some(Rhythm::Moving),
        Phase::Starting => {
            let exists = is_service(policy) || serving(record, policy).is_some();
            exists.then_some(Rhythm::Moving)
        }
        Phase::Running | Phase::Stopping => Some(Rhythm::Steady),
        Phase::TearingDown => Some(Rhythm::Moving),
    }
}

/// How often tasks are read in the present state; none: not at all.
fn pace(record: &Record, policy: &Policy, seen: &Observation) -> Option<Span> {
    Some(match rhythm(record, policy)? {
        Rhythm::Stuck => BLOCKED,
        Rhythm::Moving => FAST.max(fair(seen.moving, MOVE_PER_SECOND)),
        Rhythm::Steady if record.phase == Phase::Running && seen.health.bad > 0 => BLOCKED,
        Rhythm::Steady => SLOW.max(fair(seen.sharing, WATCH_PER_SECOND)),
    })
}

/// The reads this turn needs, by what is known before it looks: when tasks were last read, what the probes say, how
/// many sessions share the reads.
#[must_use]
pub fn wants(record: &Record, policy: &Policy, known: &Observation, now: Timestamp) -> Vec<Want> {
    if record.is_closed() {
        return Vec::new();
    }
    let tearing_down = record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
    if tearing_down && record.ours_left().next().is_none() {
        return verification(record, now);
    }
    let mut wants = task_reads(record, policy, known, now);
    if net_look(record, policy, known).is_some_and(|at| at <= now || known.net_looked_at.is_some_and(|last| last > now))
    {
        wants.push(Want::Resource(ResourceKey::only(ResourceKind::ScheduleGroup)));
    }
    if record.ending.is_none() && scan_gate::pending(record, policy).is_some() {
        wants.push(Want::Scan);
    }
    if tearing_down && !is_fresh(known.blockers_asked_at, BLOCKED, now) {
        // What holds a group or cluster is worth knowing once its removal is refused.
        let refusing = record.ours_left().filter(|(key, it)| key.kind != ResourceKind::Task && is_refusing(it));
        wants.extend(refusing.map(|(key, _)| Want::Resource(key)));
    }
    wants
}

/// Whether a thing has refused to go for so often that what holds it is asked for.
#[must_use]
pub fn is_refusing(resource: &Resource) -> bool {
    resource.failures >= 3
}

/// Whether a read is younger than its pace. A clock that stepped back must not stop the reads.
fn is_fresh(last: Option<Timestamp>, pace: Span, now: Timestamp) -> bool {
    last.is_some_and(|last| last <= now && now.since(last) < pace)
}

/// When tasks are read next; none where there is nothing to read, whatever the time.
pub(super) fn next_task_read(
    record: &Record,
    policy: &Policy,
    known: &Observation,
    now: Timestamp,
) -> Option<Timestamp> {
    let pace = pace(record, policy, known)?;
    if task_wants(record, policy, now).is_empty() {
        return None;
    }
    if doubtful(record, policy, known) {
        return Some(now);
    }
    let (seen, asked) = (known.tasks_seen_at.filter(|at| *at <= now), known.tasks_asked_at.filter(|at| *at <= now));
    // One that was not answered is asked again soon, but never at once.
    let unanswered = asked.filter(|asked| seen.is_none_or(|seen| seen < *asked)).map(|at| at + pace.min(BLOCKED));
    Some(unanswered.or(seen.map(|at| at + pace)).unwrap_or(now))
}

/// When the group of the net outside the task is looked at next; none where there is none to look at.
pub(super) fn net_look(record: &Record, policy: &Policy, known: &Observation) -> Option<Timestamp> {
    let ends = record.is_closed() || record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
    let group = record.only(ResourceKind::ScheduleGroup).filter(|it| it.ours && it.life == Life::Live && !ends)?;
    policy.fuse.has(Net::Scheduler).then_some(())?;
    // Schedules that could be set or moved prove it as well.
    let used = group.asked_at.filter(|_| group.last_fault.is_none());
    let last = known.net_looked_at.max(used).max(group.live_at)?;
    Some(last + NET.max(fair(known.sharing, NET_PER_SECOND)))
}

fn task_reads(record: &Record, policy: &Policy, known: &Observation, now: Timestamp) -> Vec<Want> {
    match next_task_read(record, policy, known, now) {
        Some(at) if at <= now => task_wants(record, policy, now),
        _ => Vec::new(),
    }
}

/// Every read that tells of tasks.
fn task_wants(record: &Record, policy: &Policy, now: Timestamp) -> Vec<Want> {
    let tearing_down = record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
    let mut wants = Vec::new();
    let cluster_refuses = record.only(ResourceKind::Cluster).is_some_and(|cluster| cluster.failures > 0);
    let unanswered = record.tasks().any(|(_, task)| task.id.is_none() && task.life.may_exist());
    let adopted = record.only(ResourceKind::Cluster).is_some_and(|cluster| !cluster.ours);
    let listing = is_service(policy)
        || unanswered
        || record.phase == Phase::Stopping
        || tearing_down && (cluster_refuses || adopted);
    if listing {
        wants.push(Want::Tasks);
    }
    let worth = |task: &Resource| task.id.is_some() && task.life.may_exist() && !settled(task);
    wants.extend(record.tasks().filter(|(_, task)| worth(task)).map(|(key, _)| Want::Resource(key)));
    let service = ResourceKey::only(ResourceKind::Service);
    if health::taskless_since(record, policy).is_some_and(|since| now.since(since) >= PLACED_WITHIN) {
        wants.push(Want::Resource(service));
    }
    wants
}

/// Whether the serving task's probes failed often enough to judge it by, and it was not asked for since.
fn doubtful(record: &Record, policy: &Policy, known: &Observation) -> bool {
    let probes = &known.health;
    record.phase == Phase::Running
        && probes.bad >= policy.health.unhealthy_after.max(1)
        && serving(record, policy).is_some_and(|(key, _)| probes.task == Some(key))
        && known.tasks_seen_at.max(known.tasks_asked_at) < probes.at
}

fn settled(task: &Resource) -> bool {
    task.task.as_ref().is_some_and(TaskFacts::is_stopped)
}

/// Everything that was ever ours, unless the next pass is not due yet.
fn verification(record: &Record, now: Timestamp) -> Vec<Want> {
    let waiting = record.clean_passes > 0
        && record.verified_at.is_some_and(|last| last <= now && now.since(last) < verify::BETWEEN_PASSES);
    if waiting {
        return Vec::new();
    }
    let mut wants: Vec<Want> = verify::to_read(record).into_iter().map(Want::Resource).collect();
    let cluster = ResourceKey::only(ResourceKind::Cluster);
    if verify::tasks_matter(record) && record.resources.contains_key(&cluster) {
        wants.push(Want::Tasks);
    }
    wants
}
