//! What a session has cost by any instant, by line (aws-facts §2.3).
//!
//! A task is billed from the start of its image pull to STOPPED, by the second rounded up, for a minute at least. Where
//! AWS has not said when that was, the earliest it can have been is taken; a task whose creation is not known to have
//! failed is counted from its intent. So spend is never under-counted. Each use is billed by the price in force at the
//! time; a change of price cuts it in two. Amounts are rounded up once for each use and price, never for each look, so
//! that what was spent between instants adds up to what was spent in all.

use crate::domain::{
    model::{
        Basis, CostLine, Item, Money, RateCard, Record, ResourceKey, ResourceKind, Span, TaskSize, Timestamp, Units,
    },
    policy::Policy,
};

use super::{
    insights,
    usage::{self, Flow, Terms, Use},
};

/// Spend by line. The lines add up to `total` exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Every line of cost.
    pub lines: Vec<CostLine>,
    /// Their sum.
    pub total: Money,
    /// What an hour costs as things stand now.
    pub rate_per_hour: Money,
}

/// A use at one price, over one stretch of time.
struct Piece<'p, 'r> {
    used: &'p Use<'r>,
    units: u64,
    from: Timestamp,
    until: Timestamp,
    card: &'p RateCard,
    amount: Money,
}

/// `now` by the clock that the record has been billed by: it never goes back, and what was set back is counted on.
fn billed_at(record: &Record, at: Timestamp) -> Timestamp {
    at.max(record.heard_at) + record.set_back
}

/// An instant of a stretch, by the same clock: the present moves with what was set back, the past stays where it was.
fn placed(record: &Record, at: Timestamp) -> Timestamp {
    if at >= record.heard_at { billed_at(record, at) } else { at }
}

/// Every use at every price it was billed by, between two instants. `fallback` prices what came before the first card.
fn pieces<'r>(
    record: &'r Record,
    fallback: &RateCard,
    from: Timestamp,
    until: Timestamp,
    mut take: impl FnMut(Piece<'_, 'r>),
) {
    let cards = &record.prices;
    for used in usage::of(record) {
        // The first card is in force from the beginning.
        for place in 0..cards.len().max(1) {
            let card = cards.get(place).map_or(fallback, |(_, card)| card.as_ref());
            let begin = if place == 0 { Timestamp::default() } else { cards[place].0 };
            let end = cards.get(place + 1).map_or(Timestamp::MAX, |(next, _)| *next);
            let (cut_from, cut_until) = (from.max(begin), until.min(end));
            if cut_until < cut_from || (place > 0 && cut_until == cut_from) {
                continue;
            }
            let before = if place == 0 { 0 } else { used.by(begin) };
            let card = if card.price(used.item).is_some() { card } else { fallback };
            let price = card.amount(used.item);
            let by = |at: Timestamp| {
                let units = used.by(at).saturating_sub(before);
                (units, price.fraction_ceil(u128::from(units), u128::from(used.per)))
            };
            let (units, amount) = by(cut_until);
            let (known, paid) = if cut_from == Timestamp::default() { (0, Money::ZERO) } else { by(cut_from) };
            let (units, amount) = (units - known.min(units), amount.less(paid));
            if units > 0 {
                take(Piece { used: &used, units, from: cut_from, until: cut_until, card, amount });
            }
        }
    }
}

/// Whether AWS's always-free allowances cover it. Container Insights makes more metrics than they do.
fn is_free(used: &Use<'_>) -> bool {
    allowed(used.item) && used.key.is_none_or(|key| key.kind != ResourceKind::InsightsLog)
}

/// Whether AWS's always-free allowances cover it (aws-facts §2.2): ten metrics, a million requests, five GB of logs,
/// a hundred GB of data sent, 14 million schedules that were due. They are the account's, not the session's; a session alone stays far below them.
const fn allowed(item: Item) -> bool {
    matches!(
        item,
        Item::Metric
            | Item::MetricRequests
            | Item::LogsIngested
            | Item::LogsStored
            | Item::DataOut
            | Item::ScheduleInvocations
    )
}

/// The amount of a piece by the session's accounting.
fn charged(record: &Record, piece: &Piece<'_, '_>) -> Money {
    if record.accounting.free_tier && is_free(piece.used) { Money::ZERO } else { piece.amount }
}

/// Spend by `now` and its present rate per hour: the sums of [`ledger`] without its lines, for every turn.
#[must_use]
pub fn spend(record: &Record, card: &RateCard, now: Timestamp) -> (Money, Money) {
    let until = billed_at(record, now);
    let mut gross = Money::ZERO;
    pieces(record, card, Timestamp::default(), until, |piece| gross += charged(record, &piece));
    (gross.less(record.accounting.credits), rate(record, card))
}

