//! What a session has cost by now (aws-facts §2.3).
//!
//! A task is billed from the start of its image pull to STOPPED, by the second rounded up, for a minute
//! at least. Where AWS has not said when that was, the earliest it can have been is taken; a task whose
//! creation is not known to have failed is counted from its intent. So spend is never under-counted.

use crate::domain::{
    model::{CostLine, Life, Money, Record, Resource, ResourceKey, Span, TaskSize, Timestamp},
    policy::Policy,
};

use super::rate_card::RateCard;

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

/// Fargate's minimum charge: one minute (Linux).
pub(super) const MINIMUM_SECS: u64 = 60;

/// The included ephemeral storage, GiB.
const INCLUDED_STORAGE: u32 = 20;

/// For how long a task is billed by `now`, in seconds; zero if it never came to be.
fn billed_secs(task: &Resource, now: Timestamp) -> u64 {
    if task.life == Life::Never {
        return 0;
    }
    let facts = task.task.as_ref();
    let start = facts
        .and_then(|facts| facts.pull_started_at.or(facts.created_at).or(facts.started_at))
        .unwrap_or(task.intended_at);
    let end = facts.and_then(|facts| facts.stopped_at).or(task.gone_at).unwrap_or(now);
    end.since(start).as_secs_ceil().max(MINIMUM_SECS)
}

/// What a task costs over `secs`: vCPU, memory, storage above the included, public address.
fn amounts(size: &TaskSize, public_ip: bool, secs: u64, card: &RateCard) -> [Money; 4] {
    let price = card.compute(size);
    let secs = u128::from(secs);
    let extra = u128::from(size.storage.saturating_sub(INCLUDED_STORAGE));
    [
        price.vcpu_hour.fraction_ceil(u128::from(size.cpu) * secs, 1024 * 3600),
        price.gb_hour.fraction_ceil(u128::from(size.memory) * secs, 1024 * 3600),
        card.storage_gb_hour.fraction_ceil(extra * secs, 3600),
        if public_ip { card.ipv4_hour.fraction_ceil(secs, 3600) } else { Money::ZERO },
    ]
}

/// Spend by `now` and its present rate per hour: the sums of [`ledger`] without its lines, for every turn.
#[must_use]
pub fn spend(record: &Record, card: &RateCard, now: Timestamp) -> (Money, Money) {
    let public_ip = public_ip(record);
    let (mut total, mut rate) = (Money::ZERO, Money::ZERO);
    for (_, task) in record.tasks() {
        let size = task.size.unwrap_or(TaskSize::SMALLEST);
        total += amounts(&size, public_ip, billed_secs(task, now), card).into_iter().sum();
        if task.life.may_exist() {
            rate += hourly_rate(&size, public_ip, card);
        }
    }
    total += card.metric_month.fraction_ceil(u128::from(record.metric_hours), 730);
    total += card.thousand_requests.fraction_ceil(u128::from(record.put_metric_calls), 1000);
    (total, rate)
}

/// The lines of one task of `size` over `secs` seconds, public address included where there may be one.
pub(super) fn task_lines(
    key: Option<ResourceKey>,
    size: &TaskSize,
    public_ip: bool,
    secs: u64,
    card: &RateCard,
) -> Vec<CostLine> {
    let price = card.compute(size);
    let estimated = if size.spot { " (Spot, estimated)" } else { "" };
    let [vcpu, memory, storage, address] = amounts(size, public_ip, secs, card);
    let line = |item: String, quantity: String, unit_price: Money, unit: &str, amount: Money| CostLine {
        key,
        item,
        quantity,
        unit_price,
        unit: unit.to_owned(),
        amount,
    };
    let mut lines = vec![
        line(
            format!("Fargate vCPU{estimated}"),
            format!("{} vCPU × {secs} s", thousandths(size.cpu)),
            price.vcpu_hour,
            "vCPU-hour",
            vcpu,
        ),
        line(
            format!("Fargate memory{estimated}"),
            format!("{} GB × {secs} s", thousandths(size.memory)),
            price.gb_hour,
            "GB-hour",
            memory,
        ),
    ];
    let extra = size.storage.saturating_sub(INCLUDED_STORAGE);
    if extra > 0 {
        let quantity = format!("{extra} GB × {secs} s");
        lines.push(line("ephemeral storage".to_owned(), quantity, card.storage_gb_hour, "GB-hour", storage));
    }
    if public_ip {
        let quantity = format!("1 address × {secs} s");
        lines.push(line("public IPv4 address".to_owned(), quantity, card.ipv4_hour, "address-hour", address));
    }
    lines
}

