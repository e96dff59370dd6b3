//! Spend by hand, by property, and across what changes underneath it: prices, clocks, knowledge.

use std::sync::Arc;

use proptest::prelude::*;

use super::{RateBook, ledger, lines_between, rate_of, spend, spent_between};
use crate::domain::model::{
    Accounting, Action, Arch, Basis, Effect, Event, Item, Money, RateCard, Record, ResourceKey, ResourceKind,
    SessionId, Span, TaskFacts, TaskSize, TaskStatus, Timestamp, Units,
};

fn card() -> RateCard {
    RateBook::embedded().card("us-east-1")
}

fn opened(accounting: Accounting, public_ip: bool) -> Record {
    let event = Event::Opened {
        name: "a".into(),
        owner: "o".into(),
        group: String::new(),
        policy: serde_json::json!({"network": {"public_ip": public_ip}, "accounting": accounting}),
        overshoot: Money::ZERO,
    };
    Record::open(SessionId::new("a", 1), at(0), &event).unwrap()
}

fn record() -> Record {
    opened(Accounting::default(), true)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + secs * 1000)
}

fn seen_of(number: u32, size: TaskSize, pull: Option<i64>, stopped: Option<i64>) -> Event {
    let mut facts = TaskFacts::new(format!("arn:{number}"));
    facts.created_at = Some(at(0));
    facts.pull_started_at = pull.map(at);
    facts.stopped_at = stopped.map(at);
    facts.status = if stopped.is_some() { TaskStatus::Stopped } else { TaskStatus::Running };
    Event::TaskSeen { key: ResourceKey::task(number), facts, size }
}

fn seen(pull: Option<i64>, stopped: Option<i64>) -> Event {
    seen_of(1, TaskSize::SMALLEST, pull, stopped)
}

fn priced(card: Arc<RateCard>) -> Event {
    Event::Priced { card, overshoot: Money::ZERO }
}

fn total(record: &Record, now: i64) -> String {
    ledger(record, &card(), at(now)).total.exact()
}

/// Every case worked by hand from the prices of aws-facts §2.2 and the rules of §2.3.
#[test]
fn tasks_cost_what_a_hand_works_out() {
    let size = |cpu, memory, storage, arch, spot| TaskSize { cpu, memory, storage, arch, spot };
    let small = TaskSize::SMALLEST;
    type Case = (&'static str, TaskSize, bool, Option<i64>, Option<i64>, i64, &'static str);
    let cases: [Case; 14] = [
        // 0.25 × 0.04048 + 0.5 × 0.004445 + 0.005
        ("an hour of the smallest", small, true, Some(10), Some(3610), 9_999, "0.0173425 USD"),
        // 0.25 × 0.04048 + 0.5 × 0.004445
        ("without an address", small, false, Some(0), Some(3600), 3600, "0.0123425 USD"),
        // 0.04048 + 2 × 0.004445 + 0.005
        ("1 vCPU, 2 GB", size(1024, 2048, 20, Arch::X86_64, false), true, Some(0), Some(3600), 3600, "0.05437 USD"),
        // 4 × 0.04048 + 8 × 0.004445 + 0.005
        ("4 vCPU, 8 GB", size(4096, 8192, 20, Arch::X86_64, false), true, Some(0), Some(3600), 3600, "0.20248 USD"),
        // 0.25 × 0.03238 + 0.5 × 0.00356 + 0.005
        ("ARM", size(256, 512, 20, Arch::Arm64, false), true, Some(0), Some(3600), 3600, "0.014875 USD"),
        // 0.25 × 0.0127 + 0.5 × 0.00137 + 0.005
        ("Spot", size(256, 512, 20, Arch::X86_64, true), true, Some(0), Some(3600), 3600, "0.00886 USD"),
        // 0.0123425 + 10 × 0.000111
        ("storage", size(256, 512, 30, Arch::X86_64, false), false, Some(0), Some(3600), 3600, "0.0134525 USD"),
        // 60 s: ceil(0.01012 / 60) + ceil(0.0022225 / 60) + ceil(0.005 / 60)
        ("one second is a minute", small, true, Some(10), Some(11), 9_999, "0.000289043 USD"),
        ("a minute is a minute", small, true, Some(10), Some(70), 9_999, "0.000289043 USD"),
        // 61 s: ceil(171477.78) + ceil(37659.03) + ceil(84722.23)
        ("a minute and a second", small, true, Some(10), Some(71), 9_999, "0.000293861 USD"),
        ("not yet stopped", small, true, Some(0), None, 3600, "0.0173425 USD"),
        ("pull unknown: from its creation", small, true, None, Some(3600), 9_999, "0.0173425 USD"),
        ("begun this instant", small, true, Some(0), None, 0, "0.000289043 USD"),
        // 8760 h × 0.0173425
        ("forgotten for a year", small, true, Some(0), None, 31_536_000, "151.9203 USD"),
    ];
    for (name, size, public_ip, pull, stopped, now, expected) in cases {
        let mut record = opened(Accounting::default(), public_ip);
        record.apply(at(0), &seen_of(1, size, pull, stopped));
        assert_eq!(total(&record, now), expected, "{name}");
    }
}

