//! The net outside the task: schedules in the cloud that end the spend when labguard is gone (aws-facts §6).
//!
//! They are due when budget and hard lifetime would otherwise be passed, are moved while labguard lives, and go last.
//! Guarantees: a schedule names only what the record calls ours; nothing runs before it is known whether the net holds;
//! where the policy requires it and it cannot be had, the session ends before it was ever healthy. Must never keep an
//! end waiting, nor end a session that is in use because a net tore.

use crate::domain::{
    meter,
    model::{
        Arming, Cause, Event, Fault, FaultClass, Life, Limit, LimitKind, Money, NET_STOPPED, Net, Observed, Record,
        Resource, ResourceKey, ResourceKind, SERVICE_DELETE, Scheduled, ScheduledCall, Span, Spec, Stage, Step,
        TaskFacts, Timestamp, stops_of, twice,
    },
    policy::{
        fuse::{group_name, role_name},
        retry,
    },
};

use super::{
    deploy_order,
    limits::{self, Due},
    turn::{Turn, is_service},
};

/// A schedule is called within the minute after its instant (aws-facts §6.2): it is set that much sooner.
const PRECISION: Span = Span::from_mins(1);

/// No schedule is set sooner than that from now: AWS refuses the past, and a call of ours takes its time.
const SOONEST: Span = Span::from_mins(2);

/// A deadline that has come closer by that much moves the schedules; one that went away by more than [`LATER`], too.
const SOONER: Span = Span::from_secs(30);

/// See [`SOONER`]. Less where little time is left.
const LATER: Span = Span::from_mins(5);

/// Tries to set schedules after which they are not expected to succeed soon: about five minutes.
const TRIES: u32 = 12;

/// The same where AWS does not let the schedules take on their role: about two minutes, which is what a new role takes to
/// get about (aws-facts §6.3).
const ROLE_TRIES: u32 = 32;

/// Tries to move schedules after which the net is said not to hold: until they are moved, it acts at the wrong time.
const MOVE_TRIES: u32 = 4;

/// Between those tries, at most: a task waits for them.
const ROLE_WAIT: Span = Span::from_secs(4);

/// Between tries to make the net, once it was given up to expect it: a right may be given, a service come back.
const AGAIN: Span = Span::from_mins(10);

/// For how long a task waits to know whether a net holds that the policy does not require.
const PATIENCE: Span = Span::from_mins(2);

/// The same, where nobody has answered at all: then it is likely that nobody will (a region without the scheduler, a
/// network without a way to it).
const PATIENCE_UNANSWERED: Span = Span::from_secs(30);

/// For how long an end waits for an answer about what nobody ever answered for, and how often it asks at least. All else
/// is gone by then, so the way to AWS is there; what may be left costs nothing.
const LET_GO_AFTER: Span = Span::from_mins(2);

/// See [`LET_GO_AFTER`].
const LET_GO_TRIES: u32 = 4;

/// For how long a new group may be missing from reads.
const VISIBLE_WITHIN: Span = Span::from_mins(1);

/// Offsets from the deadline: a call that AWS refuses is lost, so each waits for what must be gone before it, and comes
/// once more (aws-facts §6.2, §11).
const STOP: [u64; 2] = [0, 2];
const DELETE: [u64; 2] = [10, 40];
const DELETE_LAST: [u64; 2] = [25, 45];

/// From the instant at which a service is to be deleted, in which that shows: the schedule's own precision and its second
/// try, and what the tasks then take to stop.
const ACTING: Span = Span::from_mins(6);

const GROUP: ResourceKey = ResourceKey::only(ResourceKind::ScheduleGroup);
const ROLE: ResourceKey = ResourceKey::only(ResourceKind::SchedulerRole);

/// Whether the policy wants the net.
fn wanted(turn: &Turn<'_>) -> bool {
    turn.policy().fuse.has(Net::Scheduler)
}

/// Whether a task must wait: it is not known yet whether the net holds. That takes [`PATIENCE`] at most, and
/// [`retry::PATIENCE`] where the policy requires it.
pub(super) fn undecided(turn: &Turn<'_>) -> bool {
    wanted(turn) && !turn.record.nets.contains_key(&Net::Scheduler)
}

