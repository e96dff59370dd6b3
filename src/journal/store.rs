//! Events in and out of SQLite. Synchronous; one owner at a time.
//!
//! Every session's events are chained by SHA-256, so that a row changed or lost behind our back is noticed
//! at replay and refused, never silently replayed into another record.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::{
    error::{JournalError, WRITE},
    file, kind,
    lock::Lock,
    replay,
};
use crate::domain::model::{Entry, Event, Record, SessionId, Timestamp};

/// One session's events, made ready to be written in one piece.
#[derive(Debug)]
pub(super) struct Batch {
    session: SessionId,
    at: Timestamp,
    /// Each event as text, and as that text reads.
    rows: Vec<(String, Event)>,
}

impl Batch {
    /// Writes the events out and reads them back, so that who appends sees what replay will see.
    pub(super) fn new(session: &SessionId, at: Timestamp, events: &[Event]) -> Result<Self, JournalError> {
        let refused =
            |error: serde_json::Error| JournalError::Refused { session: session.clone(), what: error.to_string() };
        let rows = events
            .iter()
            .map(|event| {
                let text = serde_json::to_string(event).map_err(refused)?;
                let event = serde_json::from_str(&text).map_err(refused)?;
                Ok((text, event))
            })
            .collect::<Result<_, JournalError>>()?;
        Ok(Self { session: session.clone(), at, rows })
    }
}

/// What a full check found in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Sessions, live and closed.
    pub sessions: u64,
    /// Events of all of them.
    pub events: u64,
}

/// The journal's tables, and what guards them.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
    refusing: Arc<AtomicBool>,
    // After the connection: released last.
    _lock: Option<Lock>,
}

impl Store {
    /// Takes the lock, then opens or makes the file.
    pub(super) fn open(path: &Path, refusing: Arc<AtomicBool>) -> Result<Self, JournalError> {
        file::make_directory(path)?;
        let lock = Lock::take(path)?;
        let connection = file::open(path)?;
        Ok(Self { connection, path: path.to_owned(), refusing, _lock: Some(lock) })
    }

    /// In memory.
    pub(super) fn in_memory(refusing: Arc<AtomicBool>) -> rusqlite::Result<Self> {
        Ok(Self { connection: file::in_memory()?, path: PathBuf::from(":memory:"), refusing, _lock: None })
    }

