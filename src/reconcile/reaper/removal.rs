//! The removal of what a sweep may take: in the order of dependence, and side by side where nothing depends.
//!
//! Guarantees: a thing waits only for what must go before it in its own session; each ends within [`PATIENCE`] of the
//! beginning, with an outcome; "gone" is what a fresh read says. Must never remove what does not bear its session's tag on
//! a fresh read (the cloud's own check).

use std::time::Duration;

use futures::future::join_all;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    super::{engine::Engine, handle::OrphanState},
    Tell,
    search::{AT_ONCE, Group, Look, look, removal_of},
};
use crate::{
    cloud::{Owner, Tagged},
    domain::model::{Effect, Fault, FaultClass, ResourceKind, SessionId},
};

/// Longest wait for what holds a thing (an interface on a security group; aws-facts §4).
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// The first wait between two tries; each is twice as long as the one before.
const WAIT: Duration = Duration::from_secs(2);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The order in which they are told of.
pub(super) fn rank(kind: ResourceKind) -> u8 {
    match kind {
        ResourceKind::Service => 0,
        ResourceKind::Task => 1,
        ResourceKind::TaskDefinition | ResourceKind::Repository | ResourceKind::Image => 2,
        ResourceKind::Cluster | ResourceKind::LogGroup => 3,
        ResourceKind::ExecutionRole | ResourceKind::SecurityGroup | ResourceKind::InsightsLog => 4,
        ResourceKind::ScheduleGroup => 5,
        ResourceKind::SchedulerRole => 6,
    }
}

/// Whether a thing waits for another of its session. `armed`: the net outside has schedules to come.
fn waits_for(kind: ResourceKind, other: ResourceKind, armed: bool) -> bool {
    use ResourceKind as K;
    match kind {
        K::Service => false,
        K::Task => other == K::Service,
        // As long as its cluster is there AWS would make it anew.
        K::InsightsLog => matches!(other, K::Service | K::Task | K::Cluster),
        // Until then the net would remove what this cannot.
        K::ScheduleGroup => armed && !is_net(other),
        K::SchedulerRole => other == K::ScheduleGroup || (armed && !is_net(other)),
        K::TaskDefinition
        | K::Repository
        | K::Image
        | K::Cluster
        | K::LogGroup
        | K::ExecutionRole
        | K::SecurityGroup => matches!(other, K::Service | K::Task),
    }
}

const fn is_net(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::ScheduleGroup | ResourceKind::SchedulerRole)
}

/// Whether it is gone; none while that is not known.
type Outcome = watch::Receiver<Option<bool>>;

/// Removes all of these, and tells each outcome.
pub(super) async fn remove<'g>(engine: &Engine, tell: &Tell, groups: impl Iterator<Item = (usize, &'g Group)>) {
    use ResourceKind as K;
    let work = Work { engine, tell, until: Instant::now() + PATIENCE, turn: Semaphore::new(AT_ONCE) };
    let mut all = Vec::new();
    for (place, group) in groups {
        let (ends, outcomes): (Vec<_>, Vec<Outcome>) = group.things.iter().map(|_| watch::channel(None)).unzip();
        for (index, (thing, end)) in group.things.iter().zip(ends).enumerate() {
            let before = |(other, it): &(usize, &Tagged)| match (thing.kind, it.kind) {
                _ if *other == index => false,
                // Revisions of a family go with the first of them.
                (Some(K::TaskDefinition), Some(K::TaskDefinition)) => *other < index && it.name == thing.name,
                (Some(kind), Some(other)) => waits_for(kind, other, group.armed),
                _ => false,
            };
            let waits = group.things.iter().enumerate().filter(before).map(|(other, _)| outcomes[other].clone());
            let net = group.armed && thing.kind.is_some_and(is_net);
            all.push(work.one((place, index), thing, waits.collect(), net, end));
        }
    }
    join_all(all).await;
}

struct Work<'w> {
    engine: &'w Engine,
    tell: &'w Tell,
    until: Instant,
    turn: Semaphore,
}

