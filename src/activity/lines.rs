//! Use of the application, by lines in its log: from the newest matching line that is known to looks.
//!
//! A line bears the time at which it was written, however late it is read: that is the time of use. Guarantee: a line is
//! news once; how late lines may come is the policy's latency, and not guessed here.

use super::fold::Seen;
use crate::domain::model::{Span, Timestamp};

/// From the newest matching line to looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    newest: Timestamp,
    /// From when on lines have to be asked for.
    from: Timestamp,
    /// How late a line may come.
    latency: Span,
}

/// What a question brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// The newest line that counts, and how many there were.
    pub counted: Option<(Timestamp, usize)>,
    /// The newest line of all.
    pub newest: Option<Timestamp>,
}

impl Lines {
    /// Lines from before `begin` are of no interest: the session was not there, or not used then.
    #[must_use]
    pub const fn since(begin: Timestamp, latency: Span) -> Self {
        Self { newest: begin, from: begin, latency }
    }

    /// From when on lines have to be asked for: older ones are no news, however late they come.
    #[must_use]
    pub fn ask_from(&self) -> Timestamp {
        self.from
    }

    /// Takes in what a question brought; or why there was no answer.
    pub fn take(&mut self, read: Result<Found, String>) -> Seen {
        if let Ok(Found { newest: Some(newest), .. }) = &read {
            // Lines of others are not read again and again; one that counts may still come late.
            self.from = self.from.max(*newest - self.latency);
        }
        match read {
            Err(why) => Seen::Unreadable(why),
            Ok(Found { counted: Some((last, many)), .. }) if last > self.newest => {
                self.newest = last;
                self.from = self.from.max(last);
                let lines = if many == 1 { "1 line".to_owned() } else { format!("{many} lines") };
                Seen::Used { last, what: format!("{lines} in the log") }
            }
            Ok(_) => Seen::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_use_at_the_time_it_was_written_and_news_once() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let counted = |secs, many| Ok(Found { counted: Some((at(secs), many)), newest: Some(at(secs)) });
        let mut lines = Lines::since(at(100), Span::from_secs(90));
        assert_eq!(lines.take(Ok(Found::default())), Seen::Nothing);
        assert_eq!(lines.take(counted(90, 1)), Seen::Nothing, "of before");
        assert_eq!(lines.take(counted(110, 3)), Seen::Used { last: at(110), what: "3 lines in the log".into() });
        assert_eq!(lines.take(counted(110, 3)), Seen::Nothing);
        assert_eq!(lines.take(Err("denied".into())), Seen::Unreadable("denied".into()));
        assert_eq!(lines.ask_from(), at(110));
    }

    #[test]
    fn lines_of_strangers_are_left_behind_and_a_late_line_is_still_found() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut lines = Lines::since(at(100), Span::from_secs(90));
        let strangers = |secs| Ok(Found { counted: None, newest: Some(at(secs)) });
        assert_eq!(lines.take(strangers(150)), Seen::Nothing);
        assert_eq!(lines.ask_from(), at(100), "a line of before may still come");
        assert_eq!(lines.take(strangers(1000)), Seen::Nothing);
        assert_eq!(lines.ask_from(), at(910));
        let late = Ok(Found { counted: Some((at(950), 1)), newest: Some(at(1000)) });
        assert_eq!(lines.take(late), Seen::Used { last: at(950), what: "1 line in the log".into() });
        assert_eq!(lines.ask_from(), at(950));
    }
}
