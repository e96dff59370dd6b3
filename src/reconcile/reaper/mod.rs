//! Sweep: what bears labguard's tag and belongs to no live session of this journal.
//!
//! It lists by the tagging service, which may show what is just gone or miss what is new: good for discovery, never
//! proof. So every thing is read afresh before it is told of, and before and after it is removed.
//!
//! Guarantees: what another labguard may be guarding ([`evidence`]) is removed only when its session is named; a removal
//! goes on in the daemon whoever watches it, and ends; one at a time. Must never run by itself: what this journal does not
//! know may be somebody else's.

mod evidence;
mod removal;
mod search;

use std::sync::{Arc, Mutex};

use tokio::{sync::watch, task::JoinHandle};
use tracing::Instrument as _;

use super::{
    engine::{Engine, lock},
    handle::{
        CommandError, OrphanState, SweepFailure, SweepJob, SweepReport, SweepRequest, SweepStage, Swept, Verdict,
    },
};
use search::{Found, Group};

/// The one removal that may go on, or the last one.
#[derive(Debug, Default)]
pub struct Sweeps(Mutex<Option<Job>>);

#[derive(Debug)]
struct Job {
    report: watch::Receiver<Arc<SweepReport>>,
    task: JoinHandle<()>,
}

impl Sweeps {
    /// Its report as it changes.
    pub(super) fn last(&self) -> Option<watch::Receiver<Arc<SweepReport>>> {
        lock(&self.0).as_ref().map(|job| job.report.clone())
    }

    /// Ends it, and waits until it has; who watches is told.
    pub(super) async fn end(&self) {
        let job = lock(&self.0).take();
        if let Some(job) = job {
            job.task.abort();
            // Aborted: what it answers says nothing.
            let _ = job.task.await;
        }
    }
}

/// Lists what is there.
pub(super) async fn list(engine: &Arc<Engine>, sessions: Vec<String>) -> Result<SweepReport, CommandError> {
    refuse_live(engine, &sessions)?;
    let found = search::search(engine, &sessions).await?;
    let mut report = blank(engine, SweepRequest { remove: false, sessions });
    fill(&mut report, &found);
    report.stage = SweepStage::Done;
    report.ended_at = Some(engine.clock.now());
    Ok(report)
}

/// Begins to remove what is there, or joins the removal that goes on.
pub(super) fn begin(engine: &Arc<Engine>, sessions: Vec<String>) -> Result<SweepJob, CommandError> {
    if engine.is_draining() {
        return Err(CommandError::Refused("the daemon is shutting down and begins no sweep".to_owned()));
    }
    refuse_live(engine, &sessions)?;
    let mut last = lock(&engine.sweeps.0);
    if let Some(job) = last.as_ref().filter(|job| !job.report.borrow().is_over()) {
        return Ok(SweepJob { joined: true, report: job.report.clone() });
    }
    let (tell, report) = watch::channel(Arc::new(blank(engine, SweepRequest { remove: true, sessions })));
    let task = run(Arc::clone(engine), Tell(tell)).in_current_span();
    *last = Some(Job { report: report.clone(), task: tokio::spawn(task) });
    Ok(SweepJob { joined: false, report })
}

async fn run(engine: Arc<Engine>, tell: Tell) {
    let asked = tell.0.borrow().asked.clone();
    let found = match search::search(&engine, &asked.sessions).await {
        Ok(found) => found,
        Err(error) => {
            tell.change(|report| {
                report.break_off(kind_of(&error), error.to_string());
                report.ended_at = Some(engine.clock.now());
            });
            return;
        }
    };
    // What this very journal has as live is not taken even by name, nor what labguard did not make.
    let named = |group: &Group| !asked.sessions.is_empty() && group.swept.yields_when_named();
    let chosen = |group: &Group| group.swept.verdict == Verdict::Orphan || named(group);
    tell.change(|report| {
        fill(report, &found);
        report.stage = SweepStage::Removing;
        let all = report.sessions.iter_mut().zip(&found.groups);
        for thing in all.filter(|(_, group)| !chosen(group)).flat_map(|(swept, _)| &mut swept.things) {
            thing.state = OrphanState::Kept;
        }
    });
    removal::remove(&engine, &tell, found.groups.iter().enumerate().filter(|(_, group)| chosen(group))).await;
    tell.change(|report| {
        report.stage = SweepStage::Done;
        report.ended_at = Some(engine.clock.now());
    });
}

