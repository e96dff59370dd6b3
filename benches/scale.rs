//! Ten thousand sessions in one daemon on the sandbox in memory, and teardown against its critical path.
//!
//! `cargo bench --bench scale` prints, for `LABGUARD_BENCH_SESSIONS` sessions (10,000 by default):
//! CPU per turn, memory per session (engine and sandbox together), guard latency (limit crossed → stop
//! intended, and → StopTask answered) p50/p99 in simulated time: of sessions whose limits are crossed one after another,
//! and of `LABGUARD_BENCH_TOGETHER` (500) that all have the same end; and for one session the teardown's simulated wall time as a ratio
//! to the critical path of the simulated latencies and to the same steps done one after another.

use std::{collections::BTreeMap, time::Duration};

use labguard::{
    domain::model::{Action, Event, Money, Record, ResourceKey, ResourceKind, Span},
    reconcile::handle::Control,
    sandbox::latency::Latency,
};

#[path = "../tests/support/lab.rs"]
mod lab;
#[path = "../tests/support/memory.rs"]
#[expect(dead_code, reason = "tests ask for more")]
mod memory;
use lab::Lab;
use memory::{Blueprint, House};

fn knob(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let sessions = if std::env::args().any(|argument| argument == "--bench") {
        knob("LABGUARD_BENCH_SESSIONS", 10_000)
    } else {
        20
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let together = knob("LABGUARD_BENCH_TOGETHER", 500).min(sessions);
    runtime.block_on(async {
        crowd(sessions, Ends::AsTheyCame).await;
        crowd(together, Ends::Together).await;
        teardown().await;
    });
}

/// A house whose calls are paced as AWS wants them.
async fn house(latency: Latency, max_sessions: usize) -> House {
    House::build(Blueprint { max_sessions, pace: true, ..Blueprint::new(1, latency) }).await
}

/// Seconds of processor time this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// When the limits of many sessions are crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    AsTheyCame,
    Together,
}

