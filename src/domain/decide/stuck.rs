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

/// Enters or leaves `Stuck`, and names what blocks a teardown.
pub(super) fn name_blockers(turn: &mut Turn<'_>) {
    let mut blockers = blockers_of(turn, |_| true);
    if turn.record.ours_left().next().is_none() {
        blockers.extend(unreadable(turn));
    }
    tell(turn, &blockers);
    match blockers.first() {
        Some(first) => {
            let because = format!("{} {}: {}", first.key, first.name, first.why);
            turn.enter(Phase::Stuck, because);
        }
        None if turn.record.phase == Phase::Stuck => turn.enter(Phase::TearingDown, "what blocked it is gone"),
        None => {}
    }
}

/// Names what does not stop, in a session that is stopped and kept.
pub(super) fn name_what_runs_on(turn: &mut Turn<'_>) {
    let blockers = blockers_of(turn, |kind| matches!(kind, ResourceKind::Task | ResourceKind::Service));
    tell(turn, &blockers);
}

fn tell(turn: &mut Turn<'_>, blockers: &[Blocker]) {
    if turn.record.blockers != blockers {
        turn.note(Event::Blocked { blockers: blockers.to_vec() });
    }
}

fn blockers_of(turn: &mut Turn<'_>, of_kind: impl Fn(ResourceKind) -> bool) -> Vec<Blocker> {
    let left: Vec<(ResourceKey, Resource)> =
        turn.record.ours_left().filter(|(key, _)| of_kind(key.kind)).map(|(key, it)| (key, it.clone())).collect();
    let mut blockers = Vec::new();
    for (key, resource) in left {
        if let Some((why, held_by)) = why_stuck(turn, key, &resource) {
            let cost_per_hour = cost_of(turn, key);
            blockers.push(Blocker { key, name: resource.name, why, held_by, cost_per_hour });
        }
    }
    blockers
}

/// What it costs while it stays: of a service, what its tasks cost.
fn cost_of(turn: &Turn<'_>, key: ResourceKey) -> Money {
    let of = |key| meter::rate_of(&turn.record, key, turn.rules.card);
    match key.kind {
        ResourceKind::Service => {
            turn.record.tasks().filter(|(_, task)| task.life.may_exist()).map(|(key, _)| of(key)).sum()
        }
        _ => of(key),
    }
}

/// Why a thing counts as stuck, if it does, and what holds it.
fn why_stuck(turn: &mut Turn<'_>, key: ResourceKey, resource: &Resource) -> Option<(String, Vec<String>)> {
    if key.kind.is_net() && resource.life != Life::Leaving {
        // Its turn comes last; what failed before was no removal.
        return None;
    }
    let since = resource.leaving_at.or(turn.record.ending.as_ref().map(|ending| ending.at))?;
    let fault = resource.last_fault.as_ref().filter(|_| resource.failures > 0).map(|(_, fault)| fault);
    if let Some(fault) = fault {
        let refused = match fault.class {
            FaultClass::Denied | FaultClass::Expired => resource.failures >= 3,
            // What labguard itself will not touch.
            FaultClass::Conflict => fault.own,
            _ => false,
        };
        let patience = match (key.kind, fault.class) {
            (ResourceKind::SecurityGroup, FaultClass::Dependency) => GROUP_PATIENCE,
            _ => PATIENCE,
        };
        if !refused && !turn.reached(since + patience) {
            return None;
        }
        let held_by = match turn.seen.of(key) {
            Observed::Present(seen) => seen.held_by.clone(),
            // It is read now and then: what held it at the last look is told until the next.
            Observed::Unknown => held_before(turn, key),
            Observed::Absent => Vec::new(),
        };
        let held = if held_by.is_empty() { String::new() } else { format!(" (held by {})", held_by.join(", ")) };
        let why = format!("{}{held}: {}: {}", retry::explain(fault), fault.code, fault.message);
        return Some((why, held_by));
    }
    let service = turn.record.only(ResourceKind::Service).is_some_and(|service| service.life.may_exist());
    // A service's tasks go with it, and what blocks that is told of the service.
    if key.kind != ResourceKind::Task || service || !turn.reached(since + PATIENCE) {
        return None;
    }
    let why = match resource.life {
        Life::Leaving if resource.id.is_some() => format!("told to stop at {since}, and not stopped yet"),
        _ => "the answer to its creation was lost, and its cluster cannot be listed".to_owned(),
    };
    Some((why, Vec::new()))
}

fn held_before(turn: &Turn<'_>, key: ResourceKey) -> Vec<String> {
    let told = turn.record.blockers.iter().find(|blocker| blocker.key == key);
    told.map(|blocker| blocker.held_by.clone()).unwrap_or_default()
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
    Some(Blocker { key, name, why, held_by: Vec::new(), cost_per_hour: Money::ZERO })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Rules, decide,
        stories::{PLENTY, ask, running},
        world::{World, fault, policy},
    };
    use super::*;
    use crate::domain::model::{Observation, Request, Sighting};

    #[test]
    fn what_holds_a_thing_is_told_from_one_look_to_the_next() {
        let mut world = World::new(policy(), 8);
        world.run_until(PLENTY, running);
        ask(&mut world, Request::End { reason: "enough".into() });
        world.run_until(PLENTY, |record| record.phase == Phase::TearingDown);
        let group = ResourceKey::only(ResourceKind::SecurityGroup);
        let held = world.record.resources.get_mut(&group).expect("a group of its own");
        (held.life, held.leaving_at, held.failures) = (Life::Leaving, Some(world.now), 9);
        let now = world.now + GROUP_PATIENCE + Span::from_secs(1);
        held.last_fault = Some((now, fault(FaultClass::Dependency)));

        // One turn, in which the group was looked at or not: what is told of it then.
        let told = |world: &mut World, seen: Option<Vec<&str>>| {
            let sightings = seen.map(|held_by| {
                let held_by = held_by.into_iter().map(str::to_owned).collect();
                let sighting =
                    Sighting { id: "sg-1".into(), ours: true, held_by, task: None, made_at: None, fault: None };
                (group, Observed::Present(sighting))
            });
            let seen = Observation { sightings: sightings.into_iter().collect(), ..Observation::default() };
            let plan = decide(&world.record, &seen, Rules { policy: &world.policy, card: &world.card }, now);
            plan.notes.iter().for_each(|note| world.record.apply(now, note));
            let blocker = world.record.blockers.iter().find(|blocker| blocker.key == group).expect("it is stuck");
            (blocker.held_by.clone(), blocker.why.clone())
        };
        let (held_by, why) = told(&mut world, Some(vec!["eni-1", "eni-2"]));
        assert_eq!(held_by, ["eni-1", "eni-2"]);
        assert!(why.contains("(held by eni-1, eni-2)"), "{why}");
        assert_eq!(told(&mut world, None), (held_by, why), "not read this time");
        let (held_by, why) = told(&mut world, Some(vec![]));
        assert!(held_by.is_empty() && !why.contains("held by"), "{why}");
        assert!(told(&mut world, None).0.is_empty());
    }
}