/// Makes group and role, and sets or moves the schedules.
pub(super) fn steps(turn: &mut Turn<'_>) {
    if !wanted(turn) {
        return;
    }
    let session = turn.record.id.to_string();
    make(turn, GROUP, Spec::ScheduleGroup { name: group_name(&session) });
    // A role without a group would be made and removed for nothing, wherever there is no right to make groups.
    if turn.policy().fuse.scheduler_role.is_none() && live(turn, GROUP).is_some() {
        let (name, group) = (role_name(&session), group_name(&session));
        let cluster = turn.names().cluster;
        make(turn, ROLE, Spec::SchedulerRole { name, group, cluster });
    }
    arm(turn);
}

/// Asks for it; once it was given up, only now and then, and never for what is somebody else's.
fn make(turn: &mut Turn<'_>, key: ResourceKey, spec: Spec) {
    if lost(turn, key).is_some() {
        let resource = turn.record.resources.get(&key).filter(|it| it.life == Life::Intended);
        let Some(at) = resource.and_then(|it| it.last_fault.as_ref()).map(|(at, _)| *at) else { return };
        if !turn.reached(at + AGAIN) {
            return;
        }
    }
    deploy_order::ensure(turn, key, spec, false);
}

/// Sets what is missing, and moves all when the deadline has moved. A stopped session's, too.
pub(super) fn arm(turn: &mut Turn<'_>) {
    if !wanted(turn) || turn.has_step(GROUP) {
        return;
    }
    let (Some(group), Some(role)) = (live(turn, GROUP).cloned(), role(turn)) else { return };
    look_again_in_time(turn);
    let Some(mut schedules) = due(turn).filter(|schedules| !schedules.is_empty()) else { return };
    if let Some((at, fault)) = &group.last_fault {
        let wait = if hopeless(fault, group.failures) {
            AGAIN
        } else if fault.class == FaultClass::Dependency {
            retry::create_wait(group.failures).min(ROLE_WAIT)
        } else {
            retry::create_wait(group.failures)
        };
        if !turn.reached(*at + wait) {
            // A task that has come since was not among what failed: it is paid for, and gets its stop at once.
            schedules.retain(|it| !it.known && is_of_task_since(turn, it, group.asked_at));
            if schedules.is_empty() {
                return;
            }
        }
    }
    let arming = Arming { group: group.name, role, schedules };
    turn.steps.push(Step::Arm { key: GROUP, arming });
}

/// Whether a schedule stops a task that came to be after `asked`.
fn is_of_task_since(turn: &Turn<'_>, schedule: &Scheduled, asked: Option<Timestamp>) -> bool {
    let ScheduledCall::StopTask { task, .. } = &schedule.call else { return false };
    let known = turn.record.tasks().find(|(_, it)| it.id.as_ref() == Some(task));
    known.and_then(|(_, it)| it.live_at).is_some_and(|live| asked.is_none_or(|asked| live >= asked))
}

/// The instant at which the net acts first, as its schedules are set; those of what is gone count no more.
pub(super) fn acts_at(turn: &Turn<'_>) -> Option<Timestamp> {
    let wanted = wanted(turn) && turn.ending_stage() != Some(Stage::Teardown);
    let all = if wanted { all(turn) } else { Vec::new() };
    all.iter().filter_map(|it| turn.record.schedules.get(&it.name)).min().copied()
}

/// The end that schedules bring which cannot be moved, where they come before every other limit.
pub(super) fn limit(turn: &Turn<'_>, others: &[Due]) -> Option<Due> {
    let torn = turn.record.nets.get(&Net::Scheduler).is_some_and(|net| !net.holds);
    if !wanted(turn) || !torn || !all(turn).iter().any(|it| is_moved(turn, it)) {
        return None;
    }
    let at = acts_at(turn).filter(|at| *at > turn.now && others.iter().all(|due| *at < due.limit.at))?;
    let (cause, kind) = (deadline(turn).cause, LimitKind::Net);
    let why = format!("a schedule outside the task is set for {at}, and cannot be moved to where it belongs now");
    let moved_by = "the right to move it (`labguard status` says what is in the way)".to_owned();
    let limit = Limit { kind, cause, at, why, moved_by, spend: Money::ZERO };
    // The cloud ends it then, not labguard.
    Some(Due { limit, stage: Stage::Teardown, certain: false })
}

