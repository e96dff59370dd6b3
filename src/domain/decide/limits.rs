//! Every limit of a session: when it will be reached, why, and what would move it.
//!
//! Guarantees: extensions are clamped to the hard limits here, whatever was asked; a fixed end time and the
//! cron window are moved by nothing; limits are levels, so one that passed unseen has passed all the same.

use crate::domain::meter;
use crate::domain::model::{Cause, Limit, LimitKind, Money, Phase, Record, ResourceKey, Span, Stage, Timestamp};
use crate::domain::policy::{Policy, ShutdownPolicy};

use super::{
    budgets, fuse, idleness,
    lifecycle::stopped_since,
    renewals,
    turn::{Turn, serving},
};

/// A limit with how far it goes.
pub(super) struct Due {
    pub limit: Limit,
    pub stage: Stage,
    /// Whether it may be acted on once its time has come (an idle time that is not certain may not).
    pub certain: bool,
}

/// The budget with its extensions, inside the hard one.
pub(super) fn budget(record: &Record, policy: &Policy) -> Money {
    let most = policy.limits.max_budget.max(policy.limits.budget);
    (policy.limits.budget + record.extensions.budget).min(most)
}

/// Where the lifetime ends, extensions included, inside the hard one.
fn lifetime(record: &Record, policy: &Policy) -> Span {
    let most = policy.limits.max_lifetime.max(policy.limits.lifetime);
    (policy.limits.lifetime + record.extensions.lifetime).min(most)
}

/// Every limit that is set and applies now, soonest first.
pub(super) fn all(turn: &Turn<'_>) -> Vec<Due> {
    if turn.record.is_closed() || turn.ending_stage() == Some(Stage::Teardown) {
        return Vec::new();
    }
    let mut dues: Vec<Due> = [idle(turn), spend(turn), hours(turn), start_grace(turn), credentials(turn), keep(turn)]
        .into_iter()
        .flatten()
        .collect();
    dues.push(life(turn));
    dues.extend(end_time(turn));
    dues.extend(budgets::tightest(turn));
    dues.extend(renewals::limit(turn));
    dues.extend(fuse::limit(turn, &dues));
    dues.sort_by_key(|due| (due.limit.at, std::cmp::Reverse(due.limit.cause)));
    dues
}

pub(super) fn due(kind: LimitKind, cause: Cause, at: Timestamp, stage: Stage, why: String, moved_by: &str) -> Due {
    let limit = Limit { kind, cause, at, why, moved_by: moved_by.to_owned(), spend: Money::ZERO };
    Due { limit, stage, certain: true }
}

fn idle(turn: &Turn<'_>) -> Option<Due> {
    let timeout = turn.policy().limits.idle_timeout?;
    let idle = idleness::idle(turn)?;
    let at = idle.due(timeout, turn.now).max(turn.record.extensions.idle_until.unwrap_or_default());
    let used = turn.record.last_activity.as_ref();
    let last = used.map_or_else(|| "never used".to_owned(), |last| format!("last use: {}", last.what));
    let besides = idle.besides(turn.now);
    let until = turn.record.extensions.idle_until.filter(|until| *until >= at);
    let extended = until.map_or_else(String::new, |until| format!("; extended until {until}"));
    let why = format!("idle since {} with {timeout} allowed ({last}){besides}{extended}", idle.since);
    let moved_by = if turn.policy().activity.sources().is_empty() {
        "`labguard touch`, `labguard with-lease`, or `labguard extend --idle`; requests are not seen: no source of activity is set"
    } else {
        "a request to the application, `labguard touch`, `labguard with-lease`, or `labguard extend --idle`"
    };
    let stage = turn.policy().end.on_idle;
    let certain = idle.complete(timeout, turn.now);
    Some(Due { certain, ..due(LimitKind::Idle, Cause::Idle, at, stage, why, moved_by) })
}

/// What moves a limit that is extended as far as it goes.
const HARD: &str = "nothing: this is the policy's hard limit";

