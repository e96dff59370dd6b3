//! Bars in a terminal, that fit its width; plain ASCII where Unicode does not belong.
//!
//! Guarantees: what is more than nothing is seen; the largest amount fills its room and nothing passes it.

use super::Look;
use crate::domain::model::Money;

/// Where nobody looks, and where the width is not known.
const USUAL_WIDTH: usize = 80;
/// A bar is never wider than this: longer ones are not compared any better.
const WIDEST: usize = 60;
/// Nor narrower: rather than that, lines wrap.
const NARROWEST: usize = 8;

/// What is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Whether blocks may be drawn, and not only `#`.
    pub unicode: bool,
}

impl Canvas {
    /// A pipe or a file.
    pub const PLAIN: Canvas = Canvas { width: USUAL_WIDTH, unicode: false };

    /// Standard output.
    #[must_use]
    pub fn of(look: Look) -> Self {
        if !look.terminal {
            return Self::PLAIN;
        }
        let width = terminal_size::terminal_size().map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0));
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = named("LC_ALL").or_else(|| named("LC_CTYPE")).or_else(|| named("LANG"));
        let plain = locale.is_some_and(|locale| matches!(locale.as_str(), "C" | "POSIX"));
        Self { width, unicode: !plain && std::env::var("TERM").as_deref() != Ok("dumb") }
    }

    /// The room that is left for bars beside `used` columns.
    #[must_use]
    pub fn room(self, used: usize) -> usize {
        self.width.saturating_sub(used).clamp(NARROWEST, WIDEST)
    }

    /// A bar for `amount` where `most` fills `room`.
    #[must_use]
    pub fn bar(self, amount: Money, most: Money, room: usize) -> String {
        let (Ok(amount), Ok(most)) = (u128::try_from(amount.nanos()), u128::try_from(most.nanos())) else {
            return String::new();
        };
        if amount == 0 || most == 0 {
            return String::new();
        }
        let steps = if self.unicode { 8 } else { 1 };
        let filled = (amount * room as u128 * steps).div_ceil(most).min(room as u128 * steps);
        let whole = usize::try_from(filled / steps).unwrap_or(room);
        if !self.unicode {
            return "#".repeat(whole);
        }
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][usize::try_from(filled % steps).unwrap_or_default()];
        format!("{}{rest}", "█".repeat(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(unicode: bool, amount: i64, room: usize) -> String {
        Canvas { width: 80, unicode }.bar(Money::from_nanos(amount), Money::from_nanos(1000), room)
    }

    #[test]
    fn bars_are_as_long_as_their_amounts_and_the_smallest_is_seen() {
        assert_eq!(bar(true, 1000, 4), "████");
        assert_eq!(bar(true, 500, 3), "█▌");
        assert_eq!(bar(true, 1, 10), "▏");
        assert_eq!(bar(false, 500, 4), "##");
        assert_eq!(bar(false, 1, 10), "#");
        assert_eq!([bar(true, 0, 10), bar(true, -5, 10)], ["", ""]);
        assert_eq!(Canvas::PLAIN.bar(Money::from_nanos(5), Money::ZERO, 10), "");
        assert_eq!(bar(false, i64::MAX, 10).len(), 10, "never past its room");
    }

    #[test]
    fn the_room_is_what_the_texts_leave() {
        assert_eq!([Canvas::PLAIN.room(30), Canvas::PLAIN.room(200), Canvas::PLAIN.room(0)], [50, 8, 60]);
        assert_eq!(Canvas::of(Look::PLAIN), Canvas::PLAIN);
    }
}
