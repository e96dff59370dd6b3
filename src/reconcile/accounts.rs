//! What sessions cost together: which records a question is about, and the meter's answer.
//!
//! Guarantees: each session is billed by its own journalled prices; a session is counted once, whether it lives, has just
//! been closed, or was closed long ago. The journal is read session by session, so that nobody's append waits for a report.

use std::sync::Arc;

use super::{engine::Engine, handle::CommandError};
use crate::{
    domain::{
        meter,
        model::{Charge, ChargeQuery, CostQuery, CostReport, Record, SessionId, Timestamp},
    },
    journal::JournalError,
};

pub(super) fn unreadable(error: JournalError) -> CommandError {
    CommandError::Journal(error.to_string())
}

/// What sessions cost.
pub(super) async fn cost(engine: &Engine, query: CostQuery) -> Result<CostReport, CommandError> {
    let records = records(engine, query.since).await?;
    let known = records.iter().map(AsRef::as_ref);
    meter::report(known, &engine.card(), &query, engine.clock.now())
        .map_err(|error| CommandError::Refused(error.to_string()))
}

/// Lines of cost, cut at the end of each month.
pub(super) async fn charges(engine: &Engine, query: ChargeQuery) -> Result<Vec<Charge>, CommandError> {
    let records = match &query.session {
        Some(session) => vec![one(engine, session).await?],
        None => records(engine, query.since).await?,
    };
    let (card, now) = (engine.card(), engine.clock.now());
    Ok(records.iter().flat_map(|record| meter::charges(record, &card, query.since, query.until, now)).collect())
}

/// Every session that may have cost something since then, in the order they were opened.
async fn records(engine: &Engine, since: Option<Timestamp>) -> Result<Vec<Arc<Record>>, CommandError> {
    let mut records = Vec::new();
    // Those that live first: one that is closed meanwhile is in the journal's answer too, and known already.
    for slot in engine.slots() {
        let seen = slot.snapshot().await;
        if seen.record.closed_at.is_none_or(|closed| since.is_none_or(|since| closed >= since)) {
            records.push(seen.record);
        }
    }
    let closed = engine.journal.closed_since(since.unwrap_or_default()).await.map_err(unreadable)?;
    let known: std::collections::BTreeSet<SessionId> = records.iter().map(|record| record.id.clone()).collect();
    for id in closed.into_iter().filter(|id| !known.contains(id)) {
        records.extend(engine.journal.record(&id).await.map_err(unreadable)?.map(Arc::new));
    }
    records.sort_by_key(|record| record.opened_at);
    Ok(records)
}

/// One session by id, or by name: that which lives, else the newest.
async fn one(engine: &Engine, session: &str) -> Result<Arc<Record>, CommandError> {
    if let Ok(slot) = engine.find(session) {
        return Ok(slot.snapshot().await.record);
    }
    if let Ok(id) = session.parse::<SessionId>()
        && let Some(record) = engine.journal.record(&id).await.map_err(unreadable)?
    {
        return Ok(Arc::new(record));
    }
    let id = engine.find_receipt(session.to_owned()).await?.session;
    let record = engine.journal.record(&id).await.map_err(unreadable)?;
    record.map(Arc::new).ok_or_else(|| CommandError::UnknownSession(session.to_owned()))
}