#[test]
fn a_stopped_task_costs_nothing_more_and_its_line_says_what_was_counted() {
    let mut record = record();
    record.apply(at(0), &seen(Some(10), Some(3610)));
    let ledger = ledger(&record, &card(), at(9_999));
    assert_eq!(ledger.rate_per_hour, Money::ZERO);
    let vcpu = &ledger.lines[0];
    assert_eq!(vcpu.quantity, "0.25 vCPU × 3600 s");
    assert_eq!((vcpu.from, vcpu.until), (Some(at(10)), Some(at(3610))));
    assert_eq!(vcpu.units, Units { of: 256 * 3600, per: 1024 * 3600 });
}

#[test]
fn an_unknown_outcome_is_counted_from_its_intent_until_it_is_known_not_to_be() {
    let mut unknown = record();
    let intent = Event::Intended {
        key: ResourceKey::task(1),
        action: Action::Create,
        name: "t".into(),
        size: Some(TaskSize::SMALLEST),
    };
    unknown.apply(at(0), &intent);
    assert_eq!(total(&unknown, 3600), "0.0173425 USD");
    unknown.apply(at(3600), &Event::Vanished { key: ResourceKey::task(1) });
    assert_eq!(total(&unknown, 3600), "0.00 USD", "it never came to be");
}

#[test]
fn an_image_is_billed_by_its_size_from_its_birth_to_its_proven_death() {
    let mut record = record();
    let key = ResourceKey::only(ResourceKind::Image);
    record.apply(at(0), &Event::Intended { key, action: Action::Create, name: "app".into(), size: None });
    let made = Event::Done { key, action: Action::Create, effect: Effect::Created, id: Some("r@sha256:0".into()) };
    record.apply(at(0), &made);
    assert_eq!(total(&record, 2_628_000), "0.00 USD", "its size is not known");
    record.apply(at(0), &Event::Measured { key, bytes: 500_000_000 });
    // Half a GB for 730 hours at 0.10 a GB-month.
    assert_eq!(total(&record, 2_628_000), "0.05 USD");
    assert_eq!(rate_of(&record, key, &card()).nanos(), 68_494, "0.05 ÷ 730, rounded up");
    let gone = Event::Done { key, action: Action::Remove, effect: Effect::Removed, id: None };
    record.apply(at(1_314_000), &gone);
    assert_eq!(total(&record, 2_628_000), "0.025 USD");
    let mut theirs = record.clone();
    theirs.resources.get_mut(&key).unwrap().ours = false;
    assert_eq!(total(&theirs, 2_628_000), "0.00 USD", "what was there before is not this session's to pay");
}