const fn kind_of(error: &CommandError) -> SweepFailure {
    match error {
        CommandError::Cloud(_) => SweepFailure::Cloud,
        CommandError::Journal(_) => SweepFailure::Journal,
        // No search says these.
        CommandError::UnknownPolicy { .. }
        | CommandError::UnknownSession(_)
        | CommandError::Ambiguous { .. }
        | CommandError::AlreadyLive { .. }
        | CommandError::Refused(_) => SweepFailure::Bug,
    }
}

/// A session that lives here is ended by its own command.
fn refuse_live(engine: &Engine, sessions: &[String]) -> Result<(), CommandError> {
    let lives = |name: &String| {
        engine.slots().iter().any(|slot| slot.id.as_str() == name && slot.status.borrow().closed_at.is_none())
    };
    match sessions.iter().find(|name| lives(name)) {
        None => Ok(()),
        Some(id) => Err(CommandError::Refused(format!(
            "session {id} lives in this daemon, so its things are no orphans; `labguard down {id}` ends it"
        ))),
    }
}

fn blank(engine: &Engine, asked: SweepRequest) -> SweepReport {
    SweepReport {
        asked,
        stage: SweepStage::Looking,
        region: engine.cloud.region().to_owned(),
        began_at: engine.clock.now(),
        ended_at: None,
        sessions: Vec::new(),
        not_searched: Vec::new(),
        unknown: Vec::new(),
        failure: None,
        failure_kind: None,
    }
}

fn fill(report: &mut SweepReport, found: &Found) {
    report.sessions = found.groups.iter().map(|group| group.swept.clone()).collect();
    report.not_searched = found.not_searched.clone();
    report.unknown = found.unknown.clone();
}

/// Who tells of a removal. Dropped before its end (the daemon ends, the work panics), it says so.
pub(super) struct Tell(watch::Sender<Arc<SweepReport>>);

impl Tell {
    fn change(&self, change: impl FnOnce(&mut SweepReport)) {
        self.0.send_modify(|report| change(Arc::make_mut(report)));
    }

    /// Says what became of one thing, where that is news.
    pub(super) fn of(&self, (session, thing): (usize, usize), state: OrphanState, detail: impl Into<String>) {
        let detail = Some(detail.into()).filter(|text| !text.is_empty());
        self.0.send_if_modified(|report| {
            let place = |report: &Swept| report.things.get(thing).map(|it| (it.state, it.detail.clone()));
            if report.sessions.get(session).and_then(place) == Some((state, detail.clone())) {
                return false;
            }
            let swept = Arc::make_mut(report).sessions.get_mut(session);
            let Some(orphan) = swept.and_then(|swept| swept.things.get_mut(thing)) else { return false };
            (orphan.state, orphan.detail) = (state, detail);
            true
        });
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        if !self.0.borrow().is_over() {
            let (kind, why) = if std::thread::panicking() {
                (SweepFailure::Bug, "by a bug in labguard: the daemon's log has its last words")
            } else {
                (SweepFailure::DaemonEnded, "as its daemon ended")
            };
            self.change(|report| {
                let look = SweepRequest::command(&report.asked.sessions, false);
                report.break_off(kind, format!("the sweep broke off, {why}; `{look}` shows what is left"));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_as_one_and_an_end_of_the_daemon_as_that() {
        let at = "2026-11-22T14:00:00Z".parse().unwrap();
        let report = SweepReport {
            asked: SweepRequest { remove: true, sessions: vec!["old-abcdef".to_owned()] },
            stage: SweepStage::Removing,
            region: "us-east-1".to_owned(),
            began_at: at,
            ended_at: None,
            sessions: Vec::new(),
            not_searched: Vec::new(),
            unknown: Vec::new(),
            failure: None,
            failure_kind: None,
        };
        for (panics, kind, says) in
            [(true, SweepFailure::Bug, "a bug in labguard"), (false, SweepFailure::DaemonEnded, "its daemon ended")]
        {
            let (tell, told) = watch::channel(Arc::new(report.clone()));
            let tell = Tell(tell);
            let job = tokio::spawn(async move {
                tell.change(|_| {});
                assert!(!panics, "on purpose");
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
            job.abort();
            let _ = job.await;
            let report = told.borrow().clone();
            let why = report.failure.clone().unwrap();
            assert_eq!((report.stage, report.failure_kind), (SweepStage::Failed, Some(kind)), "{why}");
            assert!(why.contains(says) && why.contains("`labguard sweep old-abcdef` shows"), "{why}");
        }
    }
}