async fn crowd(sessions: usize, ends: Ends) {
    let house = house(Latency::aws_like(), sessions).await;
    let House { sandbox, parts, .. } = &house;
    let mut policy = lab::policy("crowd", house.program(&[]));
    policy.limits.idle_timeout = None;
    // AWS takes one CreateCluster and one RegisterTaskDefinition a second (aws-facts §5.1), of which labguard uses four
    // fifths: so many sessions cannot come faster. Their limits are crossed as they came.
    let opening = Duration::from_millis(1500) * u32::try_from(sessions).unwrap();
    let lifetime = Span::from_millis(u64::try_from(opening.as_millis()).unwrap()) + Span::from_mins(60);
    (policy.limits.lifetime, policy.limits.max_lifetime) = (lifetime, lifetime);
    let end = parts.clock.now() + lifetime;
    if ends == Ends::Together {
        policy.limits.ends_at = Some(end);
        (policy.limits.lifetime, policy.limits.max_lifetime) = (lifetime + lifetime, lifetime + lifetime);
    }
    (policy.limits.budget, policy.limits.max_budget) =
        (Money::from_nanos(100_000_000_000), Money::from_nanos(100_000_000_000));
    policy.health.interval = Span::from_secs(60);
    policy.predict = None;
    policy.activity.metrics_path = None;
    let before = resident_bytes();
    let lab = Lab::start(parts, BTreeMap::from([("crowd".to_owned(), policy)]), None).await;
    let mut ids = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        ids.push(lab.engine.up("crowd".to_owned()).await.unwrap());
        tokio::time::sleep(opening / u32::try_from(sessions).unwrap()).await;
    }
    let running = |lab: &Lab| lab.engine.list().iter().filter(|status| status.url.is_some()).count();
    while running(&lab) < sessions {
        let ended = lab.engine.list().into_iter().find(|status| status.ending.is_some());
        assert!(ended.is_none(), "ended before all were running: {:?}", ended.map(|status| status.ending.clone()));
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let per_session = resident_bytes().saturating_sub(before) / sessions;
    let (cpu, calls) = (cpu_seconds(), sandbox.calls().values().sum::<u64>());
    let minutes = 5;
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    let busy = cpu_seconds() - cpu;
    let steady_calls = sandbox.calls().values().sum::<u64>() - calls;
    println!("sessions running             {}", running(&lab));
    println!("memory per session           {} KiB (engine, journal and sandbox together)", per_session / 1024);
    println!(
        "steady state                 {:.1} ms of CPU per simulated second ({:.1} µs per session and second; probes, turns and sandbox), {:.1} AWS calls/s",
        busy * 1000.0 / (60 * minutes) as f64,
        busy * 1e6 / (60 * minutes) as f64 / sessions as f64,
        steady_calls as f64 / (60 * minutes) as f64
    );
    while lab.engine.live() > 0 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut others = Vec::new();
    let (mut intended, mut answered) = (Vec::with_capacity(sessions), Vec::with_capacity(sessions));
    for id in ids {
        let entries = parts.journal.entries(&id).await.unwrap();
        let limit = if ends == Ends::Together { end } else { entries[0].at + lifetime };
        let of_task = |key: &ResourceKey| key.kind == ResourceKind::Task;
        let late = |is: &dyn Fn(&Event) -> bool| {
            entries.iter().find(|entry| is(&entry.event)).map_or(u64::MAX, |entry| entry.at.since(limit).as_millis())
        };
        let stops = |event: &Event| matches!(event, Event::Intended { key, action: Action::Stop, .. } if of_task(key));
        let done = |event: &Event| matches!(event, Event::Done { key, action: Action::Stop, .. } if of_task(key));
        intended.push(late(&stops));
        answered.push(late(&done));
        if intended.last() == Some(&u64::MAX) {
            others.push(entries.iter().find_map(|entry| match &entry.event {
                Event::Ending { cause, detail, .. } => Some(format!("{id} ended {}: {cause}: {detail}", entry.at)),
                _ => None,
            }));
        }
    }
    if let Some(first) = others.first() {
        println!("not stopped by the loop       {}; the first: {first:?}", others.len());
    }
    for (what, mut latencies) in [("stop intended", intended), ("StopTask answered", answered)] {
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        println!(
            "guard latency                p50 {} ms, p99 {} ms, max {} ms (simulated; {ends:?}: limit crossed → {what})",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    println!("left after all have ended    {}", sandbox.leftovers().len());
    lab.stop().await;
}

async fn teardown() {
    let latency = Latency::aws_like();
    let house = house(latency.clone(), 10).await;
    let parts = &house.parts;
    let mut policy = lab::policy("one", house.program(&[]));
    policy.limits.lifetime = Span::from_mins(5);
    let lab = Lab::start(parts, BTreeMap::from([("one".to_owned(), policy)]), None).await;
    let id = lab.engine.up("one".to_owned()).await.unwrap();
    while parts.journal.record(&id).await.unwrap().is_none_or(|record| !record.is_closed()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let record: Record = parts.journal.record(&id).await.unwrap().unwrap();
    let ended = record.ending.as_ref().unwrap().at;
    let wall = record.closed_at.unwrap().since(ended);
    let gone = record.resources.values().filter_map(|resource| resource.gone_at).max().unwrap().since(ended);
    // The longest chain that AWS's own waits allow: stop the task, let its interface go, delete the group.
    let critical = latency.deactivating + latency.stopping + latency.deprovisioning + latency.interface_linger;
    let one_after_another: u64 = record
        .resources
        .values()
        .filter_map(|resource| Some(resource.gone_at?.since(resource.leaving_at?).as_millis()))
        .sum();
    println!("teardown                     {wall} to the second clean pass, {gone} until the last thing was gone");
    println!(
        "  against the critical path  {:.2}× ({critical} of AWS's own waits)",
        gone.as_millis() as f64 / critical.as_millis() as f64
    );
    println!("  one after another          {:.2}× of ours", one_after_another as f64 / gone.as_millis() as f64);
    lab.stop().await;
}