#[test]
fn labguards_own_metrics_are_counted() {
    let mut record = record();
    record.apply(at(0), &Event::Metered { put_metric_calls: 1000, metric_hours: 730, metrics_read: 0 });
    assert_eq!(total(&record, 0), "0.31 USD");
    // aws-facts §2.3: 8 metrics × 2 h = 0.0066, 120 calls = 0.0012.
    let mut two_hours = self::record();
    two_hours.apply(at(0), &Event::Metered { put_metric_calls: 60, metric_hours: 8, metrics_read: 0 });
    two_hours.apply(at(3600), &Event::Metered { put_metric_calls: 60, metric_hours: 8, metrics_read: 0 });
    assert_eq!(total(&two_hours, 7200), "0.007775343 USD");
    let second = spent_between(&two_hours, &card(), at(3600), at(7200));
    assert_eq!(
        second + spent_between(&two_hours, &card(), Timestamp::default(), at(3600)),
        "0.007775343 USD".parse().unwrap()
    );
}

#[test]
fn what_is_only_known_later_is_assumed_as_the_policy_says_and_free_tier_and_credits_count_only_when_asked_for() {
    let assumed = Accounting { logs_mib_per_hour: 100, traffic_mib_per_hour: 1000, ..Accounting::default() };
    let run = |accounting| {
        let mut record = opened(accounting, true);
        record.apply(at(0), &seen(Some(0), Some(3600)));
        record.apply(at(0), &Event::Metered { put_metric_calls: 1000, metric_hours: 730, metrics_read: 0 });
        record
    };
    // 0.0173425 + 0.1 GB × 0.50 + 1 GB × 0.09 + 0.31
    assert_eq!(total(&run(assumed), 3600), "0.4673425 USD");
    let free = run(Accounting { free_tier: true, ..assumed });
    assert_eq!(total(&free, 3600), "0.0173425 USD");
    let lines = ledger(&free, &card(), at(3600)).lines;
    assert!(
        lines.iter().any(|line| line.item == "log data taken in, assumed (free tier)" && line.amount == Money::ZERO)
    );
    let paid = run(Accounting { credits: "0.40 USD".parse().unwrap(), ..assumed });
    assert_eq!(total(&paid, 3600), "0.0673425 USD");
    let rich = run(Accounting { credits: "9.00 USD".parse().unwrap(), ..assumed });
    assert_eq!(total(&rich, 3600), "0.00 USD", "never negative");
    let hourly = run(Accounting { ipv4_by_hour: true, ..Accounting::default() });
    let mut short = hourly.clone();
    short.apply(at(0), &seen(Some(0), Some(3601)));
    let address = |record: &Record| {
        let lines = ledger(record, &card(), at(9999)).lines;
        lines.into_iter().find(|line| line.billed_as == Some(Item::PublicIpv4)).unwrap().amount.exact()
    };
    assert_eq!([address(&hourly), address(&short)], ["0.005 USD", "0.01 USD"]);
}

#[test]
fn a_change_of_price_cuts_the_bill_in_two() {
    let mut record = record();
    let dear = |factor: i64| {
        let mut card = card();
        for price in card.prices.values_mut() {
            price.amount = price.amount.times(factor);
        }
        Arc::new(card)
    };
    record.apply(at(0), &priced(dear(1)));
    record.apply(at(0), &seen(Some(0), None));
    record.apply(at(1800), &priced(dear(3)));
    assert_eq!(total(&record, 1800), "0.00867125 USD", "the first half hour");
    assert_eq!(total(&record, 3600), "0.034685 USD", "half an hour at one price, half at three times that");
    let lines = ledger(&record, &card(), at(3600)).lines;
    let vcpu: Vec<_> = lines.iter().filter(|line| line.billed_as == Some(Item::VcpuX86)).collect();
    assert_eq!(vcpu.len(), 2);
    assert_eq!([vcpu[0].quantity.as_str(), vcpu[1].quantity.as_str()], ["0.25 vCPU × 1800 s"; 2]);
    assert_eq!((vcpu[0].until, vcpu[1].from), (Some(at(1800)), Some(at(1800))));
    // A minimum that a price change falls into is paid once, at the price it began under.
    let mut short = self::record();
    short.apply(at(0), &priced(dear(1)));
    short.apply(at(0), &seen(Some(0), Some(30)));
    short.apply(at(10), &priced(dear(3)));
    assert_eq!(total(&short, 3600), "0.000289043 USD");
}

