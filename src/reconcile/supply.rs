//! Supplies a session's image beside the loop, so that limits and people's wishes hold while it is on its way.
//!
//! A job reads the source and pushes; it writes nothing but its progress. Its outcome is taken in at the beginning of a
//! turn, journalled there as any other call's, so that the record has one writer. A supply that no plan wants any more
//! is ended, and is over before anything is removed. It ends with its slot; it holds no engine.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Duration, sleep},
};
use tracing::Instrument;

use super::{
    engine::{Engine, lock},
    slot::Slot,
    status::SessionStatus,
};
use crate::{
    cloud::{Cloud, Ensured, Owner},
    domain::model::{Fault, FaultClass, ImageProgress, ImageSpec, Record, SessionId, Step, SupplyStage},
    image::{Desk, Report},
};

/// Images on their way at once, of all sessions; the others wait their turn.
pub(super) const AT_ONCE: usize = 8;

/// Between two looks at the progress: as often as a person can see.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// A supply on its way; dropping it ends it.
#[derive(Debug)]
pub struct Supply {
    step: Step,
    outcome: oneshot::Receiver<Result<Ensured, Fault>>,
    progress: watch::Receiver<Option<ImageProgress>>,
    job: Job,
}

/// Ends with its owner.
#[derive(Debug)]
struct Job(JoinHandle<()>);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Supply {
    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Option<ImageProgress> {
        self.progress.borrow().clone()
    }
}

/// Begins to supply an image; an earlier supply of the slot ends.
pub(super) fn start(engine: &Engine, slot: &Slot, record: &Record, step: Step, image: ImageSpec) {
    let (report, progress) = Report::new(engine.clock.clone());
    let (tell, outcome) = oneshot::channel();
    let work = Work {
        cloud: engine.cloud.clone(),
        session: record.id.clone(),
        owner: record.owner.clone(),
        workspace: engine.workspace.clone(),
        turn: Arc::clone(&engine.supplies),
        image,
        report,
    };
    let shown = Shown { progress: progress.clone(), status: slot.status.clone() };
    let wake = Wake { waker: engine.waker(), session: slot.id.clone() };
    let job = async move {
        // Dropped last, even when the work panics: the outcome is there, or known to be missing, when the slot is woken.
        let _wake = wake;
        let tell = tell;
        let ensured = tokio::select! {
            biased;
            ensured = work.run() => ensured,
            never = shown.follow() => match never {},
        };
        // Nobody hears it where the slot is gone: then it does not matter.
        let _ = tell.send(ensured);
    };
    let job = Job(tokio::spawn(job.in_current_span()));
    lock(&slot.memory).supply = Some(Supply { step, outcome, progress, job });
}

/// What has come of the supply, if it has ended: the step, and what to journal of it.
pub(super) fn ended(slot: &Slot) -> Option<(Step, Result<Ensured, Fault>)> {
    let mut memory = lock(&slot.memory);
    let outcome = memory.supply.as_mut()?.outcome.try_recv();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(oneshot::error::TryRecvError::Empty) => return None,
        Err(oneshot::error::TryRecvError::Closed) => Err(abnormal()),
    };
    memory.supply.take().map(|supply| (supply.step, outcome))
}

/// Ends a supply that is not wanted any more, and waits until it is over.
pub(super) async fn follow(slot: &Slot, wanted: bool) {
    if !wanted && end(slot).await {
        tracing::info!("the image is not needed any more; its supply has ended");
    }
}

/// Ends the slot's supply, if there is one, and waits until it is over.
pub(super) async fn end(slot: &Slot) -> bool {
    let ended = lock(&slot.memory).supply.take();
    let Some(mut supply) = ended else { return false };
    supply.job.0.abort();
    // Aborted: what it answers says nothing.
    let _ = (&mut supply.job.0).await;
    true
}

fn abnormal() -> Fault {
    Fault {
        class: FaultClass::Transient,
        operation: "image:Ensure".to_owned(),
        code: "Abnormal".to_owned(),
        message: "the supply of the image ended abnormally; the log has its last words".to_owned(),
        request_id: None,
        advice: Some("labguard tries again; report it if it comes back".to_owned()),
        own: true,
    }
}

/// Wakes the session when it is dropped.
struct Wake {
    waker: mpsc::UnboundedSender<SessionId>,
    session: SessionId,
}

impl Drop for Wake {
    fn drop(&mut self) {
        // A closed ear means that the driver has stopped: nobody looks any more.
        let _ = self.waker.send(self.session.clone());
    }
}

struct Work {
    cloud: Cloud,
    session: SessionId,
    owner: String,
    workspace: std::path::PathBuf,
    turn: Arc<Semaphore>,
    image: ImageSpec,
    report: Report,
}

impl Work {
    async fn run(self) -> Result<Ensured, Fault> {
        let _turn = match self.turn.try_acquire() {
            Ok(turn) => Ok(turn),
            Err(_) => {
                self.report.stage(SupplyStage::Waiting, format!("one of {AT_ONCE} other images to arrive"));
                // Closed by nobody; without a permit it goes on all the same.
                self.turn.acquire().await
            }
        };
        let owner = Owner { session: &self.session, owner: &self.owner };
        let desk = Desk::new(&self.cloud, owner, self.workspace, self.report);
        crate::image::ensure(&desk, &self.image).await
    }
}

/// Shows the progress in the session's status between its turns.
struct Shown {
    progress: watch::Receiver<Option<ImageProgress>>,
    status: watch::Sender<Arc<SessionStatus>>,
}

impl Shown {
    async fn follow(mut self) -> std::convert::Infallible {
        while self.progress.changed().await.is_ok() {
            let progress = self.progress.borrow_and_update().clone();
            self.status.send_modify(|status| Arc::make_mut(status).show_image(progress));
            sleep(TOLD_EVERY).await;
        }
        // The speaker is gone: the work is about to end.
        std::future::pending().await
    }
}
