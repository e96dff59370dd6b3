//! A session's journal, for people: when, what, and the figures in short.

use serde_json::Value;

use super::{
    DIM, Look,
    columns::{Cell, table},
    moment::Zone,
};
use crate::domain::model::Entry;

/// Longer figures are cut: `--json` has them whole.
const WIDEST: usize = 120;

/// One line an entry.
#[must_use]
pub fn journal(look: Look, zone: Zone, entries: &[Entry]) -> String {
    let last = entries.last().map(|entry| entry.at).unwrap_or_default();
    let rows: Vec<Vec<Cell>> = entries
        .iter()
        .map(|entry| {
            let value = serde_json::to_value(&entry.event).unwrap_or_default();
            let kind = value.get("event").and_then(Value::as_str).unwrap_or_default().replace('_', " ");
            vec![
                Cell::new(entry.seq.to_string()).right(),
                zone.clock(entry.at, last).into(),
                kind.into(),
                Cell::new(figures(&value)).styled(DIM),
            ]
        })
        .collect();
    table(look, &["seq", "at", "event", ""], &rows)
}

fn figures(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "event");
    let told: Vec<String> = members
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    let text = told.join(" ");
    match text.char_indices().nth(WIDEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::fake,
        domain::model::{Event, Phase},
    };

    #[test]
    fn an_entry_is_one_line_and_long_ones_are_cut() {
        let entry = |seq, event| Entry { seq, at: fake::noon(), session: fake::id(), event };
        let entries = [
            entry(7, Event::Entered { phase: Phase::Running, because: "healthy".into() }),
            entry(8, Event::Entered { phase: Phase::Running, because: "x".repeat(300) }),
        ];
        let text = journal(Look::PLAIN, Zone::UTC, &entries);
        assert!(text.contains("  7  14:00:00 UTC  entered  phase=Running because=healthy\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 160) && text.contains('…'), "{text}");
    }
}
