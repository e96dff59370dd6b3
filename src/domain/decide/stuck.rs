//! What cannot be removed is named, with why and what it costs, and is tried again for ever.

use crate::domain::{
    meter,
    model::{Blocker, Event, FaultClass, Life, Money, Observed, Phase, Resource, ResourceKey, ResourceKind, Span},
    policy::retry,
};

use super::{turn::Turn, verify};

/// A removal that fails for longer than this is stuck.
const PATIENCE: Span = Span::from_mins(10);

/// An interface may hold a security group for that long (aws-facts §11).
const GROUP_PATIENCE: Span = Span::from_mins(20);

/// Enters or leaves `Stuck`, and names the blockers.
pub(super) fn name_blockers(turn: &mut Turn<'_>) {
    let mut blockers: Vec<Blocker> = Vec::new();
    let left: Vec<(ResourceKey, Resource)> = turn.record.ours_left().map(|(key, it)| (key, it.clone())).collect();
    for (key, resource) in &left {
        if let Some(why) = why_stuck(turn, *key, resource) {
            let cost_per_hour = meter::rate_of(&turn.record, *key, turn.rules.card);
            blockers.push(Blocker { key: *key, name: resource.name.clone(), why, cost_per_hour });
        }
    }
    if left.is_empty() {
        blockers.extend(unreadable(turn));
    }
    if turn.record.blockers != blockers {
        turn.note(Event::Blocked { blockers: blockers.clone() });
    }
    match blockers.first() {
        Some(first) => {
            let because = format!("{} {}: {}", first.key, first.name, first.why);
            turn.enter(Phase::Stuck, because);
        }
        None if turn.record.phase == Phase::Stuck => turn.enter(Phase::TearingDown, "what blocked it is gone"),
        None => {}
    }
}

fn why_stuck(turn: &mut Turn<'_>, key: ResourceKey, resource: &Resource) -> Option<String> {
    if key.kind.is_net() && resource.life != Life::Leaving {
        // Its turn comes last; what failed before was no removal.
        return None;
    }
    let since = resource.leaving_at.or(turn.record.ending.as_ref().map(|ending| ending.at))?;
    let fault = resource.last_fault.as_ref().filter(|_| resource.failures > 0).map(|(_, fault)| fault);
    if let Some(fault) = fault {
        let refused = matches!(fault.class, FaultClass::Denied | FaultClass::Expired) && resource.failures >= 3;
        let patience = match (key.kind, fault.class) {
            (ResourceKind::SecurityGroup, FaultClass::Dependency) => GROUP_PATIENCE,
            _ => PATIENCE,
        };
        if !refused && !turn.reached(since + patience) {
            return None;
        }
        let held = turn.seen.of(key).present().map(|seen| seen.held_by.join(", ")).filter(|held| !held.is_empty());
        // It is read now and then: what held it at the last look is told until the next.
        let held = held.or_else(|| held_before(turn, key).filter(|_| *turn.seen.of(key) == Observed::Unknown));
        let held = held.map(|held| format!("{HELD}{held})")).unwrap_or_default();
        return Some(format!("{}{held}: {}: {}", retry::explain(fault), fault.code, fault.message));
    }
    if key.kind != ResourceKind::Task || !turn.reached(since + PATIENCE) {
        return None;
    }
    Some(match resource.life {
        Life::Leaving if resource.id.is_some() => format!("told to stop at {since}, and not stopped yet"),
        _ => "the answer to its creation was lost, and its cluster cannot be listed".to_owned(),
    })
}

/// How it is told who holds a thing.
const HELD: &str = " (held by ";

fn held_before(turn: &Turn<'_>, key: ResourceKey) -> Option<String> {
    let told = turn.record.blockers.iter().find(|blocker| blocker.key == key)?;
    let (_, held) = told.why.split_once(HELD)?;
    Some(held.split_once(')')?.0.to_owned())
}

/// Everything is believed gone, but it cannot be read: said, too, after a while.
fn unreadable(turn: &mut Turn<'_>) -> Option<Blocker> {
    let last = turn.record.resources.values().filter_map(|resource| resource.gone_at).max();
    let ended = turn.record.ending.as_ref().map(|ending| ending.at);
    let since = last.max(ended).max(turn.record.verified_at)?;
    let key = verify::to_read(&turn.record).into_iter().find(|key| *turn.seen.of(*key) == Observed::Unknown)?;
    if !turn.reached(since + PATIENCE) {
        return None;
    }
    let name = turn.record.resources.get(&key).map(|resource| resource.name.clone()).unwrap_or_default();
    let why = "believed gone, but fresh reads fail, so it is not proven".to_owned();
    Some(Blocker { key, name, why, cost_per_hour: Money::ZERO })
}
