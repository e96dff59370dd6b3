//! Looks at the cloud: what a decision wants, read afresh and side by side.
//!
//! A read that fails leaves its answer unknown: unknown is not absent.

use std::collections::BTreeMap;

use futures::future::join_all;
use tokio::time::Instant;

use super::{
    engine::{Engine, lock},
    slot::{Memory, Slot},
    watcher::Reading,
};
use crate::{
    cloud::{Listed, Owner, fault},
    domain::{
        decide::{self, is_refusing},
        model::{
            Fault, FaultClass, Observation, Observed, OwnAddress, Record, Removal, ResourceKey, ResourceKind,
            ScanReading, SentinelMeans, Sighting, Span, Timestamp, Unread, Want, mark_of,
        },
        policy::Policy,
    },
};

enum Answer {
    Resource(ResourceKey, Result<Box<Observed<Sighting>>, Fault>),
    Tasks(Result<Observed<Listed>, Fault>),
    Scan(Result<Observed<ScanReading>, Fault>),
}

/// What is known before anything is asked of AWS.
pub fn known(engine: &Engine, slot: &Slot, record: &Record, policy: &Policy) -> Observation {
    let budgets = engine.budgets_of(record);
    let mut memory = lock(&slot.memory);
    let Reading { health, activity, renewals } =
        memory.watcher.as_ref().map(super::watcher::Watcher::reading).unwrap_or_default();
    Observation {
        tasks_seen_at: memory.tasks_seen_at,
        tasks_asked_at: memory.tasks_asked_at,
        blockers_asked_at: memory.blockers_asked_at,
        unread: memory.unread.clone(),
        cut_off_at: memory.cut_off_at,
        unplaced: memory.unplaced.clone(),
        net_looked_at: memory.net_looked_at,
        health,
        activity,
        credentials: engine.cloud.credentials(policy.credentials_lead()),
        draining: engine.is_draining(),
        sharing: engine.live(),
        moving: engine.moving(),
        supplying: memory.supply.is_some(),
        clock_set_back: memory.clock_set_back,
        clock_ahead: engine.cloud.clock_ahead(),
        renewals,
        sentinel: sentinel_of(engine, slot, &mut memory),
        own_address: if policy.asks_own_address() { engine.own.reading() } else { OwnAddress::Asking },
        budgets,
        ..Observation::default()
    }
}

/// The public half of the session's key, made once, and the program beside our own.
fn sentinel_of(engine: &Engine, slot: &Slot, memory: &mut Memory) -> Option<SentinelMeans> {
    if memory.sentinel_key.is_none() {
        match engine.signer(&slot.id) {
            Ok(signer) => memory.sentinel_key = Some(signer.public_key_hex()),
            Err(error) => tracing::error!(%error, "no sentinel can guard this session"),
        }
    }
    let program = engine.sentinel_program.display().to_string();
    Some(SentinelMeans { key: memory.sentinel_key.clone()?, program })
}

/// Compares the clock with one that nobody sets: what it was set back by is added up until it is journalled.
pub fn watch_clock(engine: &Engine, slot: &Slot) {
    let (now, ticks) = (engine.clock.now(), Instant::now());
    let mut memory = lock(&slot.memory);
    if let Some((then, before)) = memory.looked_at.replace((now, ticks)) {
        let back = (then + Span::from(ticks.duration_since(before))).since(now);
        if back > Span::from_secs(1) {
            memory.clock_set_back = Some(memory.clock_set_back.unwrap_or_default() + back);
        }
    }
}

