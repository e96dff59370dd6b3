//! Sweep: what bears labguard's tag and belongs to no live session of this journal.
//!
//! It lists by the tagging service, which may show what is just gone or miss what is new: good for
//! discovery, never proof. Removal goes through the same checks as any other: the tag is read afresh.
//! Must never run by itself: somebody else's labguard may own what this journal does not know.

use std::{sync::Arc, time::Duration};

use super::{
    engine::Engine,
    handle::{CommandError, Orphan},
};
use crate::{
    cloud::{Owner, Tagged},
    domain::model::{Effect, Fault, FaultClass, Observed, Removal, ResourceKind, SessionId},
};

/// Longest wait for what holds an orphan (an interface on a security group; aws-facts §4).
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// What must go before what.
fn rank(kind: ResourceKind) -> u8 {
    match kind {
        ResourceKind::Service => 0,
        ResourceKind::Task => 1,
        ResourceKind::TaskDefinition | ResourceKind::Repository | ResourceKind::Image => 2,
        ResourceKind::Cluster | ResourceKind::LogGroup => 3,
        // As long as its cluster is there AWS would make it anew.
        ResourceKind::ExecutionRole | ResourceKind::SecurityGroup | ResourceKind::InsightsLog => 4,
        // Until then it would remove what this cannot.
        ResourceKind::ScheduleGroup => 5,
        ResourceKind::SchedulerRole => 6,
    }
}

/// Lists orphans; with `remove`, takes each away and tells the outcome.
pub async fn sweep(engine: &Arc<Engine>, remove: bool) -> Result<Vec<Orphan>, CommandError> {
    let mut tagged = engine.cloud.tagged().await.map_err(|fault| CommandError::Cloud(fault.to_string()))?;
    tagged.extend(engine.cloud.marked().await.map_err(|fault| CommandError::Cloud(fault.to_string()))?);
    let mut live = std::collections::BTreeSet::new();
    for slot in engine.slots() {
        if !slot.snapshot().await.record.is_closed() {
            live.insert(slot.id.to_string());
        }
    }
    tagged.retain(|thing| !live.contains(&thing.session));
    tagged.sort_by_key(|thing| thing.kind.map_or(u8::MAX, rank));
    let mut orphans = Vec::with_capacity(tagged.len());
    for thing in tagged {
        if gone(engine, &thing).await {
            continue;
        }
        let outcome = if remove { Some(take_away(engine, &thing).await) } else { None };
        orphans.push(Orphan {
            session: thing.session,
            kind: thing.kind.map_or("unknown kind", ResourceKind::describe).to_owned(),
            id: thing.id,
            outcome,
        });
    }
    Ok(orphans)
}

/// Whether a fresh read proves that a listed thing is gone: the listing shows task definitions that AWS is
/// deleting, and other things for a while after their end. What cannot be read is not gone.
async fn gone(engine: &Engine, thing: &Tagged) -> bool {
    let (Some(kind), Ok(session)) = (thing.kind, thing.session.parse::<SessionId>()) else { return false };
    let owner = Owner { session: &session, owner: "" };
    matches!(engine.cloud.look(owner, kind, &removal(thing)).await, Ok(Observed::Absent))
}

fn removal(thing: &Tagged) -> Removal {
    Removal {
        name: thing.name.clone(),
        id: Some(thing.id.clone()),
        cluster: cluster_of(&thing.id),
        vpc: None,
        reason: "labguard: sweep".to_owned(),
        // REPOSITORY:MARK
        mark: thing
            .id
            .rsplit_once(':')
            .filter(|_| thing.kind == Some(ResourceKind::Image))
            .map(|(_, mark)| mark.to_owned()),
        address: None,
    }
}

async fn take_away(engine: &Engine, thing: &Tagged) -> String {
    let (Some(kind), Ok(session)) = (thing.kind, thing.session.parse::<SessionId>()) else {
        return "left alone: labguard does not make such things".to_owned();
    };
    let removal = removal(thing);
    let owner = Owner { session: &session, owner: "" };
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut wait = Duration::from_secs(2);
    loop {
        let outcome = match kind {
            ResourceKind::Task => engine.cloud.stop_task(owner, &removal).await,
            _ => engine.cloud.remove(owner, kind, &removal).await,
        };
        match outcome {
            Ok(effect) => return tell(effect).to_owned(),
            Err(fault) if passes(&fault) && tokio::time::Instant::now() + wait < until => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(30));
            }
            Err(fault) => return format!("failed: {fault}"),
        }
    }
}

fn passes(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Dependency | FaultClass::Throttled | FaultClass::Transient)
}

fn tell(effect: Effect) -> &'static str {
    match effect {
        Effect::Removed => "removed",
        Effect::AlreadyGone => "was gone",
        Effect::RemovalRequested => "removal requested; AWS finishes it by itself",
        Effect::StopRequested => "stopped",
        Effect::NotOurs => "left alone: it does not bear that session's tag",
        Effect::Created | Effect::AlreadyThere | Effect::Adopted => "unchanged",
    }
}

/// `arn:aws:ecs:R:A:task/CLUSTER/ID` and `…:service/CLUSTER/NAME` name their cluster.
fn cluster_of(arn: &str) -> Option<String> {
    let (kind, rest) = arn.rsplit_once(':')?.1.split_once('/')?;
    let (cluster, _) = rest.split_once('/')?;
    matches!(kind, "task" | "service").then(|| cluster.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_services_name_their_cluster() {
        assert_eq!(cluster_of("arn:aws:ecs:us-east-1:000000000000:task/c1/0123").as_deref(), Some("c1"));
        assert_eq!(cluster_of("arn:aws:ecs:us-east-1:000000000000:service/c1/s").as_deref(), Some("c1"));
        assert_eq!(cluster_of("arn:aws:ecs:us-east-1:000000000000:cluster/c1"), None);
        assert_eq!(cluster_of("arn:aws:ecr:us-east-1:000000000000:repository/a/b"), None);
    }

    #[test]
    fn what_holds_others_goes_first() {
        assert!(rank(ResourceKind::Service) < rank(ResourceKind::Task));
        assert!(rank(ResourceKind::Task) < rank(ResourceKind::Cluster));
        assert!(rank(ResourceKind::Task) < rank(ResourceKind::SecurityGroup));
    }
}
