//! The names of events as the journal writes them, to recognise those of a later labguard.

use crate::domain::model::Event;

/// The event's name: the value of `event` in its JSON.
pub(super) const fn of(event: &Event) -> &'static str {
    match event {
        Event::Opened { .. } => "opened",
        Event::Priced { .. } => "priced",
        Event::Measured { .. } => "measured",
        Event::Scanned { .. } => "scanned",
        Event::ClockSetBack { .. } => "clock_set_back",
        Event::Billed { .. } => "billed",
        Event::PolicyChanged { .. } => "policy_changed",
        Event::Identified { .. } => "identified",
        Event::Surveyed { .. } => "surveyed",
        Event::Entered { .. } => "entered",
        Event::Intended { .. } => "intended",
        Event::Done { .. } => "done",
        Event::Failed { .. } => "failed",
        Event::Vanished { .. } => "vanished",
        Event::Unproven { .. } => "unproven",
        Event::TaskSeen { .. } => "task_seen",
        Event::TaskLost { .. } => "task_lost",
        Event::Restarting { .. } => "restarting",
        Event::Health { .. } => "health",
        Event::Announced { .. } => "announced",
        Event::Active { .. } => "active",
        Event::Requested { .. } => "requested",
        Event::Ending { .. } => "ending",
        Event::Resumed => "resumed",
        Event::Warned { .. } => "warned",
        Event::Verified { .. } => "verified",
        Event::Reappeared { .. } => "reappeared",
        Event::Blocked { .. } => "blocked",
        Event::Metered { .. } => "metered",
        Event::Scheduled { .. } => "scheduled",
        Event::NetChanged { .. } => "net_changed",
        Event::Admitted { .. } => "admitted",
        Event::Closed { .. } => "closed",
    }
}

/// Every name this version knows.
pub(super) const KNOWN: [&str; 33] = [
    "opened",
    "policy_changed",
    "identified",
    "surveyed",
    "entered",
    "intended",
    "done",
    "failed",
    "vanished",
    "unproven",
    "task_seen",
    "task_lost",
    "restarting",
    "health",
    "announced",
    "active",
    "requested",
    "ending",
    "resumed",
    "warned",
    "verified",
    "reappeared",
    "blocked",
    "priced",
    "measured",
    "clock_set_back",
    "scanned",
    "billed",
    "metered",
    "scheduled",
    "net_changed",
    "admitted",
    "closed",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::journal::sample;

    #[test]
    fn every_event_is_known_by_the_name_its_json_bears() {
        let mut met = BTreeSet::new();
        for event in sample::one_of_each() {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["event"], of(&event));
            met.insert(of(&event));
        }
        assert_eq!(met, BTreeSet::from(KNOWN));
    }
}