    /// Appends one batch, alone.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<Vec<Entry>, JournalError> {
        let mut entries = self.append_all(&[batch])?;
        Ok(entries.pop().unwrap_or_default())
    }

    /// Appends all batches in one transaction, or none of them. Durable when it returns.
    pub(super) fn append_all(&mut self, batches: &[&Batch]) -> Result<Vec<Vec<Entry>>, JournalError> {
        if self.refusing.load(Ordering::Relaxed) {
            let source = io::Error::new(io::ErrorKind::StorageFull, "writes are refused by a test");
            return Err(JournalError::Full { path: self.path.clone(), source: source.into() });
        }
        let path = &self.path;
        let failed = |error| JournalError::sqlite(path, WRITE, error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let newest: i64 = transaction
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM events")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(failed)?;
        let mut next = newest + 1;
        let mut written = Vec::with_capacity(batches.len());
        for batch in batches {
            written.push(write(path, &transaction, batch, &mut next)?);
        }
        transaction.commit().map_err(failed)?;
        Ok(written)
    }

    /// The records of live sessions, in the order they were opened.
    pub(super) fn live(&self) -> Result<Vec<Record>, JournalError> {
        self.replay("SELECT id FROM sessions WHERE closed IS NULL ORDER BY opened", -1)
    }

    /// The records of the sessions closed last, newest first.
    pub(super) fn closed(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.replay("SELECT id FROM sessions WHERE closed IS NOT NULL ORDER BY closed DESC LIMIT ?1", limit)
    }

    /// The sessions closed at `at` or later, in that order.
    pub(super) fn closed_since(&self, at: Timestamp) -> Result<Vec<SessionId>, JournalError> {
        let query = "SELECT id FROM sessions JOIN events ON events.seq = sessions.closed \
                     WHERE sessions.closed IS NOT NULL AND events.at >= ?1 ORDER BY sessions.closed";
        self.ids(query, at.as_millis())
    }

    /// Every record, in the order the sessions were opened.
    pub(super) fn all(&self) -> Result<Vec<Record>, JournalError> {
        self.replay("SELECT id FROM sessions ORDER BY opened", -1)
    }

    /// One record.
    pub(super) fn record(&self, id: &SessionId) -> Result<Option<Record>, JournalError> {
        Ok(replay::fold(&self.entries(id)?))
    }

    /// One session's entries, in order; empty for a session that never was.
    pub(super) fn entries(&self, id: &SessionId) -> Result<Vec<Entry>, JournalError> {
        let failed = |error| JournalError::sqlite(&self.path, "read", error);
        let known: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT last, sum FROM sessions WHERE id = ?1")
            .and_then(|mut find| find.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(failed)?;
        let Some((last, sum)) = known else { return Ok(Vec::new()) };
        let mut read = self
            .connection
            .prepare_cached("SELECT seq, at, kind, payload FROM events WHERE session = ?1 ORDER BY seq")
            .map_err(failed)?;
        let mut rows = read.query([id.as_str()]).map_err(failed)?;
        let mut entries = Vec::new();
        let (mut chain, mut newest) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(failed)? {
            let (seq, at): (i64, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let payload = row.get_ref(3).and_then(|text| Ok(text.as_str()?)).map_err(failed)?;
            chain = link(&chain, seq, at, payload);
            newest = seq;
            let seq = u64::try_from(seq).unwrap_or(0);
            let event = serde_json::from_str(payload).map_err(|error| {
                let kind: String = row.get(2).unwrap_or_default();
                if kind::KNOWN.contains(&kind.as_str()) {
                    let what = format!("event {seq} ({kind}) of {id} cannot be read: {error}");
                    JournalError::Damaged { path: self.path.clone(), what }
                } else {
                    JournalError::UnknownEvent { path: self.path.clone(), kind, seq }
                }
            })?;
            entries.push(Entry { seq, session: id.clone(), at: Timestamp::from_millis(at), event });
        }
        if (newest, &chain) != (last, &sum) {
            let what = format!("events of {id} are missing or were changed");
            return Err(JournalError::Damaged { path: self.path.clone(), what });
        }
        Ok(entries)
    }

    /// Checks the file's structure, its indexes and every session's chain.
    pub(super) fn check(&self) -> Result<Check, JournalError> {
        let failed = |error| JournalError::sqlite(&self.path, "read", error);
        let verdict: String =
            self.connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(failed)?;
        if verdict != "ok" {
            return Err(JournalError::Damaged { path: self.path.clone(), what: verdict });
        }
        let mut check = Check { sessions: 0, events: 0 };
        for id in self.ids("SELECT id FROM sessions ORDER BY opened", -1)? {
            check.sessions += 1;
            check.events += self.entries(&id)?.len() as u64;
        }
        let events: i64 =
            self.connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).map_err(failed)?;
        if u64::try_from(events) != Ok(check.events) {
            let what = "it holds events of no session".to_owned();
            return Err(JournalError::Damaged { path: self.path.clone(), what });
        }
        Ok(check)
    }

    /// Moves everything into the main file and closes it; the lock is free afterwards.
    pub(super) fn close(self) -> Result<(), JournalError> {
        let Store { connection, path, _lock, .. } = self;
        let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = connection.close().map_err(|(_, error)| error);
        // What is in the write-ahead file is durable too: a failed checkpoint loses nothing.
        checkpoint.and(closed).map_err(|error| JournalError::sqlite(&path, "close", error))
    }

    fn replay(&self, query: &str, limit: i64) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for id in self.ids(query, limit)? {
            let record = self.record(&id)?.ok_or_else(|| {
                let what = format!("the first event of {id} does not open it");
                JournalError::Damaged { path: self.path.clone(), what }
            })?;
            records.push(record);
        }
        Ok(records)
    }

    fn ids(&self, query: &str, parameter: i64) -> Result<Vec<SessionId>, JournalError> {
        let failed = |error| JournalError::sqlite(&self.path, "read", error);
        let mut statement = self.connection.prepare_cached(query).map_err(failed)?;
        let texts: Vec<String> = if statement.parameter_count() == 0 {
            statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?
        } else {
            statement.query_map([parameter], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?
        };
        texts
            .into_iter()
            .map(|text| {
                text.parse().map_err(|_| JournalError::Damaged {
                    path: self.path.clone(),
                    what: format!("{text:?} is no session id"),
                })
            })
            .collect()
    }
}

/// Writes one batch within a transaction and moves its session's row on.
fn write(
    path: &Path,
    transaction: &Transaction<'_>,
    batch: &Batch,
    next: &mut i64,
) -> Result<Vec<Entry>, JournalError> {
    let failed = |error| JournalError::sqlite(path, WRITE, error);
    let refused = |what: &str| JournalError::Refused { session: batch.session.clone(), what: what.to_owned() };
    let id = batch.session.as_str();
    let known: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT sum FROM sessions WHERE id = ?1")
        .and_then(|mut find| find.query_row([id], |row| row.get(0)).optional())
        .map_err(failed)?;
    let mut sum = known.clone().unwrap_or_default();
    if known.is_none() {
        let Some((_, Event::Opened { name, .. })) = batch.rows.first() else {
            return if batch.rows.is_empty() {
                Ok(Vec::new())
            } else {
                Err(refused("its first event does not open it"))
            };
        };
        transaction
            .prepare_cached("INSERT INTO sessions (id, name, opened, last, sum) VALUES (?1, ?2, ?3, ?3, x'')")
            .and_then(|mut open| open.execute(params![id, name, *next]))
            .map_err(failed)?;
    }
    let mut entries = Vec::with_capacity(batch.rows.len());
    let mut closed = None;
    for (place, (payload, event)) in batch.rows.iter().enumerate() {
        if matches!(event, Event::Opened { .. }) && (known.is_some() || place > 0) {
            return Err(refused("it is open already"));
        }
        let (seq, at) = (*next, batch.at.as_millis());
        transaction
            .prepare_cached("INSERT INTO events (seq, session, at, kind, payload) VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut insert| insert.execute(params![seq, id, at, kind::of(event), payload]))
            .map_err(failed)?;
        sum = link(&sum, seq, at, payload);
        if matches!(event, Event::Closed { .. }) {
            closed = Some(seq);
        }
        let entry = Entry {
            seq: u64::try_from(seq).unwrap_or(0),
            session: batch.session.clone(),
            at: batch.at,
            event: event.clone(),
        };
        entries.push(entry);
        *next += 1;
    }
    if !entries.is_empty() {
        transaction
            .prepare_cached("UPDATE sessions SET last = ?2, sum = ?3, closed = coalesce(closed, ?4) WHERE id = ?1")
            .and_then(|mut update| update.execute(params![id, *next - 1, sum, closed]))
            .map_err(failed)?;
    }
    Ok(entries)
}

/// The next link of a session's chain.
fn link(before: &[u8], seq: i64, at: i64, payload: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(seq.to_be_bytes());
    hash.update(at.to_be_bytes());
    hash.update(payload.as_bytes());
    hash.finalize().to_vec()
}

#[cfg(test)]
impl Store {
    /// For tests that need what SQLite itself does.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }
}
