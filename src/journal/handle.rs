//! The journal's one interface.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use super::{
    error::JournalError,
    store::{Batch, Check, Store},
    writer::{self, Command},
};
use crate::{
    clock::Clock,
    domain::model::{Entry, Event, Record, SessionId, Timestamp},
};

/// Which sessions' records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that live, in the order they were opened. Closed ones are not replayed.
    Open,
    /// Those closed last, newest first.
    Closed {
        /// At most that many.
        limit: usize,
    },
    /// All, in the order they were opened.
    All,
}

/// A handle to one journal; clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    clock: Clock,
    refusing: Arc<AtomicBool>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A thread of its own owns the file.
    File(mpsc::Sender<Command>),
    /// In memory, done within the call: nothing is scheduled, so that simulated runs always go the same way.
    Memory(Arc<Mutex<Option<Store>>>),
}

impl Journal {
    /// Opens the journal at `path`, or makes it (and its directory, for the owner only).
    ///
    /// Blocks for as long as the disk takes; it checks the whole file.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process has it; [`JournalError::Foreign`],
    /// [`JournalError::Damaged`], [`JournalError::Newer`], [`JournalError::UnknownEvent`] when the file is
    /// refused (and left as it was); [`JournalError::Full`] or [`JournalError::Io`] when the disk says no.
    pub fn open(path: &Path, clock: Clock) -> Result<Journal, JournalError> {
        let refusing = Arc::new(AtomicBool::new(false));
        let store = Store::open(path, Arc::clone(&refusing))?;
        let sender = writer::start(store).map_err(|error| JournalError::io(path, "start the writer of", error))?;
        Ok(Self { clock, refusing, kind: Kind::File(sender) })
    }

    /// A journal in memory, on the same tables, for simulations and tests.
    ///
    /// It has no thread and survives whoever uses it for as long as a clone of the handle does; closing it
    /// does nothing, so that the "next process" can go on with it.
    ///
    /// Should memory be wanting even for that, it is closed from the start.
    #[must_use]
    pub fn in_memory(clock: Clock) -> Journal {
        let refusing = Arc::new(AtomicBool::new(false));
        let store = Store::in_memory(Arc::clone(&refusing)).ok();
        Self { clock, refusing, kind: Kind::Memory(Arc::new(Mutex::new(store))) }
    }

    /// Appends one session's events, all or none, stamped with the clock's time. Durable when it returns.
    ///
    /// What it returns is what replay will read: take it in with [`advance`](super::advance). When the caller
    /// is dropped while waiting, the events may be in the journal or not, as with a crash.
    ///
    /// # Errors
    /// [`JournalError::Refused`] unless a session's first event, and no other, is `Opened`;
    /// [`JournalError::Full`] when the disk took nothing; [`JournalError::Closed`] after
    /// [`close`](Self::close); [`JournalError::Io`] and [`JournalError::Damaged`] as they come.
    pub async fn append(&self, session: &SessionId, events: Vec<Event>) -> Result<Vec<Entry>, JournalError> {
        let batch = Batch::new(session, self.clock.now(), &events)?;
        match &self.kind {
            Kind::Memory(store) => {
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                store.as_mut().ok_or(JournalError::Closed)?.append(&batch)
            }
            Kind::File(writer) => {
                let (reply, answer) = oneshot::channel();
                writer.send(Command::Append(batch, reply)).await.map_err(|_| JournalError::Closed)?;
                answer.await.map_err(|_| JournalError::Closed)?
            }
        }
    }

    /// The records of some sessions, by replay.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when events are missing or changed, [`JournalError::UnknownEvent`],
    /// [`JournalError::Closed`], [`JournalError::Io`].
    pub async fn records(&self, which: Which) -> Result<Vec<Record>, JournalError> {
        self.read(move |store| match which {
            Which::Open => store.live(),
            Which::Closed { limit } => store.closed(limit),
            Which::All => store.all(),
        })
        .await
    }