fn spend(turn: &Turn<'_>) -> Option<Due> {
    let (spend, teardown, rate) = turn.committed();
    let budget = budget(&turn.record, turn.policy());
    let lead = turn.policy().fuse.lead();
    let kept = rate.per_hour_over(lead);
    let committed = spend + teardown + kept;
    let left = budget.less(committed);
    let at = if left == Money::ZERO && committed >= budget {
        turn.now
    } else {
        turn.now + meter::time_to_spend(left, rate)?
    };
    let late = if kept == Money::ZERO {
        String::new()
    } else {
        format!("; {kept} is kept for schedules that would end it {lead} later")
    };
    let why = format!("spent {spend} of {budget}, and ending will cost {teardown}{late}");
    let moved_by = if budget < turn.policy().limits.max_budget {
        "`labguard extend --budget`, up to the policy's max_budget"
    } else {
        HARD
    };
    Some(due(LimitKind::Budget, Cause::Budget, at, Stage::Teardown, why, moved_by))
}

fn life(turn: &Turn<'_>) -> Due {
    let allowed = lifetime(&turn.record, turn.policy());
    let at = turn.record.lives_from() + allowed;
    let why = format!("opened {} with a lifetime of {allowed}", turn.record.opened_at);
    let moved_by = if allowed < turn.policy().limits.max_lifetime {
        "`labguard extend --lifetime`, up to the policy's max_lifetime"
    } else {
        HARD
    };
    due(LimitKind::Lifetime, Cause::Lifetime, at, Stage::Teardown, why, moved_by)
}

fn end_time(turn: &Turn<'_>) -> Option<Due> {
    let at = turn.policy().limits.ends_at?;
    let why = format!("its policy ends it at {at}");
    Some(due(LimitKind::EndTime, Cause::EndTime, at, Stage::Teardown, why, "nothing: a fixed end time is fixed"))
}

/// The hard limits whose instants stand, whatever the session costs.
pub(super) fn fixed(turn: &Turn<'_>) -> Vec<(Timestamp, Cause)> {
    let limits = &turn.policy().limits;
    let lifetime = turn.record.lives_from() + limits.max_lifetime.max(limits.lifetime);
    let end_time = limits.ends_at.map(|at| (at, Cause::EndTime));
    let close = meter::closes(&turn.record, turn.policy()).map(|at| (at, Cause::HoursClosed));
    end_time.into_iter().chain([(lifetime, Cause::Lifetime)]).chain(close).collect()
}

/// The hard limit that a task's deadline stood for, with its words and how far it ends the session. None: the policy has
/// moved since the task was started, so that it is no limit of the session any more.
pub(super) fn of_deadline(
    turn: &Turn<'_>,
    key: ResourceKey,
    given: Option<Timestamp>,
) -> Option<(Cause, String, Stage)> {
    let (policy, now) = (turn.policy(), turn.now);
    let given = given.map(|given| turn.seen.apart().ours(given));
    let (fixed, cause) = fixed(turn).into_iter().min_by_key(|(at, _)| *at)?;
    let budget = policy.limits.max_budget.max(policy.limits.budget);
    let present = meter::deadline(&turn.record, policy, turn.rules.card, budget, now);
    // To the second, and to what two looks at another clock may differ by.
    let near = |given: Timestamp| given.since(fixed).max(fixed.since(given)) < Span::from_secs(3);
    let is_fixed = given.map_or(present >= fixed, near);
    if is_fixed {
        let longest = policy.limits.max_lifetime.max(policy.limits.lifetime);
        let (what, stage) = match cause {
            Cause::EndTime => ("its policy's end time was over".to_owned(), Stage::Teardown),
            Cause::HoursClosed => ("its hours closed".to_owned(), policy.end.on_hours),
            _ => (format!("{longest} of lifetime was over"), Stage::Teardown),
        };
        return Some((cause, format!("{what} at {fixed} by its task's clock"), stage));
    }
    // Money lasts as long as it costs the most; what it cost less than that since the start has put its end off.
    let started = turn.record.resources.get(&key).map_or(now, |task| task.intended_at);
    let put_off = given.is_none_or(|given| present <= given + now.since(started));
    put_off.then(|| {
        let why = format!("its hard budget of {budget} may be spent at {}", given.unwrap_or(present));
        (Cause::Budget, why, Stage::Teardown)
    })
}

