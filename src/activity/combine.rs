//! One reading of several sources.

use crate::domain::model::ActivityReading;

/// What the sources say together.
///
/// Any use counts, the latest of them. Without use: one source that cannot be asked makes the whole unknown;
/// otherwise it has been quiet since the latest moment from which all were watched. No source at all is unknown.
#[must_use]
pub fn combine(readings: &[ActivityReading]) -> ActivityReading {
    use ActivityReading::{Active, Quiet, Unknown};
    let mut readings = readings.iter();
    let Some(first) = readings.next().cloned() else { return Unknown };
    readings.fold(first, |so_far, reading| match (&so_far, reading) {
        (Active { last: known, .. }, Active { last, .. }) if last > known => reading.clone(),
        (Active { .. }, _) => so_far,
        (_, Active { .. }) => reading.clone(),
        (Unknown, _) | (_, Unknown) => Unknown,
        (Quiet { since: known }, Quiet { since }) => Quiet { since: *known.max(since) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Timestamp;

    fn active(secs: i64) -> ActivityReading {
        let last = Timestamp::from_millis(secs * 1000);
        ActivityReading::Active { last, source: "requests".into(), what: "used".into() }
    }

    fn quiet(secs: i64) -> ActivityReading {
        ActivityReading::Quiet { since: Timestamp::from_millis(secs * 1000) }
    }

    #[test]
    fn use_counts_unknown_is_not_quiet_and_quiet_starts_with_the_latest_watch() {
        let unknown = ActivityReading::Unknown;
        assert_eq!(combine(&[]), unknown);
        assert_eq!(combine(&[quiet(5), active(3), unknown.clone()]), active(3));
        assert_eq!(combine(&[active(3), active(9), active(4)]), active(9));
        assert_eq!(combine(&[quiet(5), unknown.clone()]), unknown);
        assert_eq!(combine(&[unknown.clone(), quiet(5)]), unknown);
        assert_eq!(combine(&[quiet(5), quiet(8), quiet(2)]), quiet(8));
    }
}
