//! By which prices and which clock a session is billed: noted when they change, so that a replay counts the same.

use std::sync::Arc;

use crate::domain::{
    meter,
    model::{Event, Span},
};

use super::turn::Turn;

/// A clock may be behind the journal by this much before it counts as set back: other machines' clocks and rounding.
const SLACK: Span = Span::from_secs(2);

/// Notes what has changed.
pub(super) fn note(turn: &mut Turn<'_>) {
    clock(turn);
    prices(turn);
}

fn clock(turn: &mut Turn<'_>) {
    let behind = turn.record.heard_at.since(turn.now);
    // Told once for each look: the same look at the same instant says nothing new.
    let seen = turn.seen.clock_set_back.filter(|_| turn.record.set_back_at != Some(turn.now)).unwrap_or_default();
    let by = behind.max(seen);
    if by > SLACK {
        turn.note(Event::ClockSetBack { by });
    }
}

fn prices(turn: &mut Turn<'_>) {
    let needs = meter::needs(turn.policy());
    let card = turn.rules.card;
    let known = turn.record.prices.last().map(|(_, card)| card.as_ref());
    let same = known.is_some_and(|known| needs.iter().all(|item| known.price(*item) == card.price(*item)));
    let overshoot = meter::overshoot(turn.policy(), card);
    if !same || overshoot > turn.record.overshoot {
        turn.note(Event::Priced { card: Arc::new(card.only(&needs)), overshoot });
    }
}
