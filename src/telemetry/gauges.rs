//! What is measured of one session, and its one translation into metric values.
//!
//! This is the edge where money and spans become floating-point numbers, for formats that know nothing
//! else. Nothing comes back from here into a sum or a decision.

use super::catalogue::{self, Metric};
use crate::domain::model::{LimitKind, Money, Net, Phase, SessionId, Span};

/// One session's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGauges {
    /// Its id.
    pub id: SessionId,
    /// Its policy's name.
    pub name: String,
    /// Where it is.
    pub phase: Phase,
    /// `None` before the first verdict.
    pub healthy: Option<bool>,
    /// How long the last probe took, in microseconds; 0 before the first one.
    pub probe_latency_us: u64,
    /// How long it has been idle, where that is known.
    pub idle: Option<Span>,
    /// Spend so far, gross.
    pub spend: Money,
    /// What an hour costs as things stand.
    pub rate: Money,
    /// What is left of the budget after what teardown will still cost.
    pub budget_left: Money,
    /// Whether each net that the policy wants holds.
    pub nets: Vec<(Net, bool)>,
    /// Time until each limit that is set.
    pub limits: Vec<(LimitKind, Span)>,
    /// Restarts so far.
    pub restarts: u32,
    /// How many things of ours may still exist.
    pub things_left: usize,
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Which metric.
    pub metric: Metric,
    /// The label it has beside `session` and `name`, if any.
    pub label: Option<(&'static str, &'static str)>,
    /// Finite, always.
    pub value: f64,
}

impl SessionGauges {
    /// The same so long later, as far as nothing else happened: time and money go on between two looks.
    #[must_use]
    pub fn later(&self, by: Span) -> Self {
        let spent = self.rate.per_hour_over(by);
        Self {
            idle: self.idle.map(|idle| idle + by),
            spend: self.spend + spent,
            budget_left: self.budget_left.less(spent),
            limits: self.limits.iter().map(|(limit, left)| (*limit, left.saturating_sub(by))).collect(),
            ..self.clone()
        }
    }

    /// Every value that is known now.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let plain = |metric, value| Sample { metric, label: None, value };
        let mut samples = Vec::with_capacity(24);
        if let Some(healthy) = self.healthy {
            samples.push(plain(catalogue::SESSION_HEALTHY, f64::from(u8::from(healthy))));
        }
        if self.probe_latency_us > 0 {
            samples.push(plain(catalogue::PROBE_LATENCY, self.probe_latency_us as f64 / 1e6));
        }
        if let Some(idle) = self.idle {
            samples.push(plain(catalogue::SESSION_IDLE, seconds(idle)));
        }
        samples.push(plain(catalogue::SESSION_SPEND, dollars(self.spend)));
        samples.push(plain(catalogue::SESSION_BUDGET_LEFT, dollars(self.budget_left)));
        for (limit, left) in &self.limits {
            let label = Some(("limit", limit.name()));
            samples.push(Sample { metric: catalogue::SESSION_LIMIT, label, value: seconds(*left) });
        }
        for (net, holds) in &self.nets {
            let (label, value) = (Some(("net", net.name())), f64::from(u8::from(*holds)));
            samples.push(Sample { metric: catalogue::SESSION_NET_HOLDS, label, value });
        }
        for phase in Phase::ALL {
            let value = f64::from(u8::from(phase == self.phase));
            samples.push(Sample { metric: catalogue::SESSION_PHASE, label: Some(("phase", phase.name())), value });
        }
        samples.push(plain(catalogue::SESSION_RESTARTS, f64::from(self.restarts)));
        samples.push(plain(catalogue::SESSION_THINGS_LEFT, self.things_left as f64));
        samples
    }
}

/// Money at the edge: exact below nine million dollars, and for show only.
pub(super) fn dollars(money: Money) -> f64 {
    money.nanos() as f64 / 1e9
}

fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1e3
}

#[cfg(test)]
pub(super) mod staged {
    //! A session for tests.

    use super::*;

    pub fn running() -> SessionGauges {
        SessionGauges {
            id: SessionId::new("admission", 1),
            name: "admission".into(),
            phase: Phase::Running,
            healthy: Some(true),
            probe_latency_us: 12_500,
            idle: Some(Span::from_secs(90)),
            spend: "0.0173425 USD".parse().unwrap(),
            rate: "0.36 USD".parse().unwrap(),
            budget_left: "1.25 USD".parse().unwrap(),
            nets: vec![(Net::Sentinel, true), (Net::Scheduler, false)],
            limits: vec![(LimitKind::Idle, Span::from_mins(18)), (LimitKind::Lifetime, Span::from_mins(100))],
            restarts: 2,
            things_left: 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_has_no_value() {
        let unknown =
            SessionGauges { healthy: None, idle: None, probe_latency_us: 0, limits: vec![], ..staged::running() };
        let names: Vec<&str> = unknown.samples().iter().map(|sample| sample.metric.key()).collect();
        for absent in ["session_healthy", "session_idle_seconds", "probe_latency_seconds", "session_limit_seconds"] {
            assert!(!names.contains(&absent), "{absent}");
        }
        assert!(names.contains(&"session_spend_dollars"));
    }

    #[test]
    fn a_net_that_does_not_hold_is_a_nought_and_one_that_is_off_is_absent() {
        let of = |gauges: SessionGauges| {
            let samples = gauges.samples().into_iter().filter(|sample| sample.metric == catalogue::SESSION_NET_HOLDS);
            samples.map(|sample| (sample.label.unwrap().1, sample.value)).collect::<Vec<_>>()
        };
        assert_eq!(of(staged::running()), [("sentinel", 1.0), ("scheduler", 0.0)]);
        assert_eq!(of(SessionGauges { nets: vec![], ..staged::running() }), []);
    }

    #[test]
    fn time_and_money_go_on_between_two_looks() {
        let later = staged::running().later(Span::from_secs(30));
        assert_eq!(later.idle, Some(Span::from_secs(120)));
        assert_eq!(later.spend, "0.0203425 USD".parse().unwrap());
        assert_eq!(later.budget_left, "1.247 USD".parse().unwrap());
        assert_eq!(later.limits[0], (LimitKind::Idle, Span::from_secs(17 * 60 + 30)));
        let over = staged::running().later(Span::from_mins(1000));
        assert_eq!((over.limits[0].1, over.budget_left), (Span::ZERO, Money::ZERO));
        assert_eq!(SessionGauges { idle: None, ..staged::running() }.later(Span::from_secs(1)).idle, None);
    }

    #[test]
    fn exactly_one_phase_is_on() {
        let on: Vec<_> = staged::running()
            .samples()
            .into_iter()
            .filter(|sample| sample.metric == catalogue::SESSION_PHASE && sample.value == 1.0)
            .map(|sample| sample.label)
            .collect();
        assert_eq!(on, [Some(("phase", "Running"))]);
    }
}
