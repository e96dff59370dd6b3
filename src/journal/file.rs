//! The journal's file: how it is made, recognised, and refused.
//!
//! A new journal is made whole under another name and then renamed, so that a file under the journal's own
//! name is either a complete journal or not ours. A file is looked at byte by byte before SQLite may open
//! it, and checked before anything may be written: what is refused is left as it was.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    error::{JournalError, WRITE},
    kind,
    lock::with_suffix,
};

/// `LABG`: SQLite's `application_id` of every labguard journal.
pub(super) const APPLICATION_ID: u32 = 0x4C41_4247;

/// The format this version writes: SQLite's `user_version`.
pub(super) const FORMAT: u32 = 1;

/// The tables. Events cannot be changed or deleted, not even by hand without dropping a trigger.
const SCHEMA: &str = "
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    opened INTEGER NOT NULL,      -- number of its first event
    closed INTEGER,               -- number of its closing event
    last INTEGER NOT NULL,        -- number of its newest event
    sum BLOB NOT NULL             -- SHA-256 chained over its events
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id),
    at INTEGER NOT NULL,          -- UTC milliseconds since 1970
    kind TEXT NOT NULL,           -- the event's name, for queries
    payload TEXT NOT NULL         -- the event as JSON
) STRICT;
CREATE INDEX events_by_session ON events (session, seq);
CREATE INDEX sessions_live ON sessions (opened) WHERE closed IS NULL;
CREATE INDEX sessions_closed ON sessions (closed) WHERE closed IS NOT NULL;
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_hold BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
";

/// Makes the directory of the journal, for its owner only, where there is none.
pub(super) fn make_directory(journal: &Path) -> Result<(), JournalError> {
    let Some(parent) = journal.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(parent).map_err(|error| JournalError::io(parent, "make the directory of", error))
}

/// Opens the journal at `path`, or makes it. The caller holds its lock.
pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    match File::open(path) {
        Ok(file) => recognise(path, file)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if with_suffix(path, "-wal").exists() {
                let what = "its -wal file is there but the journal itself is not".to_owned();
                return Err(JournalError::Damaged { path: path.to_owned(), what });
            }
            create(path)?;
        }
        Err(error) => return Err(JournalError::io(path, "open", error)),
    }
    let connection = Connection::open_with_flags(path, flags()).map_err(|e| JournalError::sqlite(path, "open", e))?;
    examine(path, &connection)?;
    Ok(connection)
}

/// A journal in memory, of the same tables.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Looks at the first hundred bytes, by SQLite's file format; nothing is opened for writing.
fn recognise(path: &Path, mut file: File) -> Result<(), JournalError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let foreign = |what: &str| Err(JournalError::Foreign { path: path.to_owned(), what: what.to_owned() });
    let damaged = |what: &str| Err(JournalError::Damaged { path: path.to_owned(), what: what.to_owned() });
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return foreign("it is not a file");
    }
    let mut header = Vec::with_capacity(100);
    file.by_ref().take(100).read_to_end(&mut header).map_err(|error| JournalError::io(path, "read", error))?;
    if header.is_empty() {
        return damaged("it is empty");
    }
    let common = header.len().min(MAGIC.len());
    if header[..common] != MAGIC[..common] {
        return foreign("it is no SQLite file");
    }
    let number = |at: usize| header.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes);
    let (Some(format), Some(application)) = (number(60), number(68)) else {
        return damaged("it ends within its header");
    };
    if header.len() < 100 {
        return damaged("it ends within its header");
    }
    if application != APPLICATION_ID {
        return foreign("it is the SQLite file of another program");
    }
    if format > FORMAT {
        return Err(JournalError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(())
}

/// Makes a whole journal under another name, then gives it its own.
fn create(path: &Path) -> Result<(), JournalError> {
    let draft = with_suffix(path, ".new");
    for leftover in
        [draft.clone(), with_suffix(&draft, "-wal"), with_suffix(&draft, "-shm"), with_suffix(&draft, "-journal")]
    {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(JournalError::io(&leftover, WRITE, error)),
            _ => {}
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&draft).map_err(|error| JournalError::io(path, "create", error))?;
    let made = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&draft, flags())?;
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        connection.execute_batch(&format!(
            "BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, error)| error)
    };
    made().map_err(|error| JournalError::sqlite(path, WRITE, error))?;
    let settled = || -> std::io::Result<()> {
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, path)?;
        // The name is durable only with its directory.
        #[cfg(unix)]
        File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    };
    settled().map_err(|error| JournalError::io(path, "create", error))
}

