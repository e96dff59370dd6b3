//! What many sessions cost together, by session, owner, group or item, and over time.
//!
//! Guarantees: every cut adds up to the total, and the total to what the sessions' own meters say of the same stretch,
//! to the nano-dollar. An instant belongs to the stretch that begins with it. A session that is closed costs nothing
//! after its end, whenever it is asked about.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::{
    Basis, Bucket, CostLine, CostQuery, CostReport, Cut, Money, RateCard, Record, Share, Slice, Span, Timestamp,
};

use super::accrual::lines_between;

/// The most stretches that one report has.
const MOST_SLICES: usize = 1_000;

/// A session is heard of at most so long after it began to cost: clocks differ, and metered hours are whole ones.
const EARLY: Span = Span::from_mins(24 * 60);

/// Why there is no such report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Its end is not after its beginning.
    #[error("nothing lies between {since} and {until}: give a beginning before the end")]
    Backwards {
        /// The beginning.
        since: Timestamp,
        /// The end.
        until: Timestamp,
    },
    /// It would have too many stretches.
    #[error(
        "from {since} to {until} there are more than {MOST_SLICES} stretches of one {}: ask for longer ones, or a shorter time",
        bucket.name()
    )]
    TooFine {
        /// The beginning.
        since: Timestamp,
        /// The end.
        until: Timestamp,
        /// The stretches asked for.
        bucket: Bucket,
    },
}

/// The last instant before `at`: where a stretch that ends at `at` is cut.
pub(super) fn before(at: Timestamp) -> Timestamp {
    at - Span::from_millis(1)
}

/// An instant of a session's own time: nothing of it happens after its end.
pub(super) fn within(record: &Record, at: Timestamp) -> Timestamp {
    record.closed_at.map_or(at, |closed| at.min(closed))
}

/// Where a report that goes on until now is cut: a clock that is behind the journal stops no meter.
pub(super) fn present(record: &Record, now: Timestamp) -> Timestamp {
    within(record, now.max(record.heard_at))
}

/// What these sessions cost. `card` prices what a session has no price of its own for.
///
/// # Errors
/// [`ReportError`] when the question has no sensible answer.
pub fn report<'r>(
    records: impl IntoIterator<Item = &'r Record> + Clone,
    card: &RateCard,
    query: &CostQuery,
    now: Timestamp,
) -> Result<CostReport, ReportError> {
    let (bucket, zone) = (query.bucket, query.zone);
    let first = records.clone().into_iter().map(|record| record.opened_at).min().unwrap_or(now);
    let until = query.until.filter(|until| *until < now).unwrap_or(now);
    let since = query.since.unwrap_or_else(|| bucket.begin(first.min(until), zone));
    if until < since || (until == since && query.until.is_some()) {
        return Err(ReportError::Backwards { since, until });
    }
    let mut report = Parts::new(query.by, stretches(query, since, until)?);
    for record in records {
        let cuts: Vec<Timestamp> = report
            .slices
            .iter()
            .map(|slice| if slice.until == now { present(record, now) } else { within(record, before(slice.until)) })
            .collect();
        let mut from = query.since.map_or_else(Timestamp::default, |since| within(record, before(since)));
        // Empty stretches before its birth need no look; should anything be in them all the same, it is not lost.
        for (place, cut) in cuts.into_iter().enumerate().skip_while(|(_, cut)| *cut + EARLY < record.opened_at) {
            if from < cut {
                for line in lines_between(record, card, from, cut) {
                    report.take(place, record, line);
                }
                from = cut;
            }
        }
    }
    Ok(report.finish(query, since, until))
}

/// Every stretch from `since` to `until`; the first and the last may be cut short.
fn stretches(query: &CostQuery, since: Timestamp, until: Timestamp) -> Result<Vec<Slice>, ReportError> {
    let mut slices = Vec::new();
    let mut from = since;
    while from < until || slices.is_empty() {
        if slices.len() == MOST_SLICES {
            return Err(ReportError::TooFine { since, until, bucket: query.bucket });
        }
        let next = query.bucket.next(query.bucket.begin(from, query.zone), query.zone).min(until);
        slices.push(Slice { from, until: next, amount: Money::ZERO, shares: Vec::new() });
        from = next;
    }
    Ok(slices)
}

/// A report in the making.
struct Parts {
    by: Cut,
    slices: Vec<Slice>,
    /// By slice and part.
    in_slice: Vec<BTreeMap<String, Money>>,
    /// By part: amount, basis, sessions.
    parts: BTreeMap<String, (Money, Basis, BTreeSet<String>)>,
    sessions: BTreeSet<String>,
    live: BTreeSet<String>,
}

impl Parts {
    fn new(by: Cut, slices: Vec<Slice>) -> Self {
        let in_slice = vec![BTreeMap::new(); slices.len()];
        let (parts, sessions, live) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { by, slices, in_slice, parts, sessions, live }
    }

    fn take(&mut self, place: usize, record: &Record, line: CostLine) {
        let id = record.id.to_string();
        let name = match self.by {
            Cut::Session => id.clone(),
            Cut::Owner => record.owner.clone(),
            Cut::Group => record.group.clone(),
            Cut::Item => line.item.clone(),
        };
        *self.in_slice[place].entry(name.clone()).or_default() += line.amount;
        self.slices[place].amount += line.amount;
        let part = self.parts.entry(name).or_default();
        part.0 += line.amount;
        // Credits have no price that could be unsure.
        if line.billed_as.is_some() {
            part.1 = part.1.max(line.basis);
        }
        part.2.insert(id.clone());
        if !record.is_closed() {
            self.live.insert(id.clone());
        }
        self.sessions.insert(id);
    }

    fn finish(mut self, query: &CostQuery, since: Timestamp, until: Timestamp) -> CostReport {
        for (slice, shares) in self.slices.iter_mut().zip(self.in_slice) {
            slice.shares = shares.into_iter().filter(|(_, amount)| *amount != Money::ZERO).collect();
        }
        let shares = self.parts.into_iter();
        let shares =
            shares.map(|(name, (amount, basis, sessions))| Share { name, amount, sessions: sessions.len(), basis });
        let mut shares: Vec<Share> = shares.collect();
        shares.sort_by_key(|share| std::cmp::Reverse(share.amount));
        CostReport {
            since,
            until,
            by: query.by,
            bucket: query.bucket,
            zone: query.zone,
            total: self.slices.iter().map(|slice| slice.amount).sum(),
            basis: shares.iter().map(|share| share.basis).max().unwrap_or_default(),
            shares,
            slices: self.slices,
            sessions: self.sessions.len(),
            live: self.live.len(),
        }
    }
}