impl Work<'_> {
    /// Sees one thing to its end. `net`: it may yet remove what this sweep cannot.
    async fn one(
        &self,
        place: (usize, usize),
        thing: &Tagged,
        waits: Vec<Outcome>,
        net: bool,
        end: watch::Sender<Option<bool>>,
    ) {
        let mut all_gone = true;
        for mut other in waits {
            let gone = other.wait_for(Option::is_some).await.is_ok_and(|gone| *gone == Some(true));
            all_gone &= gone;
        }
        let (state, detail) = if net && !all_gone {
            (
                OrphanState::StillThere,
                "left on purpose: its schedules may yet remove what else is still there".to_owned(),
            )
        } else {
            self.tell.of(place, OrphanState::Removing, "");
            self.take_away(place, thing).await
        };
        let gone = state == OrphanState::Gone;
        let kind = thing.kind.map_or("unknown kind", ResourceKind::describe);
        if gone {
            tracing::info!(session.id = %thing.session, kind, id = %thing.id, "swept: {detail}");
        } else {
            tracing::warn!(session.id = %thing.session, kind, id = %thing.id, "not swept: {detail}");
        }
        self.tell.of(place, state, detail);
        // Nobody waits for it: then it does not matter.
        let _ = end.send(Some(gone));
    }

    async fn take_away(&self, place: (usize, usize), thing: &Tagged) -> (OrphanState, String) {
        let (Some(kind), Ok(session)) = (thing.kind, thing.session.parse::<SessionId>()) else {
            return (OrphanState::StillThere, "left alone: labguard does not make such things".to_owned());
        };
        let (mut wait, mut done) = (WAIT, None);
        loop {
            let holds = match self.attempt(kind, &session, thing, &mut done).await {
                Attempt::Over(state, detail) => return (state, detail),
                Attempt::Again(why) => why,
            };
            if Instant::now() + wait >= self.until {
                let mins = PATIENCE.as_secs() / 60;
                return (OrphanState::StillThere, format!("{holds}; tried for {mins} minutes, sweep again later"));
            }
            self.tell.of(place, OrphanState::Removing, holds);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// `done`: what an earlier attempt did.
    async fn attempt(
        &self,
        kind: ResourceKind,
        session: &SessionId,
        thing: &Tagged,
        done: &mut Option<Effect>,
    ) -> Attempt {
        let _turn = self.turn.acquire().await;
        let (owner, removal) = (Owner { session, owner: "" }, removal_of(thing));
        let effect = match self.engine.cloud.remove(owner, kind, &removal).await {
            Ok(effect) => effect,
            Err(fault) if passes(&fault) => return Attempt::Again(fault.to_string()),
            Err(fault) => return Attempt::Over(OrphanState::StillThere, fault.to_string()),
        };
        let looked = look(self.engine, thing).await;
        match (looked, effect) {
            (Look::Gone, Effect::AlreadyGone) => {
                let how =
                    done.map_or(
                        "was gone",
                        |effect| if effect == Effect::StopRequested { "stopped" } else { tell(effect) },
                    );
                Attempt::Over(OrphanState::Gone, how.to_owned())
            }
            (Look::Gone, _) => Attempt::Over(OrphanState::Gone, tell(effect).to_owned()),
            (Look::There(_), Effect::NotOurs) => Attempt::Over(OrphanState::StillThere, tell(effect).to_owned()),
            (Look::There(_), _) => {
                *done = Some(effect);
                Attempt::Again(format!("{}, not gone yet", tell(effect)))
            }
            (Look::Unread(why), _) => Attempt::Again(format!("{}, but it cannot be read: {why}", tell(effect))),
        }
    }
}

enum Attempt {
    Over(OrphanState, String),
    Again(String),
}

fn passes(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Dependency | FaultClass::Throttled | FaultClass::Transient)
}

fn tell(effect: Effect) -> &'static str {
    match effect {
        Effect::Removed => "removed",
        Effect::AlreadyGone => "was gone",
        Effect::RemovalRequested => "removal requested; AWS finishes it by itself",
        Effect::StopRequested => "stop requested",
        Effect::NotOurs => "left alone: it does not bear that session's tag",
        Effect::Created | Effect::AlreadyThere | Effect::Adopted => "unchanged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResourceKind as K;

    #[test]
    fn what_holds_others_goes_first_and_nothing_else_waits() {
        assert!(waits_for(K::Task, K::Service, false) && waits_for(K::Cluster, K::Task, false));
        assert!(waits_for(K::SecurityGroup, K::Task, false) && waits_for(K::InsightsLog, K::Cluster, false));
        assert!(!waits_for(K::Cluster, K::SecurityGroup, true) && !waits_for(K::ExecutionRole, K::SecurityGroup, true));
        assert!(waits_for(K::ScheduleGroup, K::SecurityGroup, true), "a net with schedules goes last");
        assert!(!waits_for(K::ScheduleGroup, K::SecurityGroup, false), "one without has nothing left to do");
        assert!(waits_for(K::SchedulerRole, K::ScheduleGroup, false));
        for (one, other) in [(K::ScheduleGroup, K::SchedulerRole), (K::Service, K::Task), (K::Cluster, K::InsightsLog)]
        {
            assert!(!waits_for(one, other, true), "{one} and {other} would wait for each other");
        }
    }
}