/// What was spent from one instant to another. Adjacent stretches add up exactly.
#[must_use]
pub fn spent_between(record: &Record, card: &RateCard, from: Timestamp, until: Timestamp) -> Money {
    if until <= from {
        return Money::ZERO;
    }
    let by = |at: Timestamp| {
        let mut gross = Money::ZERO;
        pieces(record, card, Timestamp::default(), at, |piece| gross += charged(record, &piece));
        gross.less(record.accounting.credits)
    };
    by(placed(record, until)).less(by(placed(record, from)))
}

/// What an hour costs as things stand, by the prices of now.
pub(super) fn rate(record: &Record, card: &RateCard) -> Money {
    let accounting = &record.accounting;
    usage::of(record)
        .filter(|used| !(accounting.free_tier && is_free(used)))
        .map(|used| card.amount(used.item).fraction_ceil(u128::from(used.hourly()), u128::from(used.per)))
        .sum()
}

/// What one resource costs per hour as things stand.
#[must_use]
pub fn rate_of(record: &Record, key: ResourceKey, card: &RateCard) -> Money {
    usage::of(record)
        .filter(|used| used.key == Some(key))
        .map(|used| card.amount(used.item).fraction_ceil(u128::from(used.hourly()), u128::from(used.per)))
        .sum()
}

/// What a session has cost by `now`, line by line.
#[must_use]
pub fn ledger(record: &Record, card: &RateCard, now: Timestamp) -> Ledger {
    let lines = lines_of(record, card, Timestamp::default(), billed_at(record, now));
    let total = lines.iter().map(|line| line.amount).sum();
    Ledger { lines, total, rate_per_hour: rate(record, card) }
}

/// The lines of cost from one instant to another. The lines of adjacent stretches add up exactly.
#[must_use]
pub fn lines_between(record: &Record, card: &RateCard, from: Timestamp, until: Timestamp) -> Vec<CostLine> {
    lines_of(record, card, placed(record, from), placed(record, until))
}

fn lines_of(record: &Record, card: &RateCard, from: Timestamp, until: Timestamp) -> Vec<CostLine> {
    let mut lines = Vec::new();
    pieces(record, card, from, until, |piece| {
        let free = record.accounting.free_tier && is_free(piece.used);
        let remark = if free { " (free tier)" } else { "" };
        lines.push(CostLine { amount: charged(record, &piece), ..line(piece, remark) });
    });
    let credits = |at: Timestamp| {
        let mut gross = Money::ZERO;
        pieces(record, card, Timestamp::default(), at, |piece| gross += charged(record, &piece));
        gross.min(record.accounting.credits)
    };
    if record.accounting.credits > Money::ZERO {
        let before = if from == Timestamp::default() { Money::ZERO } else { credits(from) };
        let used = credits(until).less(before);
        if used > Money::ZERO {
            lines.push(CostLine {
                key: None,
                item: "credits".to_owned(),
                billed_as: None,
                quantity: String::new(),
                units: Units::default(),
                from: None,
                until: None,
                unit_price: Money::ZERO,
                unit: String::new(),
                basis: Basis::Given,
                amount: Money::from_nanos(-used.nanos()),
            });
        }
    }
    lines
}

fn line(piece: Piece<'_, '_>, remark: &str) -> CostLine {
    let Piece { used, units, from, until, card, amount } = piece;
    let price = card.price(used.item);
    let basis = price.map_or(Basis::Unpriced, |price| price.basis);
    let guessed = matches!(used.item, Item::LogsIngested | Item::DataOut) || matches!(used.flow, Flow::Hours { .. });
    let assumed = if guessed { ", assumed" } else { "" };
    let (from, until) = match used.flow {
        Flow::Time { from: born, until: gone, .. } | Flow::Hours { from: born, until: gone, .. } => {
            (from.max(born), gone.map_or(until, |gone| gone.min(until)))
        }
        Flow::Count(counts, _) => (counts.keys().next().copied().map_or(from, |first| from.max(first)), until),
    };
    CostLine {
        key: used.key,
        item: format!("{}{assumed}{}{remark}", used.item, basis.remark()),
        billed_as: Some(used.item),
        quantity: used.quantity(units),
        units: Units { of: units, per: used.per },
        from: Some(from),
        until: Some(until.max(from)),
        unit_price: price.map_or(Money::ZERO, |price| price.amount),
        unit: used.item.unit().to_owned(),
        basis,
        amount,
    }
}

