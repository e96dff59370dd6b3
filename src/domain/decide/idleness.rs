//! When a session was last used, since when it is idle, and what keeps that from ending it.
//!
//! Never used counts as idle from the moment it could first be used. What is not known is not idle, and holds off only
//! this one limit, for as long as `activity.max_gap` says. An open lease is use until it lapses. labguard's own probes
//! are no use (their sources leave them out).

use crate::domain::model::{Event, Lease, Phase, Span, Timestamp};

use super::{
    combine::{Gap, Together, combine},
    turn::Turn,
};

/// Signs of use nearer than this to the last journalled one are not journalled.
const SPARSE: Span = Span::from_secs(10);

/// Journals a new sign of use, sparsely.
pub(super) fn note_activity(turn: &mut Turn<'_>) {
    let Some((last, source, what)) = together(turn).used else { return };
    let known = turn.record.last_activity.as_ref().map(|known| known.at);
    if known.is_none_or(|known| last > known && last.since(known) >= SPARSE) {
        turn.note(Event::Active { last, source: source.name().to_owned(), what });
    }
}

fn together(turn: &Turn<'_>) -> Together {
    combine(&turn.seen.activity, &turn.policy().activity, turn.now)
}

/// Two clocks may differ by that much on when an idle time is over.
const SLACK: Span = Span::from_mins(1);

/// How idle it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    /// The last sign of use, or the moment from which it could be used and was watched.
    pub since: Timestamp,
    /// How late the news of use may be.
    pub lag: Span,
    /// Until when all use would be known; absent: no source has to be asked.
    pub complete_until: Option<Timestamp>,
    /// What is waited for because it cannot be known now.
    pub gap: Option<Gap>,
    /// What was waited for long enough.
    pub given_up: Option<Gap>,
    /// The open lease that lapses last.
    pub lease: Option<Lease>,
}

/// Idle only counts while the session can be used. `None`: it cannot be idle now.
pub(super) fn idle(turn: &Turn<'_>) -> Option<Idle> {
    let record = &turn.record;
    if record.phase != Phase::Running {
        return None;
    }
    let ready = record.first_healthy_at?.max(record.phase_since);
    let used = record.last_activity.as_ref().map_or(ready, |last| last.at);
    let renewed = record.leases.values().map(|lease| lease.renewed_at).max().unwrap_or(ready);
    let Together { since, lag, complete_until, gap, given_up, .. } = together(turn);
    let lease = record.leases.values().filter(|lease| lease.lapses(turn.now) > turn.now);
    let lease = lease.max_by_key(|lease| lease.expires_at).cloned();
    // A journalled time that lies ahead is of a clock that was set back, which is not journalled yet.
    let since = ready.max(used).max(renewed).max(since.unwrap_or_default()).min(turn.now);
    Some(Idle { since, lag, complete_until, gap, given_up, lease })
}

/// Whether labguard itself knows of use that a sentinel may not have heard of, so that the sentinel's idle end is not the
/// session's: a touch, a lease, an extension, or a longer idle time, a moment before.
pub(super) fn is_in_use(turn: &Turn<'_>) -> bool {
    let Some(timeout) = turn.policy().limits.idle_timeout else { return true };
    let (record, now) = (&turn.record, turn.now);
    let ready =
        record.first_healthy_at.map(|at| if record.phase == Phase::Running { at.max(record.phase_since) } else { at });
    let renewed = record.leases.values().map(|lease| lease.renewed_at);
    let used = record.last_activity.as_ref().map(|last| last.at);
    let last = renewed.chain(used).chain(ready).max();
    // Two clocks agree on no instant: what is as good as over is over.
    let slack = SLACK.min(Span::from_millis(timeout.as_millis() / 4));
    last.is_some_and(|last| last + timeout > now + slack)
        || record.leases.values().any(|lease| lease.lapses(now) > now)
        || record.extensions.idle_until.is_some_and(|until| until > now)
}

impl Idle {
    /// When it will have been idle for `timeout`, as far as that can be known then.
    pub fn due(&self, timeout: Span, now: Timestamp) -> Timestamp {
        let held = [
            self.gap.as_ref().map(|gap| gap.until),
            self.lease.as_ref().map(|lease| lease.lapses(now)),
            Some(self.since + timeout + self.lag),
        ];
        held.into_iter().flatten().max().unwrap_or(now)
    }

    /// Whether all use up to the end of `timeout` would be known by now. A read that is late makes it wait.
    pub fn complete(&self, timeout: Span, now: Timestamp) -> bool {
        let end = self.since + timeout;
        end > now || self.complete_until.is_none_or(|until| until >= end)
    }

    /// How long it has been idle at `now`, where that is known.
    pub fn length(&self, now: Timestamp) -> Option<Span> {
        match (&self.lease, &self.gap) {
            (Some(_), _) => Some(Span::ZERO),
            (None, Some(_)) => None,
            (None, None) => Some(now.since(self.since)),
        }
    }

    /// What stands beside the plain rule, for people; begins with a semicolon where there is anything.
    pub fn besides(&self, now: Timestamp) -> String {
        let mut text = String::new();
        if self.lag > Span::ZERO {
            text += &format!("; news of use may come {} late", self.lag);
        }
        let name = |gap: &Gap| gap.source.map_or_else(String::new, |source| format!("{source}: "));
        if let Some(gap) = &self.gap {
            text += &format!("; use cannot be read now ({}{}), waited for until {}", name(gap), gap.why, gap.until);
        } else if let Some(gap) = &self.given_up {
            let (name, why, until) = (name(gap), &gap.why, gap.until);
            text += &format!("; use could not be read ({name}{why}) and was waited for until {until}");
        }
        if let Some(lease) = &self.lease {
            let (by, at) = (&lease.by, lease.lapses(now));
            text += &format!("; held by a lease ({by}) that lapses {at} unless it is renewed");
        }
        text
    }
}
