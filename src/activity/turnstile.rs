//! Use of the application, by the guard inside the task: connections that it counted itself, without a proxy.
//!
//! Only what its reading means is here; how it is asked is not this file's matter. Guarantee: a connection or a request
//! under way counts however long it lasts, and a sentinel that began anew is not taken for a quiet one.

use super::fold::Seen;
use crate::domain::model::Timestamp;

/// What the sentinel has counted, labguard's own probes left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentinelReading {
    /// Connections taken since it began.
    pub connections: u64,
    /// Connections that are open now.
    pub in_flight: u64,
    /// The last use that it saw, by its own clock.
    pub last_use: Option<Timestamp>,
}

/// From readings to looks. Another task needs another one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Turnstile {
    before: Option<SentinelReading>,
}

impl Turnstile {
    /// Takes in what a question at `at` brought: a reading, or why there is none.
    pub fn take(&mut self, at: Timestamp, read: Result<SentinelReading, String>) -> Seen {
        let now = match read {
            Ok(reading) => reading,
            Err(why) => return Seen::Unreadable(why),
        };
        let before = self.before.replace(now);
        let restarted = before.is_some_and(|before| now.connections < before.connections);
        let fresh = match before {
            Some(before) if !restarted => now.connections - before.connections,
            Some(_) => now.connections,
            None => 0,
        };
        let many = |number: u64, what: &str| {
            if number == 1 { format!("1 connection{what}") } else { format!("{number} connections{what}") }
        };
        if now.in_flight > 0 {
            return Seen::Used { last: at, what: many(now.in_flight, " open") };
        }
        match (fresh, now.last_use) {
            (0, Some(last)) if before.is_none() => Seen::Used { last, what: many(now.connections, " before") },
            (0, _) if restarted => Seen::Anew(at),
            (0, _) => Seen::Nothing,
            (fresh, last) => Seen::Used { last: last.unwrap_or(at).min(at), what: many(fresh, "") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn open_connections_new_ones_and_what_was_before_the_first_question_are_use() {
        let say = |connections, in_flight, last: Option<i64>| {
            Ok(SentinelReading { connections, in_flight, last_use: last.map(at) })
        };
        let used = |secs, what: &str| Seen::Used { last: at(secs), what: what.into() };
        let mut it = Turnstile::default();
        assert_eq!(it.take(at(100), say(7, 0, Some(40))), used(40, "7 connections before"));
        assert_eq!(it.take(at(110), say(7, 0, Some(40))), Seen::Nothing);
        assert_eq!(it.take(at(120), say(8, 1, Some(119))), used(120, "1 connection open"));
        assert_eq!(it.take(at(130), say(8, 1, Some(119))), used(130, "1 connection open"), "a long request");
        assert_eq!(it.take(at(140), say(10, 0, Some(133))), used(133, "2 connections"));
        assert_eq!(it.take(at(150), Err("no answer".into())), Seen::Unreadable("no answer".into()));
        assert_eq!(it.take(at(160), say(0, 0, None)), Seen::Anew(at(160)), "it was restarted");
        assert_eq!(Turnstile::default().take(at(5), say(0, 0, None)), Seen::Nothing);
    }
}