/// What labguard itself uses in an hour, and has made for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// PutMetricData calls.
    pub calls: u64,
    /// Hours of its own metrics.
    pub metric_hours: u64,
    /// Metrics asked for.
    pub metrics_read: u64,
    /// Whether Container Insights is on, and if so, of a service.
    pub insights: Option<bool>,
}

impl Own {
    /// Items with their units, and how many make one unit of the price.
    const fn counted(self) -> [(Item, u64, u64); 3] {
        [
            (Item::Metric, self.metric_hours, 730),
            (Item::MetricRequests, self.calls, 1000),
            (Item::MetricReads, self.metrics_read, 1000),
        ]
    }

    fn of_insights(self) -> impl Iterator<Item = Use<'static>> {
        let key = ResourceKey::only(ResourceKind::InsightsLog);
        let uses = self.insights.map(|service| insights::uses(Some(key), service, Timestamp::default(), None));
        uses.into_iter().flatten().flatten()
    }
}

/// The lines of one more hour of one task by policy, of labguard's own use, and of nothing else.
pub(super) fn hour_of(policy: &Policy, card: &RateCard, tasks: u32, own: Own) -> Vec<CostLine> {
    let (from, until) = (Timestamp::default(), Timestamp::default() + Span::from_mins(60));
    let terms = Terms::by(policy);
    let free = |used: &Use<'_>| terms.accounting.free_tier && is_free(used);
    let mut lines = Vec::new();
    let mut push = |used: &Use<'_>, units: u64, count: u32| {
        let price = card.amount(used.item);
        let one = price.fraction_ceil(u128::from(units), u128::from(used.per)).times(i64::from(count));
        let amount = if free(used) { Money::ZERO } else { one };
        let piece = Piece { used, units, from, until, card, amount };
        let mut line = line(piece, if free(used) { " (free tier)" } else { "" });
        if count != 1 {
            line.quantity = format!("{count} × {}", line.quantity);
            line.units.of = line.units.of.saturating_mul(u64::from(count));
        }
        lines.push(line);
    };
    for used in usage::of_task(terms, None, &policy.task.size, from, None).iter().flatten() {
        push(used, used.by(until), tasks);
    }
    for used in own.of_insights() {
        push(&used, used.by(until), 1);
    }
    let none = std::collections::BTreeMap::new();
    for (item, units, per) in own.counted() {
        if units > 0 {
            push(&Use { key: None, item, flow: Flow::Count(&none, |_| 0), per }, units, 1);
        }
    }
    lines
}

/// What [`hour_of`] adds up to, without its lines: for every turn and every sum.
pub(super) fn hourly(policy: &Policy, card: &RateCard, tasks: u32, own: Own) -> Money {
    let terms = Terms::by(policy);
    let priced = |item, units: u64, per: u64| card.amount(item).fraction_ceil(u128::from(units), u128::from(per));
    let counted = own.counted().into_iter().filter(|(item, ..)| !(terms.accounting.free_tier && allowed(*item)));
    let insights = own.of_insights().filter(|used| !(terms.accounting.free_tier && is_free(used)));
    task_rate(terms, &policy.task.size, card).times(i64::from(tasks))
        + counted.map(|(item, units, per)| priced(item, units, per)).sum::<Money>()
        + insights.map(|used| priced(used.item, used.hourly(), used.per)).sum::<Money>()
}

fn task_rate(terms: Terms, size: &TaskSize, card: &RateCard) -> Money {
    usage::of_task(terms, None, size, Timestamp::default(), None)
        .iter()
        .flatten()
        .filter(|used| !(terms.accounting.free_tier && is_free(used)))
        .map(|used| card.amount(used.item).fraction_ceil(u128::from(used.hourly()), u128::from(used.per)))
        .sum()
}

/// What ending now will still cost: every task that may exist, for its stop time-out and AWS's own latency
/// (`end.stop_allowance`).
#[must_use]
pub fn teardown_cost(record: &Record, policy: &Policy, card: &RateCard) -> Money {
    let drain = drain(policy);
    let alive = record.tasks().filter(|(_, task)| task.life.may_exist());
    alive
        .map(|(_, task)| {
            task_rate(Terms::of(record), &task.size.unwrap_or(policy.task.size), card).per_hour_over(drain)
        })
        .sum()
}

/// From StopTask to the end of billing, at most, by policy.
pub(super) fn drain(policy: &Policy) -> Span {
    policy.task.stop_timeout + policy.end.stop_allowance
}
