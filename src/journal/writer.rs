//! The one thread that owns the journal's file.
//!
//! Group commit: all appends that wait when the thread is free go into one transaction, so that many
//! sessions share one flush to disk. When a group fails, each of its appends is tried alone: one that
//! cannot be written takes no other with it.

use std::{io, thread};

use tokio::sync::{mpsc, oneshot};

use super::{
    error::JournalError,
    store::{Batch, Store},
};
use crate::domain::model::Entry;

/// At most that many appends share a transaction.
const GROUP: usize = 256;

/// Where the outcome of an append goes.
type Reply = oneshot::Sender<Result<Vec<Entry>, JournalError>>;

/// What the thread is asked.
pub(super) enum Command {
    /// Append, and answer when it is durable.
    Append(Batch, Reply),
    /// Look something up; the closure answers by itself.
    Read(Box<dyn FnOnce(&Store) + Send>),
    /// Finish what was asked before, close the file, release the lock.
    Close(oneshot::Sender<Result<(), JournalError>>),
}

/// Starts the thread. It ends when it is closed or the last sender is gone.
pub(super) fn start(store: Store) -> io::Result<mpsc::Sender<Command>> {
    let (sender, receiver) = mpsc::channel(4 * GROUP);
    thread::Builder::new().name("labguard-journal".to_owned()).spawn(move || run(store, receiver))?;
    Ok(sender)
}

fn run(mut store: Store, mut commands: mpsc::Receiver<Command>) {
    let mut held = None;
    while let Some(command) = held.take().or_else(|| commands.blocking_recv()) {
        match command {
            Command::Append(batch, reply) => {
                let mut group = vec![(batch, reply)];
                while group.len() < GROUP {
                    match commands.try_recv() {
                        Ok(Command::Append(batch, reply)) => group.push((batch, reply)),
                        Ok(other) => {
                            held = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                append(&mut store, group);
            }
            Command::Read(read) => read(&store),
            Command::Close(reply) => {
                commands.close();
                // Sent before the channel was closed: still promised.
                while let Some(late) = commands.blocking_recv() {
                    match late {
                        Command::Append(batch, reply) => append(&mut store, vec![(batch, reply)]),
                        Command::Read(read) => read(&store),
                        Command::Close(other) => drop(other.send(Ok(()))),
                    }
                }
                // Whoever asked may be gone; there is nobody else to tell.
                drop(reply.send(store.close()));
                return;
            }
        }
    }
}

fn append(store: &mut Store, group: Vec<(Batch, Reply)>) {
    let batches: Vec<&Batch> = group.iter().map(|(batch, _)| batch).collect();
    match store.append_all(&batches) {
        Ok(written) => {
            for ((_, reply), entries) in group.into_iter().zip(written) {
                // An asker that went away (a crash of the engine) finds its events at replay.
                drop(reply.send(Ok(entries)));
            }
        }
        Err(error) => {
            let mut first = (group.len() == 1).then_some(error);
            for (batch, reply) in group {
                let outcome = first.take().map_or_else(|| store.append(&batch), Err);
                drop(reply.send(outcome));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::model::{Event, Timestamp},
        journal::sample,
    };

    fn ask(number: u64, event: Event) -> (Command, oneshot::Receiver<Result<Vec<Entry>, JournalError>>) {
        let (reply, answer) = oneshot::channel();
        let batch = Batch::new(&sample::session(number), Timestamp::from_millis(7), &[event]).unwrap();
        (Command::Append(batch, reply), answer)
    }

    #[test]
    fn a_group_is_answered_one_by_one_and_what_was_asked_before_closing_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let (sender, receiver) = mpsc::channel(9);
        let (first, first_answer) = ask(1, sample::opened());
        let (wrong, wrong_answer) = ask(2, Event::Resumed);
        let (gone, gone_answer) = ask(3, sample::opened());
        drop(gone_answer);
        let (close, closed) = oneshot::channel();
        let (late, late_answer) = ask(4, sample::opened());
        for command in [first, wrong, gone, Command::Close(close), late] {
            sender.try_send(command).unwrap();
        }
        run(Store::open(&path, Arc::default()).unwrap(), receiver);

        assert_eq!(first_answer.blocking_recv().unwrap().unwrap()[0].seq, 1);
        assert!(matches!(wrong_answer.blocking_recv().unwrap(), Err(JournalError::Refused { .. })));
        assert_eq!(late_answer.blocking_recv().unwrap().unwrap()[0].seq, 3);
        closed.blocking_recv().unwrap().unwrap();
        let again = Store::open(&path, Arc::default()).unwrap();
        assert_eq!(again.check().unwrap().events, 3, "also that of the asker who went away");
    }
}