#[test]
fn a_clock_that_is_set_back_stops_no_meter() {
    let mut record = record();
    record.apply(at(0), &seen(Some(0), None));
    record.apply(at(1800), &Event::Health { healthy: true, detail: String::new() });
    let before = ledger(&record, &card(), at(1800)).total;
    assert!(ledger(&record, &card(), at(600)).total >= before, "not even before it is noticed");
    record.apply(at(600), &Event::ClockSetBack { by: Span::from_secs(1200) });
    assert_eq!(ledger(&record, &card(), at(600)).total, before);
    assert_eq!(total(&record, 600 + 1800), "0.0173425 USD", "half an hour before, half an hour after");
}

#[test]
fn a_clock_behind_aws_does_not_hold_the_meter_up() {
    let mut record = record();
    // AWS says that the pull began at 600 s; by our clock it is 0 s.
    record.apply(at(0), &seen(Some(600), None));
    let minute = ledger(&record, &card(), at(60)).total;
    assert_eq!(minute.exact(), "0.000289043 USD", "a minute later by both clocks");
    assert_eq!(total(&record, 3600), "0.0173425 USD");
}

#[test]
fn what_has_no_price_is_named() {
    let mut record = record();
    record.apply(at(0), &seen(Some(0), Some(3600)));
    let ledger = ledger(&record, &RateCard::default(), at(3600));
    assert!(ledger.lines.iter().all(|line| line.basis == Basis::Unpriced && line.item.ends_with("(no price known)")));
}

#[test]
fn ten_thousand_of_the_largest_tasks_for_a_year_do_not_overflow() {
    let size = TaskSize { cpu: 32_768, memory: 249_856, storage: 200, arch: Arch::X86_64, spot: false };
    let mut record = record();
    record.apply(at(0), &seen_of(1, size, Some(0), None));
    let year = ledger(&record, &card(), at(31_536_000)).total;
    // 32 × 0.04048 + 244 × 0.004445 + 180 × 0.000111 + 0.005, × 8760
    assert_eq!(year.exact(), "21067.0992 USD");
    let all: Money = std::iter::repeat_n(year, 10_000).sum();
    assert_eq!(all.exact(), "210670992.00 USD");
}

/// A session whose cluster has Container Insights on from `from` seconds on, and is gone at `gone`.
fn with_insights(mut record: Record, from: i64, gone: Option<i64>) -> Record {
    let cluster = ResourceKey::only(ResourceKind::Cluster);
    for key in [cluster, ResourceKey::only(ResourceKind::InsightsLog)] {
        record.apply(at(from), &Event::Intended { key, action: Action::Create, name: "c".into(), size: None });
        record.apply(at(from), &Event::Done { key, action: Action::Create, effect: Effect::Created, id: None });
    }
    if let Some(gone) = gone {
        let effect = Effect::Removed;
        record.apply(at(gone), &Event::Done { key: cluster, action: Action::Remove, effect, id: None });
    }
    record
}

