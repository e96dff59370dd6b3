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
    /// Whether that was all of the log so far.
    pub whole: bool,
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

    /// Takes in what a question of `asked` brought; or why there was no answer.
    pub fn take(&mut self, asked: Timestamp, read: Result<Found, String>) -> Seen {
        if let Ok(Found { whole: true, .. }) = &read {
            // What was read is not read again and again; a line that counts may still come late.
            self.from = self.from.max(asked - self.latency);
        }
        match read {
            Err(why) => Seen::Unreadable(why),
            Ok(Found { counted: None, whole: false, .. }) => {
                Seen::Unreadable("its log is long, and is being read on: nothing of it counted so far".to_owned())
            }
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

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn counted(secs: i64, many: usize) -> Result<Found, String> {
        Ok(Found { counted: Some((at(secs), many)), whole: true })
    }

    const NOTHING: Result<Found, String> = Ok(Found { counted: None, whole: true });

    #[test]
    fn a_line_is_use_at_the_time_it_was_written_and_news_once() {
        let mut lines = Lines::since(at(100), Span::from_secs(90));
        assert_eq!(lines.take(at(101), NOTHING), Seen::Nothing);
        assert_eq!(lines.take(at(105), counted(90, 1)), Seen::Nothing, "of before");
        assert_eq!(
            lines.take(at(111), counted(110, 3)),
            Seen::Used { last: at(110), what: "3 lines in the log".into() }
        );
        assert_eq!(lines.take(at(112), counted(110, 3)), Seen::Nothing);
        assert_eq!(lines.take(at(113), Err("denied".into())), Seen::Unreadable("denied".into()));
        assert_eq!(lines.ask_from(), at(110));
    }

    #[test]
    fn what_was_read_is_left_behind_and_a_late_line_is_still_found() {
        let mut lines = Lines::since(at(100), Span::from_secs(90));
        assert_eq!(lines.take(at(150), NOTHING), Seen::Nothing);
        assert_eq!(lines.ask_from(), at(100), "a line of before may still come");
        assert_eq!(lines.take(at(1000), NOTHING), Seen::Nothing);
        assert_eq!(lines.ask_from(), at(910));
        assert_eq!(
            lines.take(at(1010), counted(950, 1)),
            Seen::Used { last: at(950), what: "1 line in the log".into() }
        );
        assert_eq!(lines.ask_from(), at(950));
    }

    #[test]
    fn a_long_log_is_read_on_and_nothing_of_it_is_passed_over() {
        let mut lines = Lines::since(at(100), Span::from_secs(90));
        let part = |counted| Ok(Found { counted, whole: false });
        assert!(matches!(lines.take(at(1000), part(None)), Seen::Unreadable(why) if why.contains("read on")));
        assert_eq!(lines.ask_from(), at(100));
        assert_eq!(
            lines.take(at(1060), part(Some((at(300), 7)))),
            Seen::Used { last: at(300), what: "7 lines in the log".into() }
        );
        assert_eq!(lines.ask_from(), at(300), "what is behind it was not read");
    }
}
