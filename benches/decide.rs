//! `decide()` per second, for a session at its start, one that runs, and one that is being torn down.
//!
//! `cargo bench --bench decide`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labguard::domain::{
    decide::{self, Rules},
    meter::RateBook,
    model::{
        Cause, Event, HealthReading, ImageSource, Observation, Phase, Record, ResourceKey, Span, Stage, Timestamp,
    },
    policy::Policy,
};

#[path = "../tests/support/deployed.rs"]
mod deployed;
#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "the bench needs the policy only")]
mod lab;

fn start() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn policy() -> Policy {
    lab::policy("bench", ImageSource::Registry { uri: "r/app@sha256:0".to_owned(), mirror: false })
}

fn running() -> Record {
    let mut record = deployed::opened(&policy(), start());
    let at = start() + Span::from_secs(60);
    deployed::deploy(&mut record, at, at + Span::from_secs(20));
    record.apply(at, &Event::Health { healthy: true, detail: "ok".to_owned() });
    record.apply(at, &Event::Announced { url: "http://127.64.0.1:5000".to_owned() });
    record.apply(at, &Event::Entered { phase: Phase::Running, because: "healthy".to_owned() });
    record
}

fn ending() -> Record {
    let mut record = running();
    let at = start() + Span::from_mins(10);
    let ending = Event::Ending { cause: Cause::Idle, detail: "idle".to_owned(), stage: Stage::Teardown };
    record.apply(at, &ending);
    record.apply(at, &Event::Entered { phase: Phase::TearingDown, because: "idle".to_owned() });
    record
}

fn decisions(criterion: &mut Criterion) {
    let policy = policy();
    let card = RateBook::embedded().card("us-east-1");
    let now = start() + Span::from_mins(11);
    let health = HealthReading { task: Some(ResourceKey::task(1)), good: 5, at: Some(now), ..HealthReading::default() };
    let observation = Observation { health, tasks_seen_at: Some(now), ..Observation::default() };
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    for (name, record) in
        [("opened", deployed::opened(&policy, start())), ("running", running()), ("tearing down", ending())]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide::decide(&record, &observation, Rules { policy: &policy, card: &card }, now));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