#[test]
fn container_insights_cost_by_the_hours_of_the_clock_until_the_cluster_is_gone() {
    // Seconds from here to the next hour of the clock.
    let whole = (3600 - at(0).as_secs().rem_euclid(3600)) % 3600;
    let metrics = |record: &Record, now: i64| {
        let lines = ledger(record, &card(), at(now)).lines;
        let line = lines.into_iter().find(|line| line.billed_as == Some(Item::Metric));
        line.map_or((0, String::new()), |line| (line.units.of, line.amount.exact()))
    };
    // 24 × 0.30 ÷ 730, rounded up
    let hour = "0.009863014 USD";
    let lives = with_insights(record(), whole + 10, None);
    assert_eq!(metrics(&lives, whole + 10), (24, hour.to_owned()));
    assert_eq!(metrics(&lives, whole + 3600), (24, hour.to_owned()), "the next hour begins, and nothing of it yet");
    assert_eq!(metrics(&lives, whole + 3601).0, 48);
    let across = with_insights(record(), whole - 10, Some(whole + 10));
    assert_eq!(metrics(&across, whole + 90_000).0, 48, "twenty seconds in two hours of the clock");
    let mut service = with_insights(record(), whole, Some(whole + 3600));
    let key = ResourceKey::only(ResourceKind::Service);
    service.apply(at(whole), &Event::Intended { key, action: Action::Create, name: "s".into(), size: None });
    assert_eq!(metrics(&service, whole + 90_000).0, 41);
    let rate = spend(&lives, &card(), at(whole + 60)).1;
    // and 1 MiB of log data at 0.50 USD a GB
    assert_eq!(rate.exact(), "0.010363014 USD");
    assert_eq!(spend(&across, &card(), at(whole + 60)).1, Money::ZERO);
    let free = Accounting { free_tier: true, ..Accounting::default() };
    let free = with_insights(opened(free, true), whole, Some(whole + 3600));
    assert_eq!(metrics(&free, whole + 90_000), (24, hour.to_owned()), "more than the allowance of ten");
}

#[test]
fn metrics_that_were_asked_for_are_never_free() {
    let read = Event::Metered { put_metric_calls: 500, metric_hours: 0, metrics_read: 1500 };
    let free = Accounting { free_tier: true, ..Accounting::default() };
    for (accounting, expected) in [(Accounting::default(), "0.02 USD"), (free, "0.015 USD")] {
        let mut record = opened(accounting, true);
        record.apply(at(0), &read);
        assert_eq!(total(&record, 60), expected);
    }
}

/// Any session: a few tasks, prices that change, a clock that is set back, an image, metrics.
fn sessions() -> impl Strategy<Value = Record> {
    let task = (proptest::option::of(-50i64..2_000), proptest::option::of(2_000i64..9_000), 0usize..60, 20u32..40);
    let tasks = proptest::collection::vec(task, 1..4);
    let prices = proptest::collection::vec((0i64..5_000, 1i64..5), 0..4);
    let metered = proptest::collection::vec((0i64..20_000, 0u64..500, 0u64..50), 0..4);
    let accounting = (any::<bool>(), 0i64..20_000_000, 0u32..50, any::<bool>());
    let insights = proptest::option::of((0i64..5_000, proptest::option::of(0i64..20_000)));
    (tasks, prices, metered, accounting, proptest::option::of(1u64..10_000_000_000), insights).prop_map(
        |(tasks, prices, metered, (free_tier, credits, logs, ipv4_by_hour), bytes, insights)| {
            let credits = Money::from_nanos(credits);
            let accounting = Accounting {
                free_tier,
                credits,
                logs_mib_per_hour: logs,
                traffic_mib_per_hour: logs / 2,
                ipv4_by_hour,
            };
            let mut record = opened(accounting, true);
            let key = ResourceKey::only(ResourceKind::Image);
            record.apply(at(0), &Event::Intended { key, action: Action::Create, name: "i".into(), size: None });
            record.apply(at(0), &Event::Done { key, action: Action::Create, effect: Effect::Created, id: None });
            if let Some(bytes) = bytes {
                record.apply(at(0), &Event::Measured { key, bytes });
            }
            let pairs = crate::domain::model::size::legal_pairs();
            for (number, (pull, stopped, pair, storage)) in tasks.into_iter().enumerate() {
                let (cpu, memory) = pairs[pair % pairs.len()];
                let size = TaskSize { cpu, memory, storage, arch: Arch::X86_64, spot: false };
                record.apply(at(0), &seen_of(number as u32 + 1, size, pull, stopped));
            }
            let mut prices = prices;
            prices.sort_unstable();
            for (when, factor) in prices {
                let mut card = card();
                card.prices.values_mut().for_each(|price| price.amount = price.amount.times(factor));
                record.apply(at(when), &priced(Arc::new(card)));
            }
            if let Some((from, gone)) = insights {
                record = with_insights(record, from, gone.map(|gone| from + gone));
            }
            for (when, put_metric_calls, metric_hours) in metered {
                record.apply(
                    at(when),
                    &Event::Metered { put_metric_calls, metric_hours, metrics_read: put_metric_calls / 3 },
                );
            }
            record
        },
    )
}

