//! Events for tests: one of each kind, and any mixture of them.

use std::sync::Arc;

use proptest::prelude::*;

use crate::domain::meter::RateBook;
use crate::domain::model::{
    Action, Billed, Blocker, Cause, Effect, Event, Extension, Fault, FaultClass, Identity, Ingress, Item, LimitKind,
    Money, Net, Network, Phase, Request, ResourceKey, ResourceKind, ScanVerdict, SessionId, Span, Stage, Subnet,
    TaskFacts, TaskLoss, TaskSize, TaskStatus, Timestamp,
};

/// A session's id.
pub(super) fn session(number: u64) -> SessionId {
    SessionId::new("admission", number)
}

/// The first event of any session.
pub(super) fn opened() -> Event {
    Event::Opened {
        name: "admission".into(),
        owner: "ada".into(),
        group: "ml-101".into(),
        policy: serde_json::json!({"limits": {"budget": "1.50 USD"}, "predict": {"body": {"cgpa": 9.65, "gre": 337}}}),
        overshoot: Money::from_nanos(12_345_678),
    }
}

/// The last event of any session.
pub(super) fn closed() -> Event {
    Event::Closed { receipt: serde_json::json!({"total": "0.01 USD"}) }
}

/// One of each kind, `Opened` first and `Closed` last.
pub(super) fn one_of_each() -> Vec<Event> {
    let mut events = vec![opened()];
    for salt in 0..OTHERS {
        events.push(other(salt, salt, "said"));
    }
    events.push(closed());
    events
}

/// Any events that may follow the first one.
pub(super) fn any_events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(
        prop_oneof![
            40 => (0..OTHERS, 0..10_000u64, ".{0,12}").prop_map(|(which, salt, text)| other(which, salt, &text)),
            1 => Just(closed()),
        ],
        0..most,
    )
}

/// How many kinds [`other`] knows.
const OTHERS: u64 = 31;

/// The event of one kind, varied by a number and a text.
fn other(which: u64, salt: u64, text: &str) -> Event {
    let text = text.to_owned();
    let pick = |count: usize| salt as usize % count;
    let kind = ResourceKind::ALL[pick(9)];
    let key =
        if kind == ResourceKind::Task { ResourceKey::task(1 + (salt % 3) as u32) } else { ResourceKey::only(kind) };
    let action = [Action::Create, Action::Stop, Action::Remove][pick(3)];
    let at = Timestamp::from_millis(1_795_000_000_000 + salt as i64 * 977);
    let span = Span::from_millis(salt * 31);
    let money = Money::from_nanos(salt as i64 * 1_000_003);
    match which {
        0 => Event::PolicyChanged { policy: serde_json::json!({ "salt": salt as f64 / 7.0, "text": text }) },
        1 => Event::Identified {
            identity: Identity { account: "000000000000".into(), arn: text, region: "us-east-1".into() },
        },
        2 => Event::Surveyed {
            network: Network { vpc: text, subnets: vec![Subnet { id: "subnet-1".into(), zone: "us-east-1a".into() }] },
        },
        3 => Event::Entered { phase: Phase::ALL[pick(8)], because: text },
        4 => Event::Intended { key, action, name: text, size: (salt.is_multiple_of(2)).then_some(TaskSize::SMALLEST) },
        5 => Event::Done {
            key,
            action,
            effect: [Effect::Created, Effect::Adopted, Effect::Removed, Effect::NotOurs, Effect::StopRequested]
                [pick(5)],
            id: (salt.is_multiple_of(2)).then_some(text),
        },
        6 => Event::Failed {
            key: (!salt.is_multiple_of(3)).then_some(key),
            action,
            fault: Fault {
                class: FaultClass::ALL[pick(10)],
                operation: "ecs:RunTask".into(),
                code: "ClientException".into(),
                message: text,
                request_id: (salt.is_multiple_of(2)).then(|| "6f1c".into()),
                advice: None,
                own: false,
            },
        },
        7 => Event::Vanished { key },
        8 => Event::TaskSeen {
            key: ResourceKey::task(1 + (salt % 3) as u32),
            facts: TaskFacts {
                status: [TaskStatus::Pending, TaskStatus::Running, TaskStatus::Stopped][pick(3)],
                pull_started_at: Some(at),
                public_ip: Some("203.0.113.7".into()),
                ..TaskFacts::new(text)
            },
            size: TaskSize::SMALLEST,
        },
        9 => Event::TaskLost { key, loss: TaskLoss::OutOfMemory, detail: text },
        10 => Event::Restarting { restart: salt as u32, because: text },
        11 => Event::Health { healthy: salt.is_multiple_of(2), detail: text },
        12 => Event::Announced { url: text },
        13 => Event::Active { last: at, source: "requests".into(), what: text },
        14 => Event::Requested {
            request: match salt % 7 {
                0 => Request::End { reason: text },
                1 => Request::Stop { reason: text },
                2 => Request::Resume,
                3 => Request::Touch { by: text },
                4 => Request::Extend(Extension::Lifetime { by: span }),
                5 => Request::Extend(Extension::Budget { by: money }),
                _ => Request::Extend(Extension::Idle { by: span }),
            },
        },
        15 => Event::Ending {
            cause: Cause::ALL[pick(12)],
            detail: text,
            stage: if salt.is_multiple_of(2) { Stage::Stop } else { Stage::Teardown },
        },
        16 => Event::Resumed,
        17 => Event::Warned { limit: LimitKind::Budget, lead: span, at },
        18 => Event::Verified { left: if salt.is_multiple_of(2) { vec![] } else { vec![key] } },
        19 => Event::Blocked {
            blockers: vec![Blocker {
                key,
                name: text.clone(),
                why: text.clone(),
                held_by: vec![text],
                cost_per_hour: money,
            }],
        },
        20 => Event::Reappeared { key, id: (salt.is_multiple_of(2)).then_some(text) },
        21 => Event::Priced {
            card: Arc::new(RateBook::embedded().card("us-east-1").only(&[Item::VcpuX86])),
            overshoot: money,
        },
        22 => Event::Measured { key, bytes: salt },
        23 => Event::ClockSetBack { by: span },
        24 => Event::Billed {
            billed: Billed {
                asked_at: at,
                from: "2026-11-22".into(),
                until: "2026-11-23".into(),
                lines: vec![(text, money)],
                total: money,
                estimated: salt.is_multiple_of(2),
            },
        },
        25 => Event::Scanned {
            digest: text.clone(),
            verdict: if salt.is_multiple_of(2) { ScanVerdict::Passed } else { ScanVerdict::Refused },
            detail: text,
        },
        26 => Event::Scheduled { schedules: vec![(text, at)] },
        27 => Event::NetChanged { net: Net::ALL[pick(2)], holds: salt.is_multiple_of(2), detail: text },
        29 => Event::Unproven { key, why: text },
        28 => Event::Admitted { ingress: vec![Ingress { port: 5000, sources: vec![text] }] },
        _ => Event::Metered { put_metric_calls: salt, metric_hours: salt, metrics_read: salt },
    }
}