/// Ends the session where it was its own schedules that stopped a task, by what they stand for: another task would be
/// run on past the deadline. `set_for`: when the stop was set for.
pub(super) fn acted(turn: &mut Turn<'_>, key: ResourceKey, facts: &TaskFacts, set_for: Option<Timestamp>) -> bool {
    let said = facts.stopped_reason.as_deref().is_some_and(|reason| reason.starts_with(NET_STOPPED));
    let served = service_deleted(turn);
    if !said && served.is_none() {
        return false;
    }
    let set_for = set_for.or(served);
    let cause = set_for.map_or_else(|| deadline(turn).cause, |at| stood_for(turn, at));
    let set_for = set_for.map(|at| format!(", set for {at}")).unwrap_or_default();
    let detail = format!("the schedules outside the task stopped {key}{set_for}: {}", cause.describe());
    let stage = if cause == Cause::HoursClosed { turn.policy().end.on_hours } else { Stage::Teardown };
    turn.end(cause, detail, stage);
    true
}

/// What ends a session at the instant that a schedule was set for. What it costs moves that instant, the others stand.
fn stood_for(turn: &Turn<'_>, set_for: Timestamp) -> Cause {
    let deadline = set_for + PRECISION;
    let apart = |at: Timestamp| at.since(deadline).max(deadline.since(at));
    let near = limits::fixed(turn).into_iter().filter(|(at, _)| apart(*at) <= LATER);
    near.min_by_key(|(at, _)| apart(*at)).map_or(Cause::Budget, |(_, cause)| cause)
}

/// When the service was to be deleted, where that has come: ECS gives a reason of its own for the stop of its tasks.
pub(super) fn service_deleted(turn: &Turn<'_>) -> Option<Timestamp> {
    let at = turn.record.schedules.get(SERVICE_DELETE).copied()?;
    (turn.service_mode() && at <= turn.now).then_some(at)
}

/// When a task's stop was set for.
pub(super) fn stop_of(record: &Record, key: ResourceKey) -> Option<Timestamp> {
    stops_of(key).iter().filter_map(|name| record.schedules.get(name)).min().copied()
}

/// However rarely the session is looked at otherwise: no schedule comes due because nobody looked.
fn look_again_in_time(turn: &mut Turn<'_>) {
    let first = all(turn).iter().filter_map(|it| turn.record.schedules.get(&it.name)).min().copied();
    if let Some(first) = first.filter(|first| *first > turn.now) {
        let half = Span::from_millis(first.since(turn.now).as_millis() / 2);
        turn.due.push(turn.now + half.max(SOONER));
    }
}

fn live<'t>(turn: &'t Turn<'_>, key: ResourceKey) -> Option<&'t Resource> {
    turn.record.resources.get(&key).filter(|it| it.ours && it.life == Life::Live)
}

/// Whether schedules that could not be set so far are not expected to be set soon.
const fn hopeless(fault: &Fault, failures: u32) -> bool {
    let may_pass = fault.class.may_pass() || matches!(fault.class, FaultClass::Expired | FaultClass::NotFound);
    let tries = if matches!(fault.class, FaultClass::Dependency) { ROLE_TRIES } else { TRIES };
    !may_pass || failures >= tries
}

/// ARN of the role that the schedules act as, once there is one.
fn role(turn: &Turn<'_>) -> Option<String> {
    let given = turn.policy().fuse.scheduler_role.clone();
    given.or_else(|| live(turn, ROLE)?.id.clone())
}

fn deadline(turn: &Turn<'_>) -> meter::Deadline {
    let budget = limits::budget(&turn.record, turn.policy());
    meter::deadlines(&turn.record, turn.policy(), turn.rules.card, budget, turn.now)
}

/// The instant from which the cloud ends it: before the deadline by the scheduler's own precision.
fn base(turn: &Turn<'_>, deadline: Timestamp) -> Timestamp {
    let at = (deadline - PRECISION).max(turn.now + SOONEST);
    Timestamp::from_millis(at.as_millis().div_euclid(1000) * 1000)
}

