//! Lines that tasks wrote: the newest that match a pattern, as signs of use. Reads only.

use super::Cloud;
use crate::domain::model::{Fault, Timestamp};

const FILTER: &str = "logs:FilterLogEvents";

/// More pages than this are not read at once: AWS may give many that are empty.
const MOST_PAGES: usize = 20;

/// The newest lines that were found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewestLines {
    /// Of those that count, and how many there were.
    pub counted: Option<(Timestamp, usize)>,
    /// Whether that was all that is there.
    pub whole: bool,
    /// Where to read on, if there is more than was read at once and nothing of it counts so far.
    pub more: Option<String>,
}

impl Cloud {
    /// The newest line after `since` that matches `pattern`, in the streams whose names begin with `prefix`, and `counts`,
    /// with how many those are. All instants are by our clock. Of a
    /// long log it reads a part at once: `more` of one answer is where the next question, with the same `since`, goes on.
    ///
    /// # Errors
    /// AWS's refusal; a group that does not exist is one.
    pub async fn newest_line(
        &self,
        group: &str,
        prefix: &str,
        pattern: &str,
        since: Timestamp,
        more: Option<String>,
        counts: impl Fn(&str) -> bool,
    ) -> Result<NewestLines, Fault> {
        let apart = self.inner.skew.apart();
        let start = apart.theirs(since).as_millis() + 1;
        let mut found = NewestLines::default();
        let mut next = more;
        for _ in 0..MOST_PAGES {
            let asked = self.inner.logs.filter_log_events().log_group_name(group).log_stream_name_prefix(prefix);
            let asked = asked.filter_pattern(pattern).start_time(start).set_next_token(next);
            let answer = self.call(FILTER, asked.send()).await?;
            let lines = answer.events.unwrap_or_default();
            for line in lines {
                let Some(at) = line.timestamp.map(|at| apart.ours(Timestamp::from_millis(at))) else { continue };
                if counts(line.message.as_deref().unwrap_or_default()) {
                    let (newest, many) = found.counted.unwrap_or((at, 0));
                    found.counted = Some((newest.max(at), many + 1));
                }
            }
            next = answer.next_token;
            if next.is_none() {
                break;
            }
        }
        found.whole = next.is_none();
        found.more = next.filter(|_| found.counted.is_none());
        Ok(found)
    }
}
