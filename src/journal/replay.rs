//! From events to a record: the one way, for replay and for live writes.

use crate::domain::model::{Entry, Record};

/// Takes one journalled entry into what is known of its session.
///
/// Start with `None`. The first entry of a session opens its record; an entry that cannot (an event other
/// than `Opened`) leaves it `None`.
pub fn advance(record: &mut Option<Record>, entry: &Entry) {
    match record {
        Some(record) => record.apply(entry.at, &entry.event),
        None => *record = Record::open(entry.session.clone(), entry.at, &entry.event),
    }
}

/// What a session's entries, in order, add up to.
pub(super) fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Record> {
    let mut record = None;
    for entry in entries {
        advance(&mut record, entry);
    }
    record
}