/// What must be set or moved now, what is missing first; none where all is as it should be.
fn due(turn: &mut Turn<'_>) -> Option<Vec<Scheduled>> {
    let mut all = all(turn);
    // Moved away, nothing would tell any more what ended the tasks. Where it failed, it is set anew afterwards.
    if service_deleted(turn).is_some_and(|at| !turn.reached(at + ACTING)) {
        all.retain(|it| !it.known || !matches!(it.call, ScheduledCall::DeleteService { .. }));
    }
    let missing = all.iter().any(|it| !it.known);
    if all.iter().any(|it| is_moved(turn, it)) {
        all.sort_by_key(|it| it.known);
        return Some(all);
    }
    missing.then(|| all.into_iter().filter(|it| !it.known).collect())
}

/// Whether a schedule is set for another instant than it should be.
fn is_moved(turn: &Turn<'_>, it: &Scheduled) -> bool {
    turn.record.schedules.get(&it.name).is_some_and(|set| off(*set, it.at, turn.now))
}

/// Whether a schedule that is set for `set` has to be moved to `at`.
fn off(set: Timestamp, at: Timestamp, now: Timestamp) -> bool {
    let left = set.since(now);
    let slack = LATER.min(Span::from_millis(left.as_millis() / 2));
    set.since(at) > SOONER || at.since(set) > slack
}

/// Every schedule that the session wants as things stand: only of what exists and is ours.
fn all(turn: &Turn<'_>) -> Vec<Scheduled> {
    let deadline = deadline(turn);
    // What stops and what removes need not have the same deadline: a session outside its hours may be kept, stopped.
    let (stops, removals) = (base(turn, deadline.at), base(turn, deadline.removal));
    let mut list = Vec::new();
    let mut add = |[first, again]: [String; 2], offsets: [u64; 2], call: ScheduledCall| {
        let base = if offsets == STOP { stops } else { removals };
        for (name, minutes) in [first, again].into_iter().zip(offsets) {
            let known = turn.record.schedules.contains_key(&name);
            list.push(Scheduled { name, at: base + Span::from_mins(minutes), call: call.clone(), known });
        }
    };
    let names = turn.names();
    let cluster = || names.cluster.clone();
    let tasks = turn.record.tasks().filter(|(_, task)| task.ours && task.life.may_exist());
    for (key, task) in tasks.filter_map(|(key, task)| Some((key, task.id.clone()?))) {
        let call = ScheduledCall::StopTask { cluster: cluster(), task };
        add(stops_of(key), STOP, call);
    }
    let only = |kind| live(turn, ResourceKey::only(kind));
    // A service has a fixed name, so its end can be set before it is made: where nothing else can be in its cluster.
    let ours = only(ResourceKind::Cluster).is_some() && !gone(turn, ResourceKind::Service);
    if is_service(turn.policy()) && (ours || only(ResourceKind::Service).is_some()) {
        add(
            twice(SERVICE_DELETE),
            STOP,
            ScheduledCall::DeleteService { cluster: cluster(), service: names.service.clone() },
        );
    }
    if let Some(cluster) = only(ResourceKind::Cluster) {
        add(twice("cluster-delete"), DELETE, ScheduledCall::DeleteCluster { cluster: cluster.name.clone() });
    }
    if let Some(repository) = only(ResourceKind::Repository) {
        let repository = repository.name.clone();
        add(twice("repository-delete"), DELETE, ScheduledCall::DeleteRepository { repository });
    }
    if let Some(group) = only(ResourceKind::SecurityGroup).and_then(|group| group.id.clone()) {
        add(twice("security-group-delete"), DELETE_LAST, ScheduledCall::DeleteSecurityGroup { group });
    }
    if let Some(logs) = only(ResourceKind::LogGroup) {
        add(twice("log-group-delete"), DELETE_LAST, ScheduledCall::DeleteLogGroup { log_group: logs.name.clone() });
    }
    if let Some(logs) = only(ResourceKind::InsightsLog) {
        add(twice("insights-log-delete"), DELETE_LAST, ScheduledCall::DeleteLogGroup { log_group: logs.name.clone() });
    }
    list
}

/// Whether it is gone or is somebody else's.
fn gone(turn: &Turn<'_>, kind: ResourceKind) -> bool {
    turn.record.only(kind).is_some_and(|it| !it.ours || !it.life.may_exist())
}