/// `n / 1024` with up to three decimals, for people; integer arithmetic only.
fn thousandths(units: u32) -> String {
    let thousandths = u64::from(units) * 1000 / 1024;
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a task of `size` costs per hour.
#[must_use]
pub fn hourly_rate(size: &TaskSize, public_ip: bool, card: &RateCard) -> Money {
    amounts(size, public_ip, 3600, card).into_iter().sum()
}

/// Whether tasks of this session may have a public address: always, unless its policy says no.
fn public_ip(record: &Record) -> bool {
    record.policy.pointer("/network/public_ip").and_then(serde_json::Value::as_bool).unwrap_or(true)
}

/// What a session has cost by `now`, line by line.
#[must_use]
pub fn ledger(record: &Record, card: &RateCard, now: Timestamp) -> Ledger {
    let public_ip = public_ip(record);
    let mut lines = Vec::new();
    let mut rate_per_hour = Money::ZERO;
    for (key, task) in record.tasks() {
        let size = task.size.unwrap_or(TaskSize::SMALLEST);
        let secs = billed_secs(task, now);
        if secs > 0 {
            lines.extend(task_lines(Some(key), &size, public_ip, secs, card));
        }
        if task.life.may_exist() {
            rate_per_hour += hourly_rate(&size, public_ip, card);
        }
    }
    lines.extend(metric_lines(record.put_metric_calls, record.metric_hours, card));
    let total = lines.iter().map(|line| line.amount).sum();
    Ledger { lines, total, rate_per_hour }
}

/// labguard's own use of CloudWatch.
pub(super) fn metric_lines(calls: u64, metric_hours: u64, card: &RateCard) -> Vec<CostLine> {
    let line =
        |item: &str, quantity: String, unit_price: Money, unit: &str, numerator: u64, denominator: u128| CostLine {
            key: None,
            item: item.to_owned(),
            quantity,
            unit_price,
            unit: unit.to_owned(),
            amount: unit_price.fraction_ceil(u128::from(numerator), denominator),
        };
    let mut lines = Vec::new();
    if metric_hours > 0 {
        let quantity = format!("{metric_hours} metric-hours");
        lines.push(line("CloudWatch metrics", quantity, card.metric_month, "metric-month", metric_hours, 730));
    }
    if calls > 0 {
        let quantity = format!("{calls} requests");
        lines.push(line("CloudWatch PutMetricData", quantity, card.thousand_requests, "1000 requests", calls, 1000));
    }
    lines
}

/// What ending now will still cost: every task that may exist, for its stop time-out and AWS's own latency
/// (`end.stop_allowance`).
#[must_use]
pub fn teardown_cost(record: &Record, policy: &Policy, card: &RateCard) -> Money {
    let drain = drain(policy);
    let public_ip = public_ip(record);
    record
        .tasks()
        .filter(|(_, task)| task.life.may_exist())
        .map(|(_, task)| hourly_rate(&task.size.unwrap_or(policy.task.size), public_ip, card).per_hour_over(drain))
        .sum()
}

/// From StopTask to the end of billing, at most, by policy.
pub(super) fn drain(policy: &Policy) -> Span {
    policy.task.stop_timeout + policy.end.stop_allowance
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::model::{Event, SessionId, TaskFacts, TaskStatus};

    fn record() -> Record {
        let event = Event::Opened {
            name: "a".into(),
            owner: "o".into(),
            policy: serde_json::json!({"network": {"public_ip": true}}),
            overshoot: Money::ZERO,
        };
        Record::open(SessionId::new("a", 1), at(0), &event).unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + secs * 1000)
    }

    fn seen(pull: Option<i64>, stopped: Option<i64>) -> Event {
        let mut facts = TaskFacts::new("arn:1");
        facts.created_at = Some(at(0));
        facts.pull_started_at = pull.map(at);
        facts.stopped_at = stopped.map(at);
        facts.status = if stopped.is_some() { TaskStatus::Stopped } else { TaskStatus::Running };
        Event::TaskSeen { key: ResourceKey::task(1), facts, size: TaskSize::SMALLEST }
    }

    #[test]
    fn an_hour_of_the_smallest_task_costs_what_aws_facts_works_out() {
        let mut record = record();
        record.apply(at(0), &seen(Some(10), Some(3610)));
        let ledger = ledger(&record, &RateCard::us_east_1(), at(9_999));
        assert_eq!(ledger.total.exact(), "0.0173425 USD");
        assert_eq!(ledger.rate_per_hour, Money::ZERO, "a stopped task costs nothing more");
        assert_eq!(ledger.lines[0].quantity, "0.25 vCPU × 3600 s");
    }

    #[test]
    fn a_second_is_billed_as_a_minute_and_an_unknown_outcome_from_its_intent() {
        let card = RateCard::us_east_1();
        let mut short = record();
        short.apply(at(0), &seen(Some(10), Some(11)));
        let minute = hourly_rate(&TaskSize::SMALLEST, true, &card).per_hour_over(Span::from_secs(60));
        let total = ledger(&short, &card, at(9_999)).total;
        assert!(total >= minute && total.nanos() - minute.nanos() < 3, "{total:?} for {minute:?}");

        let mut unknown = record();
        unknown.apply(
            at(0),
            &Event::Intended {
                key: ResourceKey::task(1),
                action: crate::domain::model::Action::Create,
                name: "t".into(),
                size: Some(TaskSize::SMALLEST),
            },
        );
        assert!(ledger(&unknown, &card, at(3600)).total.exact() == "0.0173425 USD");
        unknown.apply(at(3600), &Event::Vanished { key: ResourceKey::task(1) });
        assert_eq!(ledger(&unknown, &card, at(3600)).total, Money::ZERO, "it never came to be");
    }

    #[test]
    fn labguards_own_metrics_are_counted() {
        let mut record = record();
        record.apply(at(0), &Event::Metered { put_metric_calls: 1000, metric_hours: 730 });
        assert_eq!(ledger(&record, &RateCard::us_east_1(), at(0)).total.exact(), "0.31 USD");
    }

    proptest! {
        #[test]
        fn spend_never_falls_as_time_passes_and_the_lines_add_up(
            pull in proptest::option::of(-100i64..100), a in -500i64..100_000, b in 0i64..100_000,
            calls in 0u64..10_000, hours in 0u64..10_000,
        ) {
            let card = RateCard::us_east_1();
            let mut record = record();
            record.apply(at(0), &seen(pull, None));
            record.apply(at(0), &Event::Metered { put_metric_calls: calls, metric_hours: hours });
            let (early, late) = (ledger(&record, &card, at(a)), ledger(&record, &card, at(a + b)));
            prop_assert_eq!(spend(&record, &card, at(a + b)), (late.total, late.rate_per_hour));
            prop_assert!(early.total <= late.total);
            prop_assert_eq!(late.lines.iter().map(|line| line.amount).sum::<Money>(), late.total);
        }
    }
}
