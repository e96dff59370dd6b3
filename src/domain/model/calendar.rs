//! Hours, days and months of a calendar, for reports and bills.
//!
//! Guarantees: stretches of one kind and zone follow each other without hole or overlap, whatever daylight saving does;
//! every instant is in exactly one of them. Must never read a clock or the machine's own zone.

use std::{fmt, str::FromStr};

use chrono::{
    Datelike as _, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Timelike as _,
};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::{Span, Timestamp};

/// Whose midnight counts: an IANA zone, written by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeZone(Tz);

/// A name that is no zone's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an IANA time zone such as \"Europe/Berlin\"")]
pub struct UnknownZone(String);

impl TimeZone {
    /// Greenwich: AWS's bills are cut by it.
    pub const UTC: TimeZone = TimeZone(Tz::UTC);

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The first instant of a day, `YYYY-MM-DD`; none for what is no date.
    #[must_use]
    pub fn day(self, text: &str) -> Option<Timestamp> {
        Some(self.midnight(text.parse().ok()?))
    }

    /// As a person of that zone writes it, by chrono's format.
    #[must_use]
    pub fn written(self, at: Timestamp, format: &str) -> String {
        at.to_chrono().with_timezone(&self.0).format(format).to_string()
    }

    fn local(self, at: Timestamp) -> NaiveDateTime {
        at.to_chrono().with_timezone(&self.0).naive_local()
    }

    /// The first instant of a date. Where clocks skip midnight, the day begins after the gap; a date that was skipped
    /// altogether begins with the next.
    fn midnight(self, date: NaiveDate) -> Timestamp {
        let begin = date.and_time(NaiveTime::MIN);
        let quarters = (0..=48 * 4).map(|quarter| begin + TimeDelta::minutes(15 * quarter));
        let first = quarters.filter_map(|local| self.0.from_local_datetime(&local).earliest()).next();
        first.map_or_else(Timestamp::default, |at| at.with_timezone(&chrono::Utc).into())
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TimeZone {
    type Err = UnknownZone;
    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        text.parse().map(TimeZone).map_err(|_| UnknownZone(text.to_owned()))
    }
}

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How long the stretches of a report are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// From hour to hour.
    Hour,
    /// From midnight to midnight.
    #[default]
    Day,
    /// A month of the calendar.
    Month,
}

impl Bucket {
    /// As queries write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Bucket::Hour => "hour",
            Bucket::Day => "day",
            Bucket::Month => "month",
        }
    }

    /// When the one that holds `at` began.
    #[must_use]
    pub fn begin(self, at: Timestamp, zone: TimeZone) -> Timestamp {
        let local = zone.local(at);
        match self {
            Bucket::Hour => {
                let past = u64::from(local.minute() * 60 + local.second()) * 1000;
                at - Span::from_millis(past + u64::from(local.and_utc().timestamp_subsec_millis()))
            }
            Bucket::Day => zone.midnight(local.date()),
            Bucket::Month => zone.midnight(local.date().with_day(1).unwrap_or(local.date())),
        }
    }

    /// When the next one begins, after the one that began at `begin`.
    #[must_use]
    pub fn next(self, begin: Timestamp, zone: TimeZone) -> Timestamp {
        let date = zone.local(begin).date();
        match self {
            Bucket::Hour => self.begin(begin + Span::from_mins(60), zone),
            Bucket::Day => date.checked_add_days(Days::new(1)).map_or(Timestamp::MAX, |next| zone.midnight(next)),
            Bucket::Month => date.checked_add_months(Months::new(1)).map_or(Timestamp::MAX, |next| zone.midnight(next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn days_and_months_are_those_of_the_zone_across_daylight_saving() {
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        let noon = at("2026-10-25T12:00:00Z");
        assert_eq!(Bucket::Day.begin(noon, berlin), at("2026-10-24T22:00:00Z"));
        assert_eq!(Bucket::Day.next(at("2026-10-24T22:00:00Z"), berlin), at("2026-10-25T23:00:00Z"), "25 hours");
        assert_eq!(Bucket::Month.begin(noon, berlin), at("2026-09-30T22:00:00Z"));
        assert_eq!(Bucket::Month.next(at("2026-09-30T22:00:00Z"), berlin), at("2026-10-31T23:00:00Z"));
        assert_eq!(Bucket::Month.begin(noon, TimeZone::UTC), at("2026-10-01T00:00:00Z"));
        let kathmandu: TimeZone = "Asia/Kathmandu".parse().unwrap();
        assert_eq!(Bucket::Hour.begin(at("2026-11-24T10:20:30.5Z"), kathmandu), at("2026-11-24T10:15:00Z"));
        assert_eq!(berlin.day("2026-11-24"), Some(at("2026-11-23T23:00:00Z")));
        assert_eq!(berlin.day("yesterday"), None);
        assert!("Mars/Base".parse::<TimeZone>().is_err());
    }

    #[test]
    fn a_midnight_that_clocks_skip_begins_after_the_gap() {
        let beirut: TimeZone = "Asia/Beirut".parse().unwrap();
        // On 2022-03-27 clocks went from 00:00 to 01:00.
        assert_eq!(Bucket::Day.begin(at("2022-03-27T10:00:00Z"), beirut), at("2022-03-26T22:00:00Z"));
    }

    proptest! {
        #[test]
        fn stretches_follow_each_other_without_hole_or_overlap(
            millis in 0i64..4_000_000_000_000, zone in 0usize..chrono_tz::TZ_VARIANTS.len(), kind in 0usize..3,
        ) {
            let (zone, bucket) = (TimeZone(chrono_tz::TZ_VARIANTS[zone]), [Bucket::Hour, Bucket::Day, Bucket::Month][kind]);
            let at = Timestamp::from_millis(millis + 90 * 86_400_000);
            let begin = bucket.begin(at, zone);
            let next = bucket.next(begin, zone);
            prop_assert!(begin <= at && at < next, "{zone} {bucket:?}: {begin} {at} {next}");
            prop_assert_eq!(bucket.begin(begin, zone), begin);
        }
    }
}
