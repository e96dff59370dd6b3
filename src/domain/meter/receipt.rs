//! The closing account: every resource from birth to proven death, and every line of cost.

use crate::domain::model::{Life, Money, RateCard, Receipt, ReceiptResource, Record, Timestamp};

use super::accrual::ledger;

/// The account of a session as it stands at `now`; final once the session is closed.
#[must_use]
pub fn receipt(record: &Record, card: &RateCard, now: Timestamp) -> Receipt {
    let ended_at = record.closed_at.unwrap_or(now);
    let ledger = ledger(record, card, ended_at);
    let resources = record
        .resources
        .iter()
        .map(|(key, resource)| ReceiptResource {
            key: *key,
            name: resource.name.clone(),
            id: resource.id.clone(),
            ours: resource.ours,
            born_at: resource.live_at,
            gone_at: resource.gone_at.filter(|_| resource.life == Life::Gone && resource.unproven.is_none()),
            remark: resource.unproven.clone(),
        })
        .collect();
    let clean = record.clean_passes >= 2 && record.ours_left().next().is_none() && record.unproven().next().is_none();
    Receipt {
        session: record.id.clone(),
        name: record.name.clone(),
        owner: record.owner.clone(),
        group: record.group.clone(),
        identity: record.identity.clone(),
        cause: record.ending.as_ref().map(|ending| ending.cause),
        cause_detail: record.ending.as_ref().map(|ending| ending.detail.clone()).unwrap_or_default(),
        opened_at: record.opened_at,
        ended_at,
        restarts: record.restarts,
        resources,
        lines: ledger.lines,
        total: ledger.total,
        budget: budget(record),
        rates_as_of: record.prices.last().map_or(card, |(_, card)| card.as_ref()).describe(),
        proven_clean: clean,
        billed: record.billed.clone(),
    }
}

/// The budget with its extensions, from the policy as journalled.
fn budget(record: &Record) -> Money {
    let amount = |pointer: &str| {
        let text = record.policy.pointer(pointer)?.as_str()?;
        text.parse::<Money>().ok()
    };
    let base = amount("/limits/budget").unwrap_or(Money::ZERO);
    let most = amount("/limits/max_budget").unwrap_or(base).max(base);
    (base + record.extensions.budget).min(most)
}
