//! Any sessions, for properties of reports and charges: tasks across month ends, changing prices, a clock that is set
//! back, an image, metrics, credits, whole lives and lives that go on.

use std::sync::Arc;

use proptest::prelude::*;

use super::RateBook;
use crate::domain::model::{
    Accounting, Action, Effect, Event, Identity, Money, RateCard, Record, ResourceKey, ResourceKind, SessionId, Span,
    TaskFacts, TaskSize, TaskStatus, Timestamp,
};

/// 2026-11-29 00:00 UTC, and so many seconds.
pub fn at(secs: i64) -> Timestamp {
    let base: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
    Timestamp::from_millis(base.as_millis() + secs * 1000)
}

/// Embedded prices.
pub fn card() -> RateCard {
    RateBook::embedded().card("us-east-1")
}

/// A session without any use yet.
pub fn opened(number: u64, owner: &str, group: &str, secs: i64, accounting: Accounting) -> Record {
    let event = Event::Opened {
        name: "lab".into(),
        owner: owner.into(),
        group: group.into(),
        policy: serde_json::json!({ "network": { "public_ip": true }, "accounting": accounting }),
        overshoot: Money::ZERO,
    };
    let mut record = Record::open(SessionId::new("lab", number), at(secs), &event).unwrap();
    let identity = Identity {
        account: "000000000000".into(),
        arn: "arn:aws:iam::000000000000:root".into(),
        region: "us-east-1".into(),
    };
    record.apply(at(secs), &Event::Identified { identity });
    record
}

/// A task of the smallest size that AWS says ran from one second to another.
pub fn ran(number: u32, from: i64, until: Option<i64>) -> Event {
    let mut facts = TaskFacts::new(format!("arn:aws:ecs:us-east-1:000000000000:task/lab/{number}"));
    facts.pull_started_at = Some(at(from));
    facts.stopped_at = until.map(at);
    facts.status = if until.is_some() { TaskStatus::Stopped } else { TaskStatus::Running };
    Event::TaskSeen { key: ResourceKey::task(number), facts, size: TaskSize::SMALLEST }
}

/// Prices that many times those that ship with labguard.
pub fn dear(factor: i64) -> Event {
    let mut card = card();
    card.prices.values_mut().for_each(|price| price.amount = price.amount.times(factor));
    Event::Priced { card: Arc::new(card), overshoot: Money::ZERO }
}

/// The end.
pub fn close(record: &mut Record, at: Timestamp) {
    record.apply(at, &Event::Closed { receipt: serde_json::Value::Null });
}

/// Seconds that any of these sessions lives at most: a bit more than a month.
pub const LONGEST: i64 = 40 * 86_400;

prop_compose! {
    /// One session: its number, owner and group, and what it did.
    pub fn any_session()(
        (owner, group, born) in (0usize..3, 0usize..3, 0i64..200_000),
        tasks in proptest::collection::vec((0i64..300_000, 0i64..LONGEST / 2), 1..4),
        goes_on in any::<bool>(),
        prices in proptest::collection::vec((0i64..400_000, 1i64..5), 0..3),
        metered in proptest::collection::vec((0i64..400_000, 0u64..500, 0u64..50), 0..3),
        (free_tier, credits, ipv4_by_hour) in (any::<bool>(), 0i64..20_000_000, any::<bool>()),
        bytes in proptest::option::of(1u64..10_000_000_000),
        set_back in proptest::option::of(3u64..5_000),
        number in 1u64..1_000_000,
    ) -> Record {
        let accounting = Accounting { free_tier, credits: Money::from_nanos(credits), ipv4_by_hour, ..Accounting::default() };
        let mut record = opened(number, ["ada", "bob", "cyd"][owner], ["", "ml-101", "ml-102"][group], born, accounting);
        let image = ResourceKey::only(ResourceKind::Image);
        record.apply(at(born), &Event::Intended { key: image, action: Action::Create, name: "app".into(), size: None });
        record.apply(at(born), &Event::Done { key: image, action: Action::Create, effect: Effect::Created, id: None });
        if let Some(bytes) = bytes {
            record.apply(at(born), &Event::Measured { key: image, bytes });
        }
        // In the order in which a journal holds them.
        let mut last = born;
        let mut story: Vec<(i64, Event)> = prices.into_iter().map(|(when, factor)| (born + when, dear(factor))).collect();
        story.extend(metered.into_iter().map(|(when, put_metric_calls, metric_hours)| {
            (born + when, Event::Metered { put_metric_calls, metric_hours, metrics_read: put_metric_calls / 3 })
        }));
        for (number, (from, length)) in tasks.into_iter().enumerate() {
            let from = born + from;
            let number = number as u32 + 1;
            story.push((from, ran(number, from, None)));
            if !(goes_on && number == 1) {
                story.push((from + length, ran(number, from, Some(from + length))));
            }
        }
        story.sort_by_key(|(when, _)| *when);
        for (when, event) in story {
            record.apply(at(when), &event);
            last = when;
        }
        if let Some(secs) = set_back {
            last -= secs as i64;
            record.apply(at(last), &Event::ClockSetBack { by: Span::from_secs(secs) });
        }
        if !goes_on {
            last += 60;
            record.apply(at(last), &Event::Done { key: image, action: Action::Remove, effect: Effect::Removed, id: None });
            close(&mut record, at(last));
        }
        record
    }
}