/// Why group or role will not come to be, if that is so.
fn lost(turn: &Turn<'_>, key: ResourceKey) -> Option<String> {
    let resource = turn.record.resources.get(&key)?;
    let (kind, name) = (key.kind, &resource.name);
    if resource.life == Life::Never && !resource.ours {
        return Some(format!("a {kind} named {name} is there already and is not this session's"));
    }
    if resource.life != Life::Intended {
        return None;
    }
    let (_, fault) = resource.last_fault.as_ref()?;
    let why = retry::given_up(Some(kind), fault, resource.failures, resource.intended_at, turn.now)?;
    Some(format!("the {kind} {name} could not be made: {why}: {}", told(fault)))
}

/// A fault as it may be told again and again: each of AWS's answers has a number of its own. Where a right is missing, what
/// to attach, or what does without it.
fn told(fault: &Fault) -> String {
    let advice = match fault.class {
        FaultClass::Denied if fault.operation.starts_with("iam:") => Some(format!(
            "attach deploy/iam/labguard-fuse-policy.json, or where no roles may be made (AWS Academy) give the ARN of one \
             that is there, such as LabRole, as fuse.scheduler_role: it must trust scheduler.amazonaws.com; it is tried \
             again every {AGAIN}"
        )),
        FaultClass::Denied => {
            Some(format!("attach deploy/iam/labguard-fuse-policy.json; it is tried again every {AGAIN}"))
        }
        _ => fault.advice.clone(),
    };
    Fault { request_id: None, advice, ..fault.clone() }.to_string()
}

/// Notes that the group is not there any more, or is somebody else's: its schedules went with it.
pub(super) fn notice(turn: &mut Turn<'_>) {
    let old = live(turn, GROUP).and_then(|group| group.live_at).is_some_and(|at| turn.now.since(at) >= VISIBLE_WITHIN);
    let lost = match turn.seen.of(GROUP) {
        Observed::Absent => true,
        Observed::Present(seen) => !seen.ours,
        Observed::Unknown => false,
    };
    if wanted(turn) && old && lost && turn.ending_stage() != Some(Stage::Teardown) {
        turn.note(Event::Vanished { key: GROUP });
    }
}

/// Notes whether the net holds, as soon as that is known and when it changes; ends what requires it and cannot have it.
pub(super) fn judge(turn: &mut Turn<'_>) {
    if !wanted(turn) {
        return;
    }
    if let Some((holds, detail)) = verdict(turn).or_else(|| overdue(turn)) {
        let known = turn.record.nets.get(&Net::Scheduler);
        if known.is_none_or(|known| known.holds != holds || known.detail != detail) {
            turn.note(Event::NetChanged { net: Net::Scheduler, holds, detail });
        }
    }
    let torn = turn.record.nets.get(&Net::Scheduler).filter(|net| !net.holds).map(|net| net.detail.clone());
    if let Some(why) = torn.filter(|_| turn.record.ending.is_none())
        && turn.policy().fuse.requires(Net::Scheduler)
        && turn.record.first_healthy_at.is_none()
    {
        let detail =
            format!("the policy requires the net outside the task (fuse.require), and it cannot be had: {why}");
        turn.end(Cause::DeployFailed, detail, Stage::Teardown);
    }
}

