//! From answers to a health reading: a pure fold.
//!
//! Two lanes, health and function, are counted apart: were they counted together, a container that answers
//! pings and fails at its job would look good every other time and never reach a threshold.

use super::exchange::Answer;
use crate::domain::model::{HealthReading, ResourceKey, Timestamp};

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// [`probe::http`](super::http).
    Health,
    /// [`probe::predict`](super::predict).
    Function,
}

/// What the answers of one task's probes make together. Another task needs another window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    task: ResourceKey,
    health: Count,
    function: Option<Count>,
    last_good: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Count {
    good: u32,
    bad: u32,
    at: Option<Timestamp>,
    detail: String,
    latency_us: u64,
}

impl Window {
    /// No answer yet. With `functional`, a task is good only once both questions are answered well.
    #[must_use]
    pub fn new(task: ResourceKey, functional: bool) -> Self {
        Self { task, health: Count::default(), function: functional.then(Count::default), last_good: None }
    }

    /// Which task it is of.
    #[must_use]
    pub const fn task(&self) -> ResourceKey {
        self.task
    }

    /// Takes an answer in that came (or failed to come) at `at`; one older than the lane's last is dropped.
    pub fn take(&mut self, lane: Lane, at: Timestamp, answer: &Answer) {
        let count = match lane {
            Lane::Health => &mut self.health,
            Lane::Function => self.function.get_or_insert_default(),
        };
        if count.at.is_some_and(|last| at < last) {
            return;
        }
        (count.good, count.bad) =
            if answer.good { (count.good.saturating_add(1), 0) } else { (0, count.bad.saturating_add(1)) };
        count.at = Some(at);
        count.detail.clone_from(&answer.detail);
        count.latency_us = answer.latency_us;
        if self.reading().good > 0 {
            self.last_good = self.last_good.max(Some(at));
        }
    }

    /// What the probes make of the task: the worse lane speaks. The latency is the last answer's of that lane.
    #[must_use]
    pub fn reading(&self) -> HealthReading {
        let function = self.function.as_ref();
        let bad = self.health.bad.max(function.map_or(0, |count| count.bad));
        let works = function.is_none_or(|count| count.good > 0);
        let good = if bad == 0 && works { self.health.good } else { 0 };
        let speaker = match function {
            Some(count) if count.bad > self.health.bad => count,
            _ => &self.health,
        };
        HealthReading {
            task: Some(self.task),
            good,
            bad,
            at: self.health.at.max(function.and_then(|count| count.at)),
            last_good: self.last_good,
            detail: speaker.detail.clone(),
            latency_us: speaker.latency_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn answer(good: bool) -> Answer {
        Answer { good, detail: if good { "fine" } else { "broken" }.into(), latency_us: 5 }
    }

    #[test]
    fn answers_in_a_row_are_counted_and_a_change_starts_anew() {
        let mut window = Window::new(ResourceKey::task(1), false);
        assert_eq!((window.reading().good, window.reading().bad, window.reading().at), (0, 0, None));
        for (secs, good) in [(1, true), (2, true), (3, false), (4, false), (5, false)] {
            window.take(Lane::Health, at(secs), &answer(good));
        }
        let reading = window.reading();
        assert_eq!((reading.good, reading.bad), (0, 3));
        assert_eq!((reading.at, reading.last_good), (Some(at(5)), Some(at(2))));
        assert_eq!(reading.detail, "broken");
        window.take(Lane::Health, at(4), &answer(true));
        assert_eq!(window.reading(), reading, "an old answer that comes late changes nothing");
    }

    #[test]
    fn a_container_that_answers_pings_but_fails_at_its_job_is_bad() {
        let mut window = Window::new(ResourceKey::task(1), true);
        window.take(Lane::Health, at(1), &answer(true));
        assert_eq!(window.reading().good, 0, "nothing is known of its function yet");
        window.take(Lane::Function, at(2), &answer(true));
        assert_eq!(window.reading().good, 1);
        for secs in 3..6 {
            window.take(Lane::Health, at(secs), &answer(true));
            window.take(Lane::Function, at(secs), &answer(false));
        }
        let reading = window.reading();
        assert_eq!((reading.good, reading.bad, reading.detail.as_str()), (0, 3, "broken"));
        assert_eq!(reading.last_good, Some(at(3)), "the last moment at which both lanes were good");
        window.take(Lane::Function, at(7), &answer(true));
        assert_eq!((window.reading().good, window.reading().bad), (4, 0));
    }
}