    /// One session's record, by replay; `None` for a session that never was.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub async fn record(&self, id: &SessionId) -> Result<Option<Record>, JournalError> {
        let id = id.clone();
        self.read(move |store| store.record(&id)).await
    }

    /// Which sessions were closed at `at` or later, in that order. Their records are asked for one by one, so that appends
    /// do not wait for all of them.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub async fn closed_since(&self, at: Timestamp) -> Result<Vec<SessionId>, JournalError> {
        self.read(move |store| store.closed_since(at)).await
    }

    /// One session's entries, in order; empty for a session that never was.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub async fn entries(&self, id: &SessionId) -> Result<Vec<Entry>, JournalError> {
        let id = id.clone();
        self.read(move |store| store.entries(&id)).await
    }

    /// Checks everything: the file's structure, its indexes, and that no event is missing or changed.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub async fn check(&self) -> Result<Check, JournalError> {
        self.read(Store::check).await
    }

    /// Finishes what was asked before, moves everything into the main file and releases the lock.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Full`] when the file cannot be tidied; nothing that was
    /// appended is lost by that. Closing twice is fine.
    pub async fn close(&self) -> Result<(), JournalError> {
        let Kind::File(writer) = &self.kind else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        if writer.send(Command::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// For tests of a full disk: while on, every append fails with [`JournalError::Full`] and writes nothing.
    pub fn refuse_writes(&self, on: bool) {
        self.refusing.store(on, Ordering::Relaxed);
    }

    async fn read<T, F>(&self, look: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, JournalError> + Send + 'static,
    {
        match &self.kind {
            Kind::Memory(store) => {
                let store = store.lock().unwrap_or_else(PoisonError::into_inner);
                look(store.as_ref().ok_or(JournalError::Closed)?)
            }
            Kind::File(writer) => {
                let (reply, answer) = oneshot::channel();
                let read = Command::Read(Box::new(move |store| drop(reply.send(look(store)))));
                writer.send(read).await.map_err(|_| JournalError::Closed)?;
                answer.await.map_err(|_| JournalError::Closed)?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::{advance, sample};

    fn now<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn at_home() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/journal.db");
        (dir, path)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn replay_comes_to_the_record_that_live_writes_made(appends in prop::collection::vec((0..3u64, sample::any_events(8)), 1..12)) {
            now(async {
                let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
                let journal = Journal::in_memory(clock);
                let mut live = [None, None, None];
                for (number, mut events) in appends {
                    let record = &mut live[number as usize];
                    if record.is_none() {
                        events.insert(0, sample::opened());
                    }
                    for entry in journal.append(&sample::session(number), events).await.unwrap() {
                        advance(record, &entry);
                    }
                }
                for (number, record) in live.iter().enumerate() {
                    prop_assert_eq!(&journal.record(&sample::session(number as u64)).await.unwrap(), record);
                }
                let closed = live.iter().flatten().filter(|record| record.is_closed()).count();
                let all = live.iter().flatten().count();
                prop_assert_eq!(journal.records(Which::Open).await.unwrap().len(), all - closed);
                prop_assert_eq!(journal.records(Which::Closed { limit: 9 }).await.unwrap().len(), closed);
                prop_assert_eq!(journal.check().await.unwrap().sessions, all as u64);
                Ok(())
            })?;
        }
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_closing_and_opening_again() {
        let (_dir, path) = at_home();
        let journal = Journal::open(&path, Clock::System).unwrap();
        let id = sample::session(1);
        let written = journal.append(&id, sample::one_of_each()).await.unwrap();
        assert_eq!(
            written.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
            (1..=written.len() as u64).collect::<Vec<_>>()
        );
        journal.close().await.unwrap();
        assert!(matches!(journal.append(&id, vec![]).await, Err(JournalError::Closed)));
        journal.close().await.unwrap();
        assert!(!crate::journal::lock::with_suffix(&path, "-wal").exists(), "nothing is left in the write-ahead file");

        let again = Journal::open(&path, Clock::System).unwrap();
        assert_eq!(again.entries(&id).await.unwrap(), written);
        assert_eq!(again.records(Which::Open).await.unwrap(), vec![]);
        assert_eq!(again.records(Which::All).await.unwrap().len(), 1);
        let next = again.append(&sample::session(2), vec![sample::opened()]).await.unwrap();
        assert_eq!(next[0].seq, written.len() as u64 + 1, "numbers go on");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn directory_and_file_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, path) = at_home();
        let journal = Journal::open(&path, Clock::System).unwrap();
        journal.append(&sample::session(1), vec![sample::opened()]).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }

    #[tokio::test]
    async fn a_second_opener_is_refused_until_the_first_has_closed() {
        let (_dir, path) = at_home();
        let first = Journal::open(&path, Clock::System).unwrap();
        let refused = Journal::open(&path, Clock::System).unwrap_err();
        assert!(refused.to_string().contains(&format!("(pid {})", std::process::id())), "{refused}");
        first.close().await.unwrap();
        Journal::open(&path, Clock::System).unwrap();
    }

    #[tokio::test]
    async fn many_sessions_append_at_once_and_none_is_lost() {
        let (_dir, path) = at_home();
        let journal = Journal::open(&path, Clock::System).unwrap();
        let appends = (0..200).map(|number| {
            let journal = journal.clone();
            async move {
                let id = sample::session(number);
                journal.append(&id, vec![sample::opened()]).await?;
                journal.append(&id, vec![Event::Resumed]).await
            }
        });
        let mut numbers: Vec<u64> =
            futures::future::try_join_all(appends).await.unwrap().into_iter().map(|entries| entries[0].seq).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 200);
        let check = journal.check().await.unwrap();
        assert_eq!((check.sessions, check.events), (200, 400));
    }

    #[tokio::test]
    async fn an_append_that_is_refused_takes_no_other_with_it() {
        let (_dir, path) = at_home();
        let journal = Journal::open(&path, Clock::System).unwrap();
        let (good, bad) = (sample::session(1), sample::session(2));
        let (kept, refused) =
            tokio::join!(journal.append(&good, vec![sample::opened()]), journal.append(&bad, vec![Event::Resumed]));
        kept.unwrap();
        assert!(matches!(refused, Err(JournalError::Refused { .. })));
        assert!(matches!(journal.append(&good, vec![sample::opened()]).await, Err(JournalError::Refused { .. })));
        assert_eq!(journal.check().await.unwrap().events, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_found_by_when_they_were_closed() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let journal = Journal::in_memory(clock.clone());
        let (early, late, live) = (sample::session(1), sample::session(2), sample::session(3));
        let closed = || Event::Closed { receipt: serde_json::Value::Null };
        for id in [&late, &early, &live] {
            journal.append(id, vec![sample::opened()]).await.unwrap();
        }
        journal.append(&early, vec![closed()]).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        journal.append(&late, vec![closed()]).await.unwrap();
        assert_eq!(journal.closed_since(Timestamp::default()).await.unwrap(), [early, late.clone()]);
        assert_eq!(journal.closed_since(clock.now()).await.unwrap(), [late]);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart_and_passes() {
        let journal = Journal::in_memory(Clock::System);
        let id = sample::session(1);
        journal.refuse_writes(true);
        let full = journal.append(&id, vec![sample::opened()]).await.unwrap_err();
        assert!(full.may_pass(), "{full}");
        assert_eq!(journal.record(&id).await.unwrap(), None);
        journal.refuse_writes(false);
        journal.append(&id, vec![sample::opened()]).await.unwrap();
    }
}
