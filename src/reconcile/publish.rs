//! Publishes the chosen metrics of every session to CloudWatch, and counts what that costs, and what was read there.
//!
//! One loop for all sessions: those with the same namespace and interval share calls. A failure is told
//! once and never holds a session up; what was sent is journalled with the session, since it costs money.
//! A session that is being torn down publishes nothing more: its budget is for the teardown.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    engine::Engine,
    slot::{Durability, Slot},
    summary,
};
use crate::{
    cloud,
    domain::model::{Event, FaultClass, SessionId, Stage, Timestamp},
    telemetry::cloudwatch::{self, MetricHours},
};

/// How often due sessions are looked for.
const TICK: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn publish(engine: Arc<Engine>, stop: CancellationToken) {
    let mut book = Book::default();
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        book.round(&engine).await;
    }
}

/// A session whose interval has passed, and what is to be said of it.
type Due = (Arc<Slot>, Vec<cloudwatch::Datum>);

#[derive(Debug, Default)]
struct Book {
    /// When each session was last published, and which of its metrics had data in the present hour.
    published: HashMap<SessionId, (Timestamp, MetricHours)>,
    /// The failure told last, so that it is told once; two of the same kind differ by their request's number alone.
    told: Option<(FaultClass, String, String)>,
    /// How many rounds there were.
    rounds: usize,
}

impl Book {
    async fn round(&mut self, engine: &Arc<Engine>) {
        let now = engine.clock.now();
        let mut by_namespace: BTreeMap<String, Vec<Due>> = BTreeMap::new();
        let mut live = HashMap::new();
        for slot in engine.slots() {
            let seen = slot.snapshot().await;
            note_reads(engine, &slot, seen.record.is_closed()).await;
            let policy = &seen.policy.metrics;
            // A teardown that takes long (something is stuck) must not spend beyond the budget on telling so:
            // Prometheus, status and log say it for nothing.
            let ends = seen.record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
            if ends || seen.record.identity.is_none() || policy.cloudwatch.is_empty() {
                continue;
            }
            if let Some((last, hours)) = self.published.remove(&slot.id) {
                let due = now.since(last) >= policy.interval;
                live.insert(slot.id.clone(), (last, hours));
                if !due {
                    continue;
                }
            }
            let gauges = {
                let status = slot.status.borrow();
                summary::gauges(&status).later(now.since(status.at))
            };
            let data = cloudwatch::data(&gauges, &policy.cloudwatch, now);
            if !data.is_empty() {
                by_namespace.entry(policy.namespace.clone()).or_default().push((slot, data));
            }
        }
        for (namespace, sessions) in by_namespace {
            let data: Vec<cloud::Datum> =
                sessions.iter().flat_map(|(_, data)| data.iter().cloned().map(datum)).collect();
            match engine.cloud.put_metrics(&namespace, &data).await {
                Ok(calls) => {
                    self.told = None;
                    let sizes: Vec<usize> = sessions.iter().map(|(_, data)| data.len()).collect();
                    let shares = shares(calls, &sizes, self.rounds);
                    for ((slot, data), calls) in sessions.into_iter().zip(shares) {
                        let (last, hours) = live.entry(slot.id.clone()).or_default();
                        *last = now;
                        let hours = hours.count(&data);
                        let event = Event::Metered { put_metric_calls: calls, metric_hours: hours, metrics_read: 0 };
                        let written = slot.write(engine, vec![event], Durability::WhenPossible).await;
                        if let Err(error) = written {
                            tracing::debug!(%error, "the cost of metrics could not be journalled yet");
                        }
                    }
                }
                Err(fault) => {
                    // Not before they are due again: what is refused would be asked every few seconds.
                    for (slot, _) in sessions {
                        live.entry(slot.id.clone()).or_default().0 = now;
                    }
                    let told = (fault.class, fault.code.clone(), fault.message.clone());
                    if self.told.as_ref() != Some(&told) {
                        tracing::warn!(%namespace, "metrics could not be published: {fault}");
                        self.told = Some(told);
                    }
                }
            }
        }
        self.published = live;
        self.rounds = self.rounds.wrapping_add(1);
    }
}

/// Journals how many metrics the session's sources asked for. One that is closed has its account.
async fn note_reads(engine: &Arc<Engine>, slot: &Slot, closed: bool) {
    let metrics_read = slot.metrics_read.swap(0, Ordering::Relaxed);
    if metrics_read == 0 || closed {
        return;
    }
    let event = Event::Metered { put_metric_calls: 0, metric_hours: 0, metrics_read };
    if let Err(error) = slot.write(engine, vec![event], Durability::WhenPossible).await {
        tracing::debug!(%error, "the cost of metrics that were read could not be journalled yet");
    }
}

/// Who bears how many of the shared calls: by the data in them, to the call, beginning each round with another
/// session, so that none pays for all.
fn shares(calls: u64, sizes: &[usize], round: usize) -> Vec<u64> {
    let all: u64 = sizes.iter().map(|size| *size as u64).sum();
    let mut shares = vec![0; sizes.len()];
    let (mut before, mut borne) = (0, 0);
    for place in 0..sizes.len() {
        let who = (place + round) % sizes.len();
        before += sizes[who] as u64;
        let due = calls * before / all.max(1);
        shares[who] = due - borne;
        borne = due;
    }
    shares
}

fn datum(datum: cloudwatch::Datum) -> cloud::Datum {
    cloud::Datum { name: datum.name, value: datum.value, unit: datum.unit, dimensions: datum.dimensions, at: datum.at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_calls_are_borne_to_the_call_and_in_turn() {
        for (calls, sizes) in [(1, vec![5; 10]), (7, vec![1, 200, 5, 1000, 3]), (0, vec![2]), (3, vec![4])] {
            let mut borne = vec![0; sizes.len()];
            for round in 0..sizes.len() {
                let shares = shares(calls, &sizes, round);
                assert_eq!(shares.iter().sum::<u64>(), calls, "{calls} of {sizes:?} in round {round}");
                borne.iter_mut().zip(shares).for_each(|(borne, share)| *borne += share);
            }
            if sizes.iter().all(|size| *size == sizes[0]) {
                assert!(borne.iter().all(|share| *share == calls), "each pays in its turn: {borne:?}");
            }
        }
        assert_eq!(shares(5, &[], 3), Vec::<u64>::new());
    }
}