/// Whether the net holds; none while that is open.
fn verdict(turn: &Turn<'_>) -> Option<(bool, String)> {
    if let Some(why) = lost(turn, GROUP).or_else(|| lost(turn, ROLE)) {
        return Some((false, why));
    }
    if let Some(group) = turn.record.resources.get(&GROUP).filter(|it| it.ours && it.life == Life::Gone) {
        let lives = turn.record.ending.is_none();
        if lives && turn.policy().fuse.requires(Net::Scheduler) && turn.record.first_healthy_at.is_none() {
            // It is asked for in this very turn, and what comes of that decides.
            return None;
        }
        let again = if lives { ", and is made anew" } else { "" };
        return Some((false, format!("its schedule group {} was removed from outside{again}", group.name)));
    }
    let group = live(turn, GROUP)?;
    let all = all(turn);
    let (missing, moved) = (all.iter().any(|it| !it.known), all.iter().any(|it| is_moved(turn, it)));
    if let Some((_, fault)) = group.last_fault.as_ref().filter(|_| missing || moved) {
        let why = retry::explain(fault);
        // A required net that is slow to move is no reason to end what has just begun.
        let tried = !missing && group.failures >= MOVE_TRIES && !turn.policy().fuse.requires(Net::Scheduler);
        let first = all.iter().filter_map(|it| turn.record.schedules.get(&it.name)).min();
        let what = match first {
            Some(first) if !missing => {
                format!("its schedules, the first of {first}, could not be moved to where they belong now")
            }
            _ => "its schedules could not be set".to_owned(),
        };
        return (tried || hopeless(fault, group.failures)).then(|| (false, format!("{what}: {why}: {}", told(fault))));
    }
    // What has to be moved is being moved in this very turn: what was known before stands until that is done.
    (role(turn).is_some() && !missing && !moved).then(|| {
        let what = "schedules outside the task stop it at the deadline, and remove what one call can remove";
        (true, what.to_owned())
    })
}

/// What is not known in time counts as not holding, so that no task waits for it without end. It may hold later.
fn overdue(turn: &mut Turn<'_>) -> Option<(bool, String)> {
    if turn.record.nets.contains_key(&Net::Scheduler) {
        return None;
    }
    let group = turn.record.resources.get(&GROUP)?;
    let unanswered = group.life == Life::Intended
        && group.failures > 1
        && group.last_fault.as_ref().is_some_and(|(_, fault)| fault.is_unanswered());
    let patience = match turn.policy().fuse.requires(Net::Scheduler) {
        true => retry::PATIENCE,
        false if unanswered => PATIENCE_UNANSWERED,
        false => PATIENCE,
    };
    let began = group.intended_at.max(turn.record.resumed_at.unwrap_or_default());
    if !turn.reached(began + patience) {
        return None;
    }
    let faults = [GROUP, ROLE].into_iter().filter_map(|key| turn.record.resources.get(&key)?.last_fault.as_ref());
    let why = faults
        .max_by_key(|(at, _)| *at)
        .map_or_else(String::new, |(_, fault)| format!(": {}: {}", retry::explain(fault), told(fault)));
    Some((false, format!("it could not be made within {patience}, which is tried on{why}")))
}

/// Lets go of what was asked for, never confirmed, and cannot be asked about, so that no end waits for it: only of what
/// costs nothing, and once all else is gone. The receipt says what may be left.
pub(super) fn let_go(turn: &mut Turn<'_>, key: ResourceKey) {
    let Some(resource) = turn.record.resources.get(&key).filter(|it| it.ours && it.life == Life::Leaving) else {
        return;
    };
    let confirmed = resource.live_at.is_some() || resource.id.is_some();
    let unanswered = resource.last_fault.as_ref().filter(|(_, fault)| fault.is_unanswered());
    let (Some(since), Some((_, fault)), false, true) =
        (resource.leaving_at, unanswered, confirmed || resource.failures < LET_GO_TRIES, key.kind.is_net())
    else {
        return;
    };
    let why = format!(
        "the {} {} may be left: it was asked for, and neither that nor what became of it was ever answered ({fault}); it \
         costs nothing, and `labguard sweep --yes` removes it once AWS answers",
        key.kind, resource.name
    );
    if turn.reached(since + LET_GO_AFTER) {
        turn.note(Event::Unproven { key, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_a_session_as_much_sooner_as_its_schedules_may_come_later() {
        let netted = crate::domain::policy::FusePolicy { scheduler: true, ..Default::default() };
        assert_eq!(netted.lead(), SOONEST + PRECISION);
        assert_eq!(crate::domain::policy::FusePolicy::default().lead(), Span::ZERO);
    }

    #[test]
    fn schedules_are_moved_at_once_when_the_deadline_comes_closer_and_lazily_when_it_goes_away() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let (minutes, set) = (|count| now + Span::from_mins(count), now + Span::from_mins(60));
        assert!(!off(set, set, now));
        assert!(!off(set, minutes(64), now) && off(set, minutes(66), now));
        assert!(off(set, minutes(59), now) && !off(set, set - SOONER, now));
        // Close to its instant it is not waited for until it is too late.
        assert!(off(minutes(4), minutes(7), now));
    }
}
