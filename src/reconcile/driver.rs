//! The driver: one slot per session, the earliest wake-up wins.
//!
//! Wake-ups carry no data. A session that is woken while its turn runs gets another turn right after; a
//! session that nobody wakes is looked at when its last plan said so, and once a minute at the latest
//! (a machine that slept, or a clock that leapt, is noticed then).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{engine::Engine, pulse, slot::Slot};
use crate::domain::model::{SessionId, Timestamp};

/// Turns that may run at once; each waits on the network most of its time. So many that those which wait for a slow
/// cloud do not keep a session from its limit.
const TURNS_AT_ONCE: usize = 2048;

/// However long a plan says nothing will happen.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs until `stop`; lets running turns finish.
pub async fn drive(engine: Arc<Engine>, mut ear: mpsc::UnboundedReceiver<SessionId>, stop: CancellationToken) {
    let mut schedule = Schedule::default();
    let mut turns: JoinSet<(SessionId, Option<Timestamp>)> = JoinSet::new();
    loop {
        engine.pulse.beat();
        while turns.len() < TURNS_AT_ONCE
            && let Some(session) = schedule.take_due(Instant::now())
        {
            if let Some(slot) = engine.slot(&session) {
                turns.spawn(one_turn(Arc::clone(&engine), slot));
            } else {
                schedule.finished(&session, None);
            }
        }
        let next = if turns.len() < TURNS_AT_ONCE { schedule.next() } else { None };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = turns.join_next() => match ended {
                Ok((session, next)) => schedule.finished(&session, next.map(|at| when(&engine, at))),
                Err(error) => {
                    // The turn panicked: a bug. Its session is looked at again rather than forgotten.
                    tracing::error!(%error, "a turn ended abnormally; its session is looked at again");
                    schedule.recover(Instant::now() + Duration::from_secs(5));
                }
            },
            Some(session) = ear.recv() => schedule.wake(session, Instant::now()),
            () = at(next) => {}
            () = sleep(pulse::ROUND) => {}
        }
    }
    while turns.join_next().await.is_some() {}
}

async fn one_turn(engine: Arc<Engine>, slot: Arc<Slot>) -> (SessionId, Option<Timestamp>) {
    let span = tracing::info_span!("turn", session.id = %slot.id);
    let next = engine.turn(&slot).instrument(span).await;
    (slot.id.clone(), next)
}

fn when(engine: &Engine, at: Timestamp) -> Instant {
    // Never at once: what is due now was done in the turn that said so.
    let wait = at.since(engine.clock.now()).as_duration().clamp(Duration::from_millis(20), LONGEST_SLEEP);
    Instant::now() + wait
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Who is due when.
#[derive(Debug, Default)]
struct Schedule {
    queue: BTreeSet<(Instant, SessionId)>,
    due: HashMap<SessionId, Instant>,
    running: HashSet<SessionId>,
    again: HashSet<SessionId>,
}

impl Schedule {
    fn wake(&mut self, session: SessionId, at: Instant) {
        if self.running.contains(&session) {
            self.again.insert(session);
            return;
        }
        if let Some(known) = self.due.get(&session) {
            if *known <= at {
                return;
            }
            self.queue.remove(&(*known, session.clone()));
        }
        self.due.insert(session.clone(), at);
        self.queue.insert((at, session));
    }

    fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Option<SessionId> {
        let (at, session) = self.queue.first()?.clone();
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.due.remove(&session);
        self.running.insert(session.clone());
        Some(session)
    }

    fn finished(&mut self, session: &SessionId, next: Option<Instant>) {
        self.running.remove(session);
        let again = self.again.remove(session).then(Instant::now);
        if let Some(at) = again.or(next) {
            self.wake(session.clone(), at);
        }
    }

    /// Which turn panicked is not known: every running one is scheduled.
    fn recover(&mut self, at: Instant) {
        for session in self.running.drain().collect::<Vec<_>>() {
            self.due.insert(session.clone(), at);
            self.queue.insert((at, session));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> SessionId {
        SessionId::new("s", n)
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wake_up_wins_and_a_later_one_never_delays_it() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.wake(id(1), now + Duration::from_secs(10));
        schedule.wake(id(1), now + Duration::from_secs(3));
        schedule.wake(id(1), now + Duration::from_secs(20));
        assert_eq!(schedule.next(), Some(now + Duration::from_secs(3)));
        assert_eq!(schedule.take_due(now), None);
        assert_eq!(schedule.take_due(now + Duration::from_secs(3)), Some(id(1)));
        assert_eq!(schedule.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_during_a_turn_gives_another_turn_right_after() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.wake(id(1), now);
        assert_eq!(schedule.take_due(now), Some(id(1)));
        schedule.wake(id(1), now);
        assert_eq!(schedule.take_due(now), None, "never two turns of one session at once");
        schedule.finished(&id(1), Some(now + Duration::from_secs(60)));
        assert_eq!(schedule.take_due(now), Some(id(1)));
    }
}
