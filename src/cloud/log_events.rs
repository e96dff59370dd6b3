//! Lines that tasks wrote: the newest that match a pattern, as signs of use. Reads only.

use super::{Cloud, fault};
use crate::domain::model::{Fault, FaultClass, Timestamp};

const FILTER: &str = "logs:FilterLogEvents";

/// More pages than this are not read at once: AWS may give many that are empty.
const MOST_PAGES: usize = 20;

impl Cloud {
    /// The time of the newest line after `since` that matches `pattern` in the streams whose names begin with `prefix`,
    /// and how many lines were found; nothing where there are none.
    ///
    /// # Errors
    /// AWS's refusal (a group that does not exist is one), or an answer that does not end.
    pub async fn newest_line(
        &self,
        group: &str,
        prefix: &str,
        pattern: &str,
        since: Timestamp,
    ) -> Result<Option<(Timestamp, usize)>, Fault> {
        let (mut next, mut newest, mut many) = (None, None, 0);
        for _ in 0..MOST_PAGES {
            let asked = self.inner.logs.filter_log_events().log_group_name(group).log_stream_name_prefix(prefix);
            let asked = asked.filter_pattern(pattern).start_time(since.as_millis() + 1).set_next_token(next);
            let answer = self.call(FILTER, asked.send()).await?;
            let lines = answer.events.unwrap_or_default();
            many += lines.len();
            newest = newest.max(lines.iter().filter_map(|line| line.timestamp).max());
            next = answer.next_token;
            if next.is_none() {
                break;
            }
        }
        match (newest, next) {
            (Some(at), _) => Ok(Some((Timestamp::from_millis(at), many))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(fault::own(
                FaultClass::Transient,
                FILTER,
                "Unending",
                format!("{MOST_PAGES} pages of the log group {group} held no line that matches, and there are more"),
                Some("choose a narrower pattern (activity.logs.pattern), or ask more often (activity.logs.interval)"),
            )),
        }
    }
}
