//! `decide()` per second, for a session at its start, one that runs, and one that is being torn down.
//!
//! `cargo bench --bench decide`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labguard::domain::{
    decide::{self, Rules},
    meter::RateBook,
    model::{
        Action, Cause, Effect, Event, HealthReading, Identity, ImageSource, Network, Observation, Phase, Record,
        ResourceKey, ResourceKind, SessionId, Span, Stage, Subnet, TaskFacts, TaskSize, TaskStatus, Timestamp,
    },
};

#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "the bench needs the policy only")]
mod lab;

fn start() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn opened() -> Record {
    let policy = lab::policy("bench", ImageSource::Registry { uri: "r/app@sha256:0".to_owned(), mirror: false });
    let event = Event::Opened {
        name: "bench".to_owned(),
        owner: "bench".to_owned(),
        group: String::new(),
        policy: serde_json::to_value(policy).unwrap(),
        overshoot: labguard::domain::model::Money::ZERO,
    };
    Record::open(SessionId::new("bench", 1), start(), &event).unwrap()
}

fn running() -> Record {
    let mut record = opened();
    let at = start() + Span::from_secs(60);
    let identity =
        Identity { account: "000000000000".to_owned(), arn: "arn:x".to_owned(), region: "us-east-1".to_owned() };
    let subnets = vec![Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned() }];
    record.apply(at, &Event::Identified { identity });
    record.apply(at, &Event::Surveyed { network: Network { vpc: "vpc-1".to_owned(), subnets } });
    for kind in [
        ResourceKind::Image,
        ResourceKind::LogGroup,
        ResourceKind::ExecutionRole,
        ResourceKind::Cluster,
        ResourceKind::SecurityGroup,
        ResourceKind::TaskDefinition,
        ResourceKind::Task,
    ] {
        let key = ResourceKey::only(kind);
        let size = (kind == ResourceKind::Task).then_some(TaskSize::SMALLEST);
        record.apply(at, &Event::Intended { key, action: Action::Create, name: kind.describe().to_owned(), size });
        let id = Some(format!("id-of-{kind}"));
        record.apply(at, &Event::Done { key, action: Action::Create, effect: Effect::Created, id });
    }
    let mut facts = TaskFacts::new("arn:aws:ecs:us-east-1:000000000000:task/c/1");
    facts.status = TaskStatus::Running;
    facts.pull_started_at = Some(at);
    facts.started_at = Some(at + Span::from_secs(20));
    facts.public_ip = Some("127.64.0.1".to_owned());
    record.apply(at, &Event::TaskSeen { key: ResourceKey::task(1), facts, size: TaskSize::SMALLEST });
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
    let policy = lab::policy("bench", ImageSource::Registry { uri: "r/app@sha256:0".to_owned(), mirror: false });
    let card = RateBook::embedded().card("us-east-1");
    let now = start() + Span::from_mins(11);
    let health = HealthReading { task: Some(ResourceKey::task(1)), good: 5, at: Some(now), ..HealthReading::default() };
    let observation = Observation { health, tasks_seen_at: Some(now), ..Observation::default() };
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    for (name, record) in [("opened", opened()), ("running", running()), ("tearing down", ending())] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide::decide(&record, &observation, Rules { policy: &policy, card: &card }, now));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
