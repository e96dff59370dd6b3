//! What a sweep finds: listed by tag, each thing read afresh, and grouped by the session in the tag.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    super::{
        engine::Engine,
        handle::{CommandError, NotSearched, Orphan, OrphanState, Swept},
    },
    evidence::{self, Evidence},
    removal,
};
use crate::{
    cloud::{self, Owner, Tagged},
    domain::model::{Fault, FaultClass, Observed, Removal, ResourceKind, SessionId, Sighting},
};

/// Reads at once.
pub(super) const AT_ONCE: usize = 8;

/// What a fresh read shows of a listed thing.
pub(super) enum Look {
    /// It is not there any more, or its task is stopped, or it bears that session's tag no more.
    Gone,
    /// It is there.
    There(Box<Sighting>),
    /// The read was refused: it may be there.
    Unread(String),
}

/// A listed thing that is there, as far as is known.
pub(super) struct Thing {
    /// As it was listed.
    pub tagged: Tagged,
    /// What the read showed, or why it showed nothing.
    pub look: Look,
}

/// The things of one session, in the order of [`Swept::things`].
pub(super) struct Group {
    /// What is told of them.
    pub swept: Swept,
    /// As they were listed.
    pub things: Vec<Tagged>,
    /// Whether its net outside the task has schedules to come.
    pub armed: bool,
}

/// All of it.
pub(super) struct Found {
    /// By session.
    pub groups: Vec<Group>,
    /// Where there may be more.
    pub not_searched: Vec<NotSearched>,
    /// Named sessions of which nothing is there.
    pub unknown: Vec<String>,
}

/// Looks at the whole account, or for the things of these sessions.
pub(super) async fn search(engine: &Engine, wanted: &[String]) -> Result<Found, CommandError> {
    let listed = engine.cloud.tagged().await.map_err(|fault| CommandError::Cloud(fault.to_string()))?;
    // Read after the listing: whatever it shows of a session that is opened meanwhile is that session's.
    let mut live = BTreeSet::new();
    for slot in engine.slots() {
        if !slot.snapshot().await.record.is_closed() {
            live.insert(slot.id.to_string());
        }
    }
    let asked = |session: &String| !live.contains(session) && (wanted.is_empty() || wanted.contains(session));
    let things = listed.things.into_iter().filter(|thing| asked(&thing.session));
    let looked: Vec<Thing> = stream::iter(things)
        .map(|tagged| async { Thing { look: look(engine, &tagged).await, tagged } })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut sessions: BTreeMap<String, Vec<Thing>> = BTreeMap::new();
    for thing in looked.into_iter().filter(|thing| !matches!(thing.look, Look::Gone)) {
        sessions.entry(thing.tagged.session.clone()).or_default().push(thing);
    }
    let groups: Vec<Group> = stream::iter(sessions)
        .map(|(session, things)| group(engine, session, things))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let there = |name: &String| groups.iter().any(|group| group.swept.session == *name);
    let unknown = wanted.iter().filter(|name| !there(name)).cloned().collect();
    Ok(Found { unknown, not_searched: listed.not_searched.iter().map(not_searched).collect(), groups })
}

async fn group(engine: &Engine, session: String, mut things: Vec<Thing>) -> Result<Group, CommandError> {
    things.sort_by_key(|thing| thing.tagged.kind.map_or(u8::MAX, removal::rank));
    let Evidence { known, verdict, why, running, newest_at, armed } =
        evidence::gather(engine, &session, &things).await?;
    let orphans = things.iter().map(|Thing { tagged, look }| {
        let (made_at, detail) = match look {
            Look::There(seen) => (seen.made_at, None),
            Look::Unread(why) => (None, Some(format!("it could not be read: {why}"))),
            Look::Gone => (None, None),
        };
        let kind = tagged.kind.map_or("unknown kind", ResourceKind::describe).to_owned();
        Orphan { kind, id: tagged.id.clone(), made_at, state: OrphanState::Found, detail }
    });
    let owner = things.iter().find_map(|thing| thing.tagged.owner.clone());
    let swept = Swept { session, owner, known, verdict, why, running, newest_at, things: orphans.collect() };
    Ok(Group { swept, things: things.into_iter().map(|thing| thing.tagged).collect(), armed })
}

/// Reads a listed thing afresh: the listing shows task definitions that AWS is deleting, tasks that are stopped, and
/// other things for a while after their end.
pub(super) async fn look(engine: &Engine, thing: &Tagged) -> Look {
    let (Some(kind), Ok(session)) = (thing.kind, thing.session.parse::<SessionId>()) else {
        return Look::Unread("labguard does not make such things".to_owned());
    };
    let owner = Owner { session: &session, owner: "" };
    match engine.cloud.look(owner, kind, &removal_of(thing)).await {
        Ok(Observed::Absent) => Look::Gone,
        Ok(Observed::Present(seen)) if !seen.ours || seen.task.as_ref().is_some_and(|task| task.is_stopped()) => {
            Look::Gone
        }
        Ok(Observed::Present(seen)) => Look::There(Box::new(seen)),
        Ok(Observed::Unknown) => Look::Unread("the answer proves nothing".to_owned()),
        Err(fault) => Look::Unread(fault.to_string()),
    }
}

/// What the cloud is told of a thing that is to be read or removed.
pub(super) fn removal_of(thing: &Tagged) -> Removal {
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

/// `arn:aws:ecs:R:A:task/CLUSTER/ID` and `…:service/CLUSTER/NAME` name their cluster.
pub(super) fn cluster_of(arn: &str) -> Option<String> {
    let (kind, rest) = arn.rsplit_once(':')?.1.split_once('/')?;
    let (cluster, _) = rest.split_once('/')?;
    matches!(kind, "task" | "service").then(|| cluster.to_owned())
}

fn not_searched(part: &cloud::NotSearched) -> NotSearched {
    let Fault { class, operation, .. } = &part.fault;
    let absent = matches!(class, FaultClass::Rejected | FaultClass::NotFound);
    let next = match class {
        FaultClass::Denied => format!("allow {operation} (deploy/iam has it), then sweep again"),
        FaultClass::Expired => "renew the credentials, then sweep again".to_owned(),
        _ if absent => "nothing, where the endpoint has no such service: then there is nothing to find".to_owned(),
        _ => "sweep again".to_owned(),
    };
    NotSearched { what: part.what.clone(), why: part.fault.to_string(), next, matters: !absent }
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
}
