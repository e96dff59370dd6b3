//! Whether somebody may be guarding a session that bears labguard's tag: another daemon with another journal.
//!
//! A tag says who made a thing, never whether that one still lives. So what this journal knows as closed is a leftover;
//! of any other session the signs of life count: something runs, its net outside has schedules to come, it was made a
//! moment ago, or it cannot be read. Guarantee: what is not known is never taken for dead. Its limit: a session of another
//! labguard that is stopped, has no net outside and made nothing for an hour looks dead.

use std::collections::BTreeSet;

use super::{
    super::{
        engine::Engine,
        handle::{CommandError, Verdict},
    },
    search::{Look, Thing, cluster_of},
};
use crate::{
    cloud::{Owner, SchedulesLeft},
    domain::{
        model::{FaultClass, Observed, ResourceKind, SessionId, Span, TaskFacts, Timestamp},
        policy::fuse::group_name,
    },
};

/// Whoever makes things makes more of them within that time.
const GRACE: Span = Span::from_mins(60);

/// What speaks for and against.
pub(super) struct Evidence {
    /// Whether the journal knows the session.
    pub known: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
    /// What runs.
    pub running: Vec<String>,
    /// When the newest thing was made.
    pub newest_at: Option<Timestamp>,
    /// Whether its net outside has schedules to come.
    pub armed: bool,
}

/// Gathers it for one session.
pub(super) async fn gather(engine: &Engine, session: &str, things: &[Thing]) -> Result<Evidence, CommandError> {
    let Ok(id) = session.parse::<SessionId>() else {
        let why = "the tag's value is no session's: labguard did not make them".to_owned();
        let verdict = Verdict::MaybeGuarded;
        return Ok(Evidence { known: false, verdict, why, running: vec![], newest_at: None, armed: false });
    };
    let record = engine.journal.record(&id).await.map_err(|error| CommandError::Journal(error.to_string()))?;
    let mut signs = Signs::default();
    signs.of_things(things);
    signs.of_tasks(engine, &id, things).await;
    signs.of_nets(engine, &id, things).await;
    let Signs { running, newest_at, unread, net, tasks: _ } = signs;
    let (verdict, why) = match record.as_ref().map(|record| record.closed_at) {
        Some(Some(at)) => (Verdict::Orphan, format!("a session of this daemon that was closed {at}")),
        Some(None) => (Verdict::MaybeGuarded, "this daemon's journal has it as live".to_owned()),
        None => judge(&running, net.as_ref(), newest_at, unread.first(), engine.clock.now()),
    };
    let armed = net.is_some_and(|net| net.count > 0);
    Ok(Evidence { known: record.is_some(), verdict, why, running, newest_at, armed })
}

/// Of a session that the journal does not know.
fn judge(
    running: &[String],
    net: Option<&SchedulesLeft>,
    newest_at: Option<Timestamp>,
    unread: Option<&String>,
    now: Timestamp,
) -> (Verdict, String) {
    let mut signs = Vec::new();
    if let Some(first) = running.first() {
        let more = if running.len() > 1 { format!(" and {} more", running.len() - 1) } else { String::new() };
        signs.push(format!("{first} runs{more}"));
    }
    if let Some(net) = net.filter(|net| net.count > 0) {
        let moved = net.moved_at.map(|at| format!(", last moved {at}")).unwrap_or_default();
        signs.push(format!("its net outside has {} schedule(s) to come{moved}", net.count));
    }
    if let Some(at) = newest_at.filter(|at| *at + GRACE > now) {
        signs.push(format!("something was made {at}, less than {GRACE} ago"));
    }
    if let Some(why) = unread {
        signs.push(format!("it is not all known: {why}"));
    }
    if !signs.is_empty() {
        return (Verdict::MaybeGuarded, signs.join("; "));
    }
    let age = newest_at.map_or_else(
        || "when its things were made is not known".to_owned(),
        |at| format!("the newest thing was made {at}"),
    );
    (Verdict::Orphan, format!("nothing runs, no net outside has anything to come; {age}"))
}

/// What was seen.
#[derive(Default)]
struct Signs {
    running: Vec<String>,
    newest_at: Option<Timestamp>,
    unread: Vec<String>,
    net: Option<SchedulesLeft>,
    tasks: BTreeSet<String>,
}

