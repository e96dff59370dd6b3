//! Use of the application, by lines in its log: from the newest matching line that is known to looks.
//!
//! A line bears the time at which it was written, however late it is read: that is the time of use. Guarantee: a line is
//! news once; how late lines may come is the policy's latency, and not guessed here.

use super::fold::Seen;
use crate::domain::model::Timestamp;

/// From the newest matching line to looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    newest: Timestamp,
}

impl Lines {
    /// Lines from before `begin` are of no interest: the session was not there, or not used then.
    #[must_use]
    pub const fn since(begin: Timestamp) -> Self {
        Self { newest: begin }
    }

    /// From when on lines have to be asked for: older ones are no news, however late they come.
    #[must_use]
    pub fn ask_from(&self) -> Timestamp {
        self.newest
    }

    /// Takes in the newest line that a question brought, if any, and how many there were; or why there was no answer.
    pub fn take(&mut self, read: Result<Option<(Timestamp, usize)>, String>) -> Seen {
        match read {
            Err(why) => Seen::Unreadable(why),
            Ok(Some((last, many))) if last > self.newest => {
                self.newest = last;
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
        let mut lines = Lines::since(at(100));
        assert_eq!(lines.take(Ok(None)), Seen::Nothing);
        assert_eq!(lines.take(Ok(Some((at(90), 1)))), Seen::Nothing, "of before");
        assert_eq!(lines.take(Ok(Some((at(110), 3)))), Seen::Used { last: at(110), what: "3 lines in the log".into() });
        assert_eq!(lines.take(Ok(Some((at(110), 3)))), Seen::Nothing);
        assert_eq!(lines.take(Err("denied".into())), Seen::Unreadable("denied".into()));
        assert_eq!(lines.ask_from(), at(110));
    }
}