fn hours(turn: &Turn<'_>) -> Option<Due> {
    let stage = turn.policy().end.on_hours;
    // What is stopped cannot be stopped again.
    let hours = turn.policy().limits.hours.as_ref().filter(|_| turn.ending_stage().is_none_or(|now| now < stage))?;
    let begun = turn.record.lives_from().max(turn.record.resumed_at.unwrap_or_default());
    let at = hours.first_close_after(begun).ok()?;
    let why = format!("its hours close by \"{}\" ({})", hours.end_cron, hours.zone);
    Some(due(LimitKind::Hours, Cause::HoursClosed, at, stage, why, "nothing: the window is the policy's"))
}

/// From when the start grace of the serving task counts.
pub(super) fn grace_from(record: &Record, policy: &Policy) -> Option<Timestamp> {
    let (_, task) = serving(record, policy)?;
    // AWS tells by its clock; where ours is ahead, not from before it was there.
    let started = task.task.as_ref()?.started_at?.max(task.live_at.unwrap_or(task.intended_at));
    Some(started.max(record.restarted_at.filter(|_| super::turn::is_service(policy)).unwrap_or_default()))
}

fn start_grace(turn: &Turn<'_>) -> Option<Due> {
    if turn.record.phase != Phase::Starting || turn.record.first_healthy_at.is_some() {
        return None;
    }
    let grace = turn.policy().health.start_grace;
    let from = grace_from(&turn.record, turn.policy())?;
    let why = format!("its task started {from} and has {grace} to answer its health check");
    let moved_by = "a good answer on its health port";
    let due = due(LimitKind::StartGrace, Cause::NeverHealthy, from + grace, Stage::Teardown, why, moved_by);
    // The health rule itself ends it, once it has looked at this turn's probes.
    Some(Due { certain: false, ..due })
}

fn credentials(turn: &Turn<'_>) -> Option<Due> {
    let told = turn.policy().end.credentials_expire_at;
    let read = turn.seen.credentials.expires_at;
    let expiry = read.into_iter().chain(told).min()?;
    let margin = turn.policy().end.credentials_margin;
    let why = format!("the credentials expire {expiry}; afterwards nothing could be removed");
    let moved_by = if read == Some(expiry) {
        "fresh credentials: they are asked for again each minute"
    } else {
        "a later end.credentials_expire_at in its policy's file: the session takes it up when the daemon reads it"
    };
    Some(due(LimitKind::Credentials, Cause::CredentialsExpiring, expiry - margin, Stage::Teardown, why, moved_by))
}

fn keep(turn: &Turn<'_>) -> Option<Due> {
    let ending = turn.record.ending.as_ref().filter(|ending| ending.stage == Stage::Stop)?;
    let keep = turn.policy().end.keep_stopped;
    let at = stopped_since(&turn.record) + keep;
    let why = format!("stopped {} and kept for {keep}", ending.at);
    Some(due(LimitKind::Keep, ending.cause, at, Stage::Teardown, why, "`labguard resume`"))
}

/// Ends what has reached a limit, or was told to end. Of several causes the worst is given, with the furthest stage.
pub(super) fn enforce(turn: &mut Turn<'_>) {
    let mut ends: Vec<(Cause, String, Stage)> = all(turn)
        .into_iter()
        .filter(|due| due.certain && due.limit.at <= turn.now)
        .map(|due| (due.limit.cause, due.limit.why, due.stage))
        .collect();
    if let Some(reason) = &turn.record.desired.end {
        ends.push((Cause::Operator, reason.clone(), Stage::Teardown));
    }
    if let Some(reason) = &turn.record.desired.stop {
        ends.push((Cause::Operator, reason.clone(), Stage::Stop));
    }
    if turn.seen.draining && turn.policy().end.on_shutdown == ShutdownPolicy::Teardown {
        let detail = "the daemon is shutting down and the policy ends sessions then".to_owned();
        ends.push((Cause::DaemonShutdown, detail, Stage::Teardown));
    }
    let stage = ends.iter().map(|(_, _, stage)| *stage).max();
    let worst = ends.into_iter().max_by_key(|(cause, _, _)| *cause);
    if let (Some((cause, detail, _)), Some(stage)) = (worst, stage) {
        turn.end(cause, detail, stage);
    }
}
