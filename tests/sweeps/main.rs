//! Sweep, met by whole engines under paused time: two journals on one account, what cannot be removed, what cannot be
//! searched; and by a person at the real binary.

#[path = "../support/crash.rs"]
mod crash;
#[path = "../support/house.rs"]
#[expect(dead_code, reason = "other suites change its configuration and end it")]
mod house;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/memory.rs"]
#[expect(dead_code, reason = "other suites plant things as well")]
mod memory;
#[path = "../support/sandbox_process.rs"]
#[expect(dead_code, reason = "other suites count what is left in it")]
mod sandbox_process;

mod by_hand;
mod guarded;
mod removal;
mod searched;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lab::Lab;
use labguard::{
    journal::Journal,
    reconcile::handle::{Control, OrphanState, SweepReport, Swept},
};
use memory::House;

const NOTHING: [String; 0] = [];

/// A daemon with a journal of its own on the same account.
async fn another(house: &House) -> Lab {
    let mut parts = house.parts.clone();
    parts.journal = Journal::in_memory(parts.clock.clone());
    Lab::start(&parts, BTreeMap::new(), None).await
}

async fn listed(lab: &Lab) -> SweepReport {
    lab.engine.orphans(Vec::new()).await.unwrap()
}

/// Sweeps, and waits for its end: an hour at most.
async fn swept(lab: &Lab, sessions: &[&str]) -> Arc<SweepReport> {
    let sessions = sessions.iter().map(|name| (*name).to_owned()).collect();
    let mut job = lab.engine.sweep(sessions).unwrap();
    let over = tokio::time::timeout(Duration::from_secs(3600), job.report.wait_for(|report| report.is_over())).await;
    let report = Arc::clone(&over.expect("it ends").unwrap());
    assert_eq!(report.failure, None);
    report
}

/// The only session of a report.
fn only(report: &SweepReport) -> &Swept {
    assert_eq!(report.sessions.len(), 1, "{report:#?}");
    &report.sessions[0]
}

/// Kinds of the things in that state.
fn kinds(report: &SweepReport, state: OrphanState) -> Vec<&str> {
    report.things().filter(|(_, thing)| thing.state == state).map(|(_, thing)| thing.kind.as_str()).collect()
}
