//! A session's lines of cost, cut where a bill is cut: at the end of each month (UTC).
//!
//! Guarantees: the charges of a session add up to its ledger to the nano-dollar; each lies within one month.

use crate::domain::model::{Bucket, Charge, CostLine, RateCard, Record, Span, TimeZone, Timestamp};

use super::{
    accrual::lines_between,
    report::{before, present, within},
};

/// The charges of one session between two instants; without `since` from its beginning, without `until` up to `now`.
#[must_use]
pub fn charges(
    record: &Record,
    card: &RateCard,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Charge> {
    let until = until.filter(|until| *until < now);
    let end = until.map_or_else(|| present(record, now), |until| within(record, before(until)));
    let mut from = since.map_or_else(Timestamp::default, |since| within(record, before(since)));
    // It may have begun to cost a little before it was heard of, by another clock.
    let first = since.unwrap_or(record.opened_at - Span::from_mins(24 * 60));
    let mut month = Bucket::Month.begin(first.min(end), TimeZone::UTC);
    let mut charges = Vec::new();
    while from < end {
        let next = Bucket::Month.next(month, TimeZone::UTC);
        let cut = before(next).min(end);
        if from < cut {
            let lines = lines_between(record, card, from, cut);
            charges.extend(lines.into_iter().map(|line| charge(record, card, (month, next), since, line)));
            from = cut;
        }
        if next == Timestamp::MAX {
            break;
        }
        month = next;
    }
    charges
}

fn charge(
    record: &Record,
    card: &RateCard,
    month: (Timestamp, Timestamp),
    since: Option<Timestamp>,
    line: CostLine,
) -> Charge {
    let resource = line.key.and_then(|key| record.resources.get(&key));
    let own = record.prices.last().map_or(card, |(_, card)| card.as_ref());
    // Stretches are cut an instant before they end; the bill names the end.
    let whole = |at: Timestamp| if at == before(month.1) { month.1 } else { at.min(month.1) };
    let least = month.0.max(since.unwrap_or_default());
    let from = line.from.unwrap_or(record.opened_at).clamp(least, month.1.max(least));
    let until = whole(line.until.unwrap_or_else(|| within(record, month.1)));
    Charge {
        session: record.id.clone(),
        name: record.name.clone(),
        owner: record.owner.clone(),
        group: record.group.clone(),
        account: record.identity.as_ref().map(|identity| identity.account.clone()),
        region: record.identity.as_ref().map_or(&own.region, |identity| &identity.region).clone(),
        month,
        from,
        until: until.max(from),
        resource_id: resource.and_then(|resource| resource.id.clone()),
        resource_name: resource.map(|resource| resource.name.clone()),
        line,
    }
}
