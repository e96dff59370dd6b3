//! Cron windows: the instants at which a session must end, in a time zone.
//!
//! Level-based: the question is always "which is the first such instant after the session began", so a
//! window that closed while the daemon was down has closed all the same.

use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds};

use super::Hours;
use crate::domain::model::Timestamp;

/// Why hours cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Not a cron expression.
    #[error("\"{expression}\" is not a cron expression of five or six fields, such as \"0 18 * * MON-FRI\": {why}")]
    Cron {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not an IANA time zone.
    #[error("\"{0}\" is not an IANA time zone such as \"Europe/Berlin\"")]
    Zone(String),
    /// It never comes.
    #[error("\"{0}\" never matches any instant")]
    Never(String),
}

impl Hours {
    /// The first closing instant strictly after `after`.
    ///
    /// # Errors
    /// When the expression or the zone is unusable; `config` refuses such a policy.
    pub fn first_close_after(&self, after: Timestamp) -> Result<Timestamp, HoursError> {
        let zone: Tz = self.zone.parse().map_err(|_| HoursError::Zone(self.zone.clone()))?;
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser
            .parse(&self.end_cron)
            .map_err(|error| HoursError::Cron { expression: self.end_cron.clone(), why: error.to_string() })?;
        let local = after.to_chrono().with_timezone(&zone);
        let next = cron.find_next_occurrence(&local, false).map_err(|_| HoursError::Never(self.end_cron.clone()))?;
        Ok(next.with_timezone(&chrono::Utc).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(cron: &str, zone: &str, after: &str) -> Result<String, HoursError> {
        let hours = Hours { end_cron: cron.into(), zone: zone.into() };
        hours.first_close_after(after.parse().unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn six_in_the_evening_is_local_time_across_daylight_saving() {
        let at = |after| close("0 18 * * *", "Europe/Berlin", after).unwrap();
        assert_eq!(at("2026-07-01T10:00:00Z"), "2026-07-01T16:00:00Z");
        assert_eq!(at("2026-12-01T10:00:00Z"), "2026-12-01T17:00:00Z");
        assert_eq!(at("2026-12-01T17:00:00Z"), "2026-12-02T17:00:00Z", "strictly after");
    }

    #[test]
    fn six_fields_name_the_second_and_mistakes_are_told_apart() {
        assert_eq!(close("30 0 18 * * *", "UTC", "2026-07-01T10:00:00Z").unwrap(), "2026-07-01T18:00:30Z");
        assert!(matches!(close("nonsense", "UTC", "2026-07-01T10:00:00Z"), Err(HoursError::Cron { .. })));
        assert!(matches!(close("0 18 * * *", "Mars/Base", "2026-07-01T10:00:00Z"), Err(HoursError::Zone(_))));
    }
}
