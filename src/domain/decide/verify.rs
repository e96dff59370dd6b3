//! After teardown: two clean passes of fresh reads, never a belief.
//!
//! Guarantees: a session is closed only after two passes, at least two seconds apart, in which a fresh read of
//! everything that was ever ours found nothing; what is found goes back to being removed.

use crate::domain::{
    meter,
    model::{Event, Life, Observed, Phase, Record, ResourceKey, ResourceKind, Sighting, Span, TaskFacts},
};

use super::turn::Turn;

/// Time between two passes.
pub(super) const BETWEEN_PASSES: Span = Span::from_secs(2);

/// For that long after a removal, a read that still shows the thing may be an old one.
const SETTLING: Span = Span::from_secs(5);

/// What is read in a pass: everything that was ever ours, except what went with something else on the list,
/// what was refused each time it was asked for, and what nobody answers for.
pub(super) fn to_read(record: &Record) -> Vec<ResourceKey> {
    let in_our_repository = record.only(ResourceKind::Repository).is_some_and(|repository| repository.ours);
    record
        .resources
        .iter()
        .filter(|(key, resource)| {
            resource.ours
                && !resource.was_refused()
                && resource.unproven.is_none()
                && key.kind != ResourceKind::Task
                && !(key.kind == ResourceKind::Image
                    && (in_our_repository || record.only(ResourceKind::Repository).is_none()))
        })
        .map(|(key, _)| *key)
        .collect()
}

/// Whether tasks have to be looked for: wherever there was a cluster to hold them.
pub(super) fn tasks_matter(record: &Record) -> bool {
    record.only(ResourceKind::Cluster).is_some_and(|cluster| cluster.life != Life::Never)
}

/// Runs a pass if nothing of ours may exist any more, and closes the session after the second clean one.
pub(super) fn run(turn: &mut Turn<'_>) {
    if turn.record.ours_left().next().is_some() {
        return;
    }
    let mut found = Vec::new();
    let mut unknown = false;
    for key in to_read(&turn.record) {
        match turn.seen.of(key) {
            Observed::Unknown => unknown = true,
            Observed::Present(Sighting { ours: true, id, .. }) => {
                let gone_at = turn.record.resources.get(&key).and_then(|resource| resource.gone_at);
                if gone_at.is_some_and(|at| turn.now.since(at) < SETTLING) {
                    unknown = true;
                } else {
                    found.push((key, id.clone()));
                }
            }
            Observed::Absent | Observed::Present(_) => {}
        }
    }
    if !found.is_empty() {
        turn.note(Event::Verified { left: found.iter().map(|(key, _)| *key).collect() });
        for (key, id) in found {
            turn.note(Event::Reappeared { key, id: Some(id).filter(|id| !id.is_empty()) });
        }
        turn.due.push(turn.now);
        return;
    }
    if unknown || !tasks_clear(turn) {
        return;
    }
    let spaced = turn.record.clean_passes == 0
        || turn.record.verified_at.is_none_or(|last| turn.now.since(last) >= BETWEEN_PASSES);
    if !spaced {
        turn.due.extend(turn.record.verified_at.map(|last| last + BETWEEN_PASSES));
        return;
    }
    turn.note(Event::Verified { left: Vec::new() });
    if turn.record.clean_passes < 2 {
        turn.due.push(turn.now + BETWEEN_PASSES);
        return;
    }
    if !turn.record.blockers.is_empty() {
        turn.note(Event::Blocked { blockers: Vec::new() });
    }
    let because = match turn.record.unproven().next() {
        None => "nothing is left: two clean passes of fresh reads".to_owned(),
        Some(why) => format!("all else is gone: two clean passes of fresh reads; but {why}"),
    };
    turn.enter(Phase::Ended, because);
    let receipt = meter::receipt(&turn.record, turn.rules.card, turn.now);
    turn.note(Event::Closed { receipt: serde_json::to_value(receipt).unwrap_or_default() });
}

/// Whether no task of the session is left: listed as none or all stopped, or their own cluster is gone.
fn tasks_clear(turn: &Turn<'_>) -> bool {
    if !tasks_matter(&turn.record) {
        return true;
    }
    match &turn.seen.tasks {
        Observed::Absent => true,
        Observed::Present(tasks) => tasks.iter().all(TaskFacts::is_stopped),
        Observed::Unknown => {
            let cluster = ResourceKey::only(ResourceKind::Cluster);
            let ours = turn.record.only(ResourceKind::Cluster).is_some_and(|cluster| cluster.ours);
            ours && turn.seen.of(cluster).is_absent()
        }
    }
}