/// Sets the connection up and checks the whole file; until all is well, nothing may reach the main file.
fn examine(path: &Path, connection: &Connection) -> Result<(), JournalError> {
    let failed = |error| JournalError::sqlite(path, "read", error);
    let damaged = |what: String| JournalError::Damaged { path: path.to_owned(), what };
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(failed)?;
    // Exclusive: nobody else writes, and no shared-memory file is needed (one thing less on a full disk).
    for (name, value) in [("locking_mode", "EXCLUSIVE"), ("synchronous", "FULL"), ("temp_store", "MEMORY")] {
        connection.pragma_update(None, name, value).map_err(failed)?;
    }
    for (name, value) in [("foreign_keys", true), ("cell_size_check", true), ("trusted_schema", false)] {
        connection.pragma_update(None, name, value).map_err(failed)?;
    }
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(failed);
    if number("application_id")? != APPLICATION_ID {
        return Err(damaged("its mark has changed".to_owned()));
    }
    let found = number("user_version")?;
    if found > FORMAT {
        return Err(JournalError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(damaged(format!("its journal mode is {mode}")));
    }
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    known_events_only(path, connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    Ok(())
}

/// A later version of the same format may have added events; without them, replay would be wrong.
fn known_events_only(path: &Path, connection: &Connection) -> Result<(), JournalError> {
    let read = || -> rusqlite::Result<Option<(String, i64)>> {
        let mut statement = connection.prepare("SELECT kind, min(seq) FROM events GROUP BY kind ORDER BY 2")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if !kind::KNOWN.contains(&name.as_str()) {
                return Ok(Some((name, row.get(1)?)));
            }
        }
        Ok(None)
    };
    match read().map_err(|error| JournalError::sqlite(path, "read", error))? {
        None => Ok(()),
        Some((kind, seq)) => {
            Err(JournalError::UnknownEvent { path: path.to_owned(), kind, seq: u64::try_from(seq).unwrap_or(0) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use super::*;
    use crate::{
        domain::model::{Entry, Timestamp},
        journal::{
            sample,
            store::{Batch, Store},
        },
    };

    fn append(
        store: &mut Store,
        number: u64,
        events: &[crate::domain::model::Event],
    ) -> Result<Vec<Entry>, JournalError> {
        store.append(&Batch::new(&sample::session(number), Timestamp::from_millis(7), events)?)
    }

    fn reopen(path: &Path) -> Result<Store, JournalError> {
        Store::open(path, Arc::default())
    }

    /// A journal of three sessions as a power cut would leave it: part in the main file, part in the write-ahead file.
    fn torn(dir: &Path) -> (PathBuf, Vec<u8>, Vec<u8>, Vec<Entry>) {
        let path = dir.join("source.db");
        let mut store = reopen(&path).unwrap();
        let mut entries = Vec::new();
        for number in 0..3 {
            entries.extend(append(&mut store, number, &sample::one_of_each()[..12]).unwrap());
        }
        store.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        for number in 0..3 {
            entries.extend(append(&mut store, number, &sample::one_of_each()[12..]).unwrap());
        }
        let (main, wal) = (fs::read(&path).unwrap(), fs::read(with_suffix(&path, "-wal")).unwrap());
        (dir.join("torn.db"), main, wal, entries)
    }

    /// Opens what is left: a refusal, or all entries up to some point.
    fn prefix_or_refusal(path: &Path, all: &[Entry]) -> Option<usize> {
        let store = match reopen(path) {
            Ok(store) => store,
            Err(JournalError::Damaged { .. } | JournalError::Foreign { .. } | JournalError::Io { .. }) => return None,
            Err(other) => panic!("an unexpected refusal: {other}"),
        };
        let mut found: Vec<Entry> =
            match (0..3).map(|number| store.entries(&sample::session(number))).collect::<Result<Vec<_>, _>>() {
                Ok(found) => found.into_iter().flatten().collect(),
                Err(JournalError::Damaged { .. }) => return None,
                Err(other) => panic!("an unexpected refusal: {other}"),
            };
        found.sort_by_key(|entry| entry.seq);
        assert_eq!(found, all[..found.len()], "what is left is not a prefix");
        Some(found.len())
    }

    #[test]
    fn a_write_ahead_file_cut_anywhere_leaves_a_clean_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let (path, main, wal, all) = torn(dir.path());
        let mut lengths = std::collections::BTreeSet::new();
        for cut in (0..=wal.len()).step_by(613).chain([wal.len()]) {
            fs::write(&path, &main).unwrap();
            fs::write(with_suffix(&path, "-wal"), &wal[..cut]).unwrap();
            lengths.insert(prefix_or_refusal(&path, &all).expect("the main file alone is a journal"));
        }
        assert_eq!(lengths.first(), Some(&36));
        assert_eq!(lengths.last(), Some(&all.len()));
    }

    #[test]
    fn a_main_file_cut_anywhere_is_a_clean_prefix_or_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, main, _, all) = torn(dir.path());
        for cut in (0..main.len()).step_by(509).chain([1, 16, 99, 100, 4096, main.len() - 1]) {
            fs::write(&path, &main[..cut]).unwrap();
            if prefix_or_refusal(&path, &all).is_none() {
                assert_eq!(fs::read(&path).unwrap(), main[..cut], "a refused file was changed (cut at {cut})");
            }
            let _ = fs::remove_file(with_suffix(&path, "-wal"));
        }
    }

    #[test]
    fn a_flipped_byte_is_never_replayed_as_if_it_were_true() {
        let dir = tempfile::tempdir().unwrap();
        let (path, main, _, all) = torn(dir.path());
        let mut refused = 0;
        for place in (100..main.len()).step_by(331) {
            let mut bytes = main.clone();
            bytes[place] ^= 0x41;
            fs::write(&path, &bytes).unwrap();
            match reopen(&path).and_then(|store| store.check().map(|_| store)) {
                Err(_) => refused += 1,
                Ok(store) => {
                    let mut found = Vec::new();
                    for number in 0..3 {
                        found.extend(store.entries(&sample::session(number)).unwrap());
                    }
                    found.sort_by_key(|entry| entry.seq);
                    assert_eq!(found, all[..36], "byte {place}");
                }
            }
            let _ = fs::remove_file(with_suffix(&path, "-wal"));
        }
        assert!(refused > 0);
    }

    #[test]
    fn foreign_files_are_refused_and_left_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let other = dir.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        for bytes in [b"dear diary".to_vec(), vec![7; 4096], fs::read(&other).unwrap()] {
            fs::write(&path, &bytes).unwrap();
            let refused = reopen(&path).unwrap_err();
            assert!(matches!(refused, JournalError::Foreign { .. }), "{refused}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(reopen(&path).is_err());
    }

    #[test]
    fn an_empty_file_or_a_lone_write_ahead_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        fs::write(&path, b"").unwrap();
        assert!(matches!(reopen(&path), Err(JournalError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        fs::write(with_suffix(&path, "-wal"), b"anything").unwrap();
        assert!(matches!(reopen(&path), Err(JournalError::Damaged { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_draft_that_a_crash_left_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        fs::write(with_suffix(&path, ".new"), b"half of it").unwrap();
        append(&mut reopen(&path).unwrap(), 1, &[sample::opened()]).unwrap();
        assert!(!with_suffix(&path, ".new").exists());
    }

    #[test]
    fn newer_formats_and_unknown_events_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut store = reopen(&path).unwrap();
        append(&mut store, 1, &[sample::opened()]).unwrap();
        store
            .connection()
            .execute("INSERT INTO events SELECT 2, session, at, 'teleported', '{}' FROM events", [])
            .unwrap();
        store.close().unwrap();
        let refused = reopen(&path).unwrap_err();
        assert!(refused.to_string().contains("\"teleported\", number 2"), "{refused}");

        Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
        let refused = reopen(&path).unwrap_err();
        assert!(matches!(refused, JournalError::Newer { found: 2, known: 1, .. }), "{refused}");
    }

    #[test]
    fn events_cannot_be_changed_and_a_row_changed_by_force_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut store = reopen(&path).unwrap();
        append(&mut store, 1, &sample::one_of_each()).unwrap();
        let sql = store.connection();
        assert!(sql.execute("DELETE FROM events WHERE seq = 5", []).is_err());
        assert!(sql.execute("UPDATE events SET at = 8 WHERE seq = 5", []).is_err());
        store.check().unwrap();
        sql.execute_batch("DROP TRIGGER events_stay; DELETE FROM events WHERE seq = 5").unwrap();
        assert!(matches!(store.check(), Err(JournalError::Damaged { .. })));
        assert!(matches!(store.record(&sample::session(1)), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn a_disk_that_sqlite_finds_full_takes_nothing_and_works_again_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = reopen(&dir.path().join("journal.db")).unwrap();
        append(&mut store, 1, &[sample::opened()]).unwrap();
        let pages: u32 = store.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        store.connection().query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        let long = crate::domain::model::Event::Announced { url: "x".repeat(100_000) };
        let full = append(&mut store, 1, std::slice::from_ref(&long)).unwrap_err();
        assert!(full.may_pass(), "{full}");
        assert_eq!(store.entries(&sample::session(1)).unwrap().len(), 1);
        store.connection().query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
        append(&mut store, 1, &[long]).unwrap();
        assert_eq!(store.check().unwrap().events, 2);
    }
}