impl Signs {
    fn of_things(&mut self, things: &[Thing]) {
        for Thing { tagged, look } in things {
            let seen = match look {
                Look::Gone => continue,
                Look::Unread(why) => {
                    self.unread.push(why.clone());
                    continue;
                }
                Look::There(seen) => seen,
            };
            self.newest_at = self.newest_at.max(seen.made_at);
            if tagged.kind == Some(ResourceKind::Service) {
                self.running.push(format!("service {}", tagged.name));
            }
            if let Some(task) = &seen.task {
                self.task(task);
            }
        }
    }

    fn task(&mut self, task: &TaskFacts) {
        if !self.tasks.insert(task.arn.clone()) {
            return;
        }
        self.newest_at = self.newest_at.max(Some(task.latest()));
        if !task.is_stopped() {
            let id = task.arn.rsplit('/').next().unwrap_or(&task.arn);
            self.running.push(format!("task {id}"));
        }
    }

    /// The tagging service may not list a new task yet, and a task that is being stopped has lost its tags: each cluster
    /// is asked for what the session started in it.
    async fn of_tasks(&mut self, engine: &Engine, id: &SessionId, things: &[Thing]) {
        let clusters: BTreeSet<String> = things
            .iter()
            .filter_map(|Thing { tagged, .. }| match tagged.kind {
                Some(ResourceKind::Cluster) => Some(tagged.name.clone()),
                _ => cluster_of(&tagged.id),
            })
            .collect();
        for cluster in clusters {
            match engine.cloud.tasks(Owner { session: id, owner: "" }, &cluster, None).await {
                Ok(Observed::Present(listed)) => listed.tasks.iter().for_each(|task| self.task(task)),
                Ok(Observed::Absent | Observed::Unknown) => {}
                Err(fault) => self.unread.push(fault.to_string()),
            }
        }
    }

    /// The group that its net would be in is asked for whether it was listed or not: where the listing of groups was
    /// refused, it shows none.
    async fn of_nets(&mut self, engine: &Engine, id: &SessionId, things: &[Thing]) {
        let listed = things.iter().filter(|it| it.tagged.kind == Some(ResourceKind::ScheduleGroup));
        let mut groups: BTreeSet<String> = listed.map(|it| it.tagged.name.clone()).collect();
        groups.insert(group_name(id.as_str()));
        for group in groups {
            match engine.cloud.schedules_left(&group).await {
                Ok(left) => {
                    let known = self.net.get_or_insert_default();
                    known.count += left.count;
                    known.moved_at = known.moved_at.max(left.moved_at);
                }
                // An endpoint without the service has no nets.
                Err(fault) if fault.class == FaultClass::Rejected => {}
                Err(fault) => self.unread.push(fault.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_of_life_is_told_and_one_is_enough() {
        let now: Timestamp = "2026-11-22T14:00:00Z".parse().unwrap();
        let ago = |mins: i64| Some(Timestamp::from_millis(now.as_millis() - mins * 60_000));
        let task = ["task 0a".to_owned(), "task 0b".to_owned()];
        let (armed, spent) = (SchedulesLeft { count: 3, moved_at: ago(5) }, SchedulesLeft { count: 0, moved_at: None });
        let refused = "ecs:ListTasks: AccessDenied".to_owned();
        for (running, net, newest_at, unread, says) in [
            (&task[..], None, ago(600), None, "task 0a runs and 1 more"),
            (&[], Some(&armed), ago(600), None, "3 schedule(s) to come, last moved 2026-11-22T13:55:00"),
            (&[], Some(&spent), ago(59), None, "something was made 2026-11-22T13:01:00"),
            (&[], None, ago(600), Some(&refused), "not all known: ecs:ListTasks"),
        ] {
            let (verdict, why) = judge(running, net, newest_at, unread, now);
            assert_eq!(verdict, Verdict::MaybeGuarded, "{why}");
            assert!(why.contains(says), "{why}");
        }
        for (newest_at, says) in [(ago(60), "made 2026-11-22T13:00:00"), (None, "not known")] {
            let (verdict, why) = judge(&[], Some(&spent), newest_at, None, now);
            assert_eq!(verdict, Verdict::Orphan, "{why}");
            assert!(why.contains(says), "{why}");
        }
    }
}
