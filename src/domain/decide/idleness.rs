//! When a session was last used, and since when it is idle.
//!
//! Never used counts as idle from the moment it could first be used. What is not known is not idle; but that
//! holds off only this one limit. labguard's own probes are no use (their sources leave them out).

use crate::domain::model::{ActivityReading, Event, Phase, Span, Timestamp};

use super::turn::Turn;

/// Signs of use nearer than this to the last journalled one are not journalled.
const SPARSE: Span = Span::from_secs(10);

/// Journals a new sign of use, sparsely.
pub(super) fn note_activity(turn: &mut Turn<'_>) {
    let ActivityReading::Active { last, source, what } = &turn.seen.activity else { return };
    let last = (*last).min(turn.now);
    let known = turn.record.last_activity.as_ref().map(|known| known.at);
    if known.is_none_or(|known| last > known && last.since(known) >= SPARSE) {
        turn.note(Event::Active { last, source: source.clone(), what: what.clone() });
    }
}

/// Since when it is idle, and whether that is known well enough to end it. `None`: it cannot be idle now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    pub since: Timestamp,
    pub certain: bool,
}

/// Idle only counts while the session can be used.
pub(super) fn idle(turn: &Turn<'_>) -> Option<Idle> {
    if turn.record.phase != Phase::Running {
        return None;
    }
    let ready = turn.record.first_healthy_at?.max(turn.record.phase_since);
    let used = turn.record.last_activity.as_ref().map_or(ready, |last| last.at);
    let (read, certain) = match &turn.seen.activity {
        ActivityReading::Active { last, .. } => ((*last).min(turn.now), true),
        ActivityReading::Quiet { since } => ((*since).min(turn.now), true),
        // With no source configured, heartbeats are the only sign there is, and they are journalled.
        ActivityReading::Unknown => (ready, turn.policy().activity.metrics_path.is_none()),
    };
    Some(Idle { since: ready.max(used).max(read), certain })
}