/// Answers `wants`, and adds what is known then.
pub async fn observe(engine: &Engine, slot: &Slot, record: &Record, policy: &Policy, wants: &[Want]) -> Observation {
    {
        let (mut memory, now) = (lock(&slot.memory), Some(engine.clock.now()));
        for want in wants {
            match want {
                Want::Tasks | Want::Resource(ResourceKey { kind: ResourceKind::Task, .. }) => {
                    memory.tasks_asked_at = now
                }
                Want::Resource(key) => {
                    if key.kind == ResourceKind::ScheduleGroup {
                        memory.net_looked_at = now;
                    }
                    if record.resources.get(key).is_some_and(is_refusing) {
                        memory.blockers_asked_at = now;
                    }
                }
                Want::Scan => {}
            }
        }
    }
    let asked = Instant::now();
    let answers = join_all(wants.iter().map(|want| async move {
        match want {
            Want::Resource(key) => Answer::Resource(*key, look(engine, record, *key).await.map(Box::new)),
            Want::Tasks => Answer::Tasks(tasks(engine, record).await),
            Want::Scan => Answer::Scan(scan(engine, record).await),
        }
    }))
    .await;

    let mut sightings = BTreeMap::new();
    let mut listed = Observed::Unknown;
    let mut scanned = Observed::Unknown;
    let mut tasks_read = false;
    let mut unread = None;
    for answer in answers {
        match answer {
            Answer::Resource(key, Ok(sighting)) => {
                let fault = sighting.present().and_then(|seen| seen.fault.clone());
                match key.kind {
                    ResourceKind::Task => {
                        tasks_read |= *sighting != Observed::Unknown;
                        unread = unread.or(fault);
                    }
                    ResourceKind::Service => {
                        let gone = sighting.is_absent().then(service_gone);
                        lock(&slot.memory).unplaced = fault.or(gone).map(|fault| (engine.clock.now(), fault));
                    }
                    _ => {}
                }
                sightings.insert(key, *sighting);
            }
            Answer::Tasks(Ok(tasks)) => {
                tasks_read |= tasks != Observed::Unknown;
                listed = match tasks {
                    Observed::Present(Listed { tasks, fault }) => {
                        unread = unread.or(fault);
                        Observed::Present(tasks)
                    }
                    Observed::Absent => Observed::Absent,
                    Observed::Unknown => Observed::Unknown,
                };
            }
            Answer::Resource(key, Err(fault)) => {
                tracing::debug!(resource = %key, fault = %fault, "a look failed");
                unread = unread.or(Some(fault).filter(|_| key.kind == ResourceKind::Task));
            }
            Answer::Scan(Ok(scan)) => scanned = scan,
            Answer::Scan(Err(fault)) => tracing::debug!(fault = %fault, "the scan could not be read"),
            Answer::Tasks(Err(fault)) => {
                tracing::debug!(fault = %fault, "listing tasks failed");
                unread = unread.or(Some(fault));
            }
        }
    }
    let mut memory = lock(&slot.memory);
    let unanswered = unread.as_ref().is_some_and(Fault::is_unanswered);
    if unanswered || tasks_read && asked.elapsed() > decide::READ_BOUND.as_duration() {
        memory.cut_off_at = Some(engine.clock.now());
    }
    if tasks_read {
        memory.tasks_seen_at = Some(engine.clock.now());
    }
    if tasks_read || unread.is_some() {
        note_unread(&mut memory, unread, engine.clock.now());
    }
    drop(memory);
    Observation { sightings, tasks: listed, scan: scanned, ..known(engine, slot, record, policy) }
}

/// Why a service that somebody took away places no task.
fn service_gone() -> Fault {
    let message = "the service is not there any more";
    fault::own(FaultClass::NotFound, "ecs:DescribeServices", "ServiceGone", message, None)
}

/// Keeps why tasks could not be read, and tells it once.
fn note_unread(memory: &mut Memory, fault: Option<Fault>, now: Timestamp) {
    memory.unread = fault.map(|fault| Unread::after(memory.unread.as_ref(), fault, now));
    match &memory.unread {
        None => memory.unread_told = false,
        Some(unread) if unread.is_told(now) && !memory.unread_told => {
            memory.unread_told = true;
            tracing::warn!(since = %unread.since, "its tasks cannot be read: {}", unread.fault);
        }
        Some(_) => {}
    }
}

/// The scan of the session's image.
async fn scan(engine: &Engine, record: &Record) -> Result<Observed<ScanReading>, Fault> {
    let image = record.only(ResourceKind::Image);
    let Some((name, digest)) = image.and_then(|image| Some((&image.name, image.id.as_deref()?.split_once('@')?.1)))
    else {
        return Ok(Observed::Unknown);
    };
    engine.cloud.scan_of(name, digest).await
}

async fn look(engine: &Engine, record: &Record, key: ResourceKey) -> Result<Observed<Sighting>, Fault> {
    let removal = address(record, key);
    let owner = Owner { session: &record.id, owner: &record.owner };
    engine.checkpoint("before a look").await;
    let answer = match key.kind {
        ResourceKind::Image => crate::image::look(&engine.cloud, owner, &removal).await,
        _ => engine.cloud.look(owner, key.kind, &removal).await,
    };
    engine.checkpoint("after a look").await;
    answer
}

async fn tasks(engine: &Engine, record: &Record) -> Result<Observed<Listed>, Fault> {
    let Some(cluster) = record.only(ResourceKind::Cluster) else { return Ok(Observed::Absent) };
    let service = record.only(ResourceKind::Service).map(|service| service.name.as_str());
    let owner = Owner { session: &record.id, owner: &record.owner };
    engine.checkpoint("before listing tasks").await;
    let answer = engine.cloud.tasks(owner, &cluster.name, service).await;
    engine.checkpoint("after listing tasks").await;
    answer
}

/// How to find a resource of a record.
#[must_use]
pub fn address(record: &Record, key: ResourceKey) -> Removal {
    let resource = record.resources.get(&key);
    Removal {
        name: resource.map(|resource| resource.name.clone()).unwrap_or_default(),
        id: resource.and_then(|resource| resource.id.clone()),
        cluster: record.only(ResourceKind::Cluster).map(|cluster| cluster.name.clone()),
        vpc: record.network.as_ref().map(|network| network.vpc.clone()),
        reason: String::new(),
        mark: record
            .only(ResourceKind::Repository)
            .filter(|repository| key.kind == ResourceKind::Image && !repository.ours)
            .map(|_| mark_of(record.id.as_str())),
        address: resource.and_then(|resource| resource.task.as_ref()).and_then(|task| task.public_ip.clone()),
    }
}
