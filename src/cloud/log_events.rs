//! Lines that tasks wrote: the newest that match a pattern, as signs of use. Reads only.

use super::{Cloud, fault};
use crate::domain::model::{Fault, FaultClass, Timestamp};

const FILTER: &str = "logs:FilterLogEvents";

/// More pages than this are not read at once: AWS may give many that are empty.
const MOST_PAGES: usize = 20;

/// The newest lines that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NewestLines {
    /// Of those that count, and how many there were.
    pub counted: Option<(Timestamp, usize)>,
    /// Of all.
    pub newest: Option<Timestamp>,
}

impl Cloud {
    /// The newest line after `since` that matches `pattern`, in the streams whose names begin with `prefix`, and `counts`,
    /// with how many those are; and the newest that matches, whether it counts or not.
    ///
    /// # Errors
    /// AWS's refusal (a group that does not exist is one), or an answer that does not end.
    pub async fn newest_line(
        &self,
        group: &str,
        prefix: &str,
        pattern: &str,
        since: Timestamp,
        counts: impl Fn(&str) -> bool,
    ) -> Result<NewestLines, Fault> {
        let mut found = NewestLines::default();
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let asked = self.inner.logs.filter_log_events().log_group_name(group).log_stream_name_prefix(prefix);
            let asked = asked.filter_pattern(pattern).start_time(since.as_millis() + 1).set_next_token(next);
            let answer = self.call(FILTER, asked.send()).await?;
            let lines = answer.events.unwrap_or_default();
            for line in lines {
                let Some(at) = line.timestamp.map(Timestamp::from_millis) else { continue };
                found.newest = found.newest.max(Some(at));
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
        match (found.counted, next) {
            (Some(_), _) | (None, None) => Ok(found),
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
