//! Warnings before a limit: each lead once per approach.
//!
//! Guarantee: a limit that keeps shifting a little (spend is a forecast) is not warned of again and again.

use crate::domain::model::{Event, LimitKind, Record, Span, Timestamp};

use super::{
    limits::{self, Due},
    turn::Turn,
};

/// Journals every warning whose time has come.
pub(super) fn give(turn: &mut Turn<'_>) {
    let dues = limits::all(turn);
    for due in &dues {
        if !warns(turn, due) {
            continue;
        }
        let at = due.limit.at;
        let mut leads = turn.policy().limits.warn_before.clone();
        leads.sort_unstable();
        // The shortest lead that has come says it all; the longer ones are then given, too.
        let mut given = false;
        for lead in leads {
            let from = at - lead;
            if from > turn.now {
                turn.due.push(from);
            } else if !given && turn.now < at {
                given = true;
                if !is_given(&turn.record, due.limit.kind, lead, at) {
                    turn.note(Event::Warned { limit: due.limit.kind, lead, at });
                }
            }
        }
    }
}

/// Of a start grace nobody needs a warning, and an idle time-out shorter than a lead would warn at once.
fn warns(turn: &Turn<'_>, due: &Due) -> bool {
    match due.limit.kind {
        // Of a lease that is not renewed its net's own change tells, in time and once.
        LimitKind::StartGrace | LimitKind::SentinelLease => false,
        LimitKind::Idle => {
            let shortest = turn.policy().limits.warn_before.iter().min();
            due.certain
                && turn.policy().limits.idle_timeout.is_some_and(|idle| shortest.is_some_and(|lead| *lead < idle))
        }
        _ => true,
    }
}

/// Whether this approach to the limit was warned of already at this lead or a shorter one.
fn is_given(record: &Record, kind: LimitKind, lead: Span, at: Timestamp) -> bool {
    let margin = lead.max(Span::from_secs(60));
    record.warned.iter().any(|(known, near, then)| *known == kind && *near <= lead && *then + margin > at)
}