#[test]
fn what_labguard_itself_used_counts_on_the_day_that_it_was_used() {
    // Midnights of UTC, of India (18:30) and of Nepal (18:15): every zone's is at a quarter of an hour.
    for (midnight, after) in [("2027-02-22T00:00:00Z", 40), ("2027-02-22T18:30:00Z", 1), ("2027-02-22T18:15:00Z", 899)]
    {
        let midnight: Timestamp = midnight.parse().unwrap();
        let used = midnight + Span::from_secs(after);
        let mut record = record();
        record.apply(used, &Event::Scheduled { schedules: vec![("stop".into(), used + Span::from_mins(60))] });
        let of = |from, until| spent_between(&record, &card(), from, until);
        assert_eq!(of(midnight - Span::from_mins(1440), midnight), Money::ZERO, "{midnight} {after}");
        let day = of(midnight, midnight + Span::from_mins(1440));
        assert_eq!(day, spend(&record, &card(), used).0, "{midnight} {after}");
        assert!(day > Money::ZERO);
    }
    // In the very instant in which it was used it is counted, too.
    let mut record = record();
    let full: Timestamp = "2027-02-22T01:00:00Z".parse().unwrap();
    record.apply(full, &Event::Metered { put_metric_calls: 1000, metric_hours: 0, metrics_read: 0 });
    assert!(spend(&record, &card(), full).0 > Money::ZERO);
}

proptest! {
    #[test]
    fn spend_is_the_sum_of_the_lines_never_falls_and_is_never_negative(
        record in sessions(), a in 0i64..40_000, b in 0i64..40_000,
    ) {
        let card = card();
        let (early, late) = (ledger(&record, &card, at(a)), ledger(&record, &card, at(a + b)));
        prop_assert_eq!(spend(&record, &card, at(a + b)), (late.total, late.rate_per_hour));
        prop_assert!(Money::ZERO <= early.total && early.total <= late.total);
        prop_assert_eq!(late.lines.iter().map(|line| line.amount).sum::<Money>(), late.total);
        for line in late.lines.iter().filter(|line| line.amount > Money::ZERO) {
            let exact = line.unit_price.fraction_ceil(u128::from(line.units.of), u128::from(line.units.per));
            prop_assert_eq!(exact, line.amount, "{}", line.item);
        }
    }

    #[test]
    fn stretches_of_time_add_up_whatever_the_cuts(record in sessions(), cuts in proptest::collection::vec(0i64..60_000, 0..8)) {
        let card = card();
        let mut cuts: Vec<Timestamp> = cuts.into_iter().map(at).collect();
        cuts.sort_unstable();
        let end = at(60_000);
        let mut parts = Money::ZERO;
        let mut lines = Money::ZERO;
        let mut from = Timestamp::default();
        for cut in cuts.into_iter().filter(|cut| *cut >= record.heard_at).chain([end]) {
            parts += spent_between(&record, &card, from, cut);
            lines += lines_between(&record, &card, from, cut).iter().map(|line| line.amount).sum();
            from = cut;
        }
        prop_assert_eq!(parts, ledger(&record, &card, end).total);
        prop_assert_eq!(lines, parts);
    }

    #[test]
    fn the_order_in_which_tasks_were_heard_of_does_not_matter(first in 0i64..3_000, second in 0i64..3_000, now in 3_000i64..9_000) {
        let (one, two) = (seen_of(1, TaskSize::SMALLEST, Some(first), None), seen_of(2, TaskSize::SMALLEST, Some(second), Some(3_000)));
        let (mut forth, mut back) = (record(), record());
        for event in [&one, &two] {
            forth.apply(at(0), event);
        }
        for event in [&two, &one] {
            back.apply(at(0), event);
        }
        prop_assert_eq!(ledger(&forth, &card(), at(now)), ledger(&back, &card(), at(now)));
    }
}
