//! Hours, days, weeks and months of a calendar, for budgets, reports and bills.
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

    /// The first instant of a date: of a midnight that comes twice the first, of one that does not exist what comes next.
    fn midnight(self, date: NaiveDate) -> Timestamp {
        /// No zone ever left out more than a day at once.
        const LONGEST_GAP: i64 = 26 * 60;
        let begin = date.and_time(NaiveTime::MIN);
        let exists = (0..LONGEST_GAP).find_map(|minutes| {
            let local = begin.checked_add_signed(TimeDelta::minutes(minutes))?;
            self.0.from_local_datetime(&local).earliest()
        });
        exists.map_or(Timestamp::MAX, |at| at.with_timezone(&chrono::Utc).into())
    }

    /// How far its clock is ahead of Greenwich.
    fn ahead(self, at: Timestamp) -> TimeDelta {
        self.local(at) - at.to_chrono().naive_utc()
    }

    /// Since its clock last showed a full hour, by that clock.
    fn past(self, at: Timestamp) -> Span {
        let local = self.local(at);
        let seconds = u64::from(local.minute() * 60 + local.second());
        Span::from_millis(seconds * 1000 + u64::from(local.and_utc().timestamp_subsec_millis()))
    }

    /// When its clock was last set, after `from` and not after `until`; none: it shows both by one offset.
    fn set(self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let ahead = self.ahead(until);
        if self.ahead(from) == ahead {
            return None;
        }
        let (mut before, mut after) = (from.as_millis(), until.as_millis());
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.ahead(Timestamp::from_millis(middle)) == ahead { after = middle } else { before = middle }
        }
        Some(Timestamp::from_millis(after))
    }

    /// Whether an hour begins where its clock was set: it then shows a full hour, or another one than just before. Set
    /// back within an hour, that hour goes on and is longer.
    fn begins(self, set: Timestamp) -> bool {
        let hour =
            |at| self.local(at).with_minute(0).and_then(|it| it.with_second(0)).and_then(|it| it.with_nanosecond(0));
        self.past(set) == Span::ZERO || hour(set) != hour(set - Span::from_millis(1))
    }

    /// When the hour that holds `at` began.
    fn hour(self, at: Timestamp) -> Timestamp {
        let begin = at - self.past(at);
        match self.set(begin, at) {
            None => begin,
            Some(set) if self.begins(set) => set,
            Some(set) => self.hour(set - Span::from_millis(1)),
        }
    }

    /// When the first hour after `at` begins.
    fn next_hour(self, at: Timestamp) -> Timestamp {
        let next = at + Span::from_mins(60).saturating_sub(self.past(at));
        match self.set(at, next) {
            None => next,
            Some(set) if self.begins(set) => set,
            Some(set) => self.next_hour(set),
        }
    }

    /// The day, week (from Monday) or month that holds `at`: its first instant, and the next one's.
    #[must_use]
    pub fn stretch(self, kind: Stretch, at: Timestamp) -> (Timestamp, Timestamp) {
        let mut first = kind.first(self.local(at).date());
        // Where a clock is set back across midnight, a date comes twice: the instants decide, not the dates.
        while at < self.midnight(first) {
            let Some(before) = first.checked_sub_days(Days::new(1)) else { break };
            first = kind.first(before);
        }
        while at >= self.midnight(kind.next(first)) && kind.next(first) < NaiveDate::MAX {
            first = kind.next(first);
        }
        (self.midnight(first), self.midnight(kind.next(first)))
    }
}

/// Stretches of whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// A month of the calendar.
    Month,
}

impl Stretch {
    /// The first day of the one that a day lies in.
    fn first(self, day: NaiveDate) -> NaiveDate {
        match self {
            Stretch::Day => day,
            Stretch::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
            Stretch::Month => day.with_day(1).unwrap_or(day),
        }
    }

    /// The first day of the one after that which begins with `day`.
    fn next(self, day: NaiveDate) -> NaiveDate {
        match self {
            Stretch::Day => day.checked_add_days(Days::new(1)),
            Stretch::Week => day.checked_add_days(Days::new(7)),
            Stretch::Month => day.checked_add_months(Months::new(1)),
        }
        .unwrap_or(NaiveDate::MAX)
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
    /// From hour to hour of the zone's clock: longer where it is set back within one, shorter where it skips the rest.
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
        self.around(at, zone).0
    }

    /// When the next one begins, after the one that began at `begin`.
    #[must_use]
    pub fn next(self, begin: Timestamp, zone: TimeZone) -> Timestamp {
        self.around(begin, zone).1
    }

    fn around(self, at: Timestamp, zone: TimeZone) -> (Timestamp, Timestamp) {
        match self {
            Bucket::Hour => {
                let begin = zone.hour(at);
                (begin, zone.next_hour(begin))
            }
            Bucket::Day => zone.stretch(Stretch::Day, at),
            Bucket::Month => zone.stretch(Stretch::Month, at),
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
    fn an_hour_in_which_clocks_move_by_half_of_it_is_one_stretch() {
        let howe: TimeZone = "Australia/Lord_Howe".parse().unwrap();
        let hours = |from: &str, until: &str| {
            let (mut begins, mut at) = (Vec::new(), at(from));
            while at < until.parse().unwrap() {
                let begin = Bucket::Hour.begin(at, howe);
                assert_eq!(Bucket::Hour.begin(begin, howe), begin, "of {at}");
                assert!(begin <= at && at < Bucket::Hour.next(begin, howe), "{at}");
                if begins.last() != Some(&begin) {
                    assert!(begins.last().is_none_or(|last| Bucket::Hour.next(*last, howe) == begin), "{begin}");
                    begins.push(begin);
                }
                at = at + Span::from_mins(1);
            }
            begins.iter().map(|it| howe.written(*it, "%H:%M %:z")).collect::<Vec<_>>()
        };
        // On 2026-04-05 clocks went from 02:00 back to 01:30, on 2026-10-04 from 02:00 on to 02:30.
        assert_eq!(
            hours("2026-04-04T13:00:00Z", "2026-04-04T17:00:00Z"),
            ["00:00 +11:00", "01:00 +11:00", "02:00 +10:30", "03:00 +10:30"]
        );
        assert_eq!(
            hours("2026-10-03T13:30:00Z", "2026-10-03T17:00:00Z"),
            ["00:00 +10:30", "01:00 +10:30", "02:30 +11:00", "03:00 +11:00"]
        );
        // Where they go back by a whole hour, that hour comes twice.
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        assert_eq!(Bucket::Hour.begin(at("2026-10-25T00:59:59Z"), berlin), at("2026-10-25T00:00:00Z"));
        assert_eq!(Bucket::Hour.next(at("2026-10-25T00:00:00Z"), berlin), at("2026-10-25T01:00:00Z"));
    }

    #[test]
    fn a_midnight_that_clocks_skip_begins_after_the_gap() {
        let beirut: TimeZone = "Asia/Beirut".parse().unwrap();
        // On 2022-03-27 clocks went from 00:00 to 01:00.
        assert_eq!(Bucket::Day.begin(at("2022-03-27T10:00:00Z"), beirut), at("2022-03-26T22:00:00Z"));
    }

    fn told(kind: Stretch, zone: &str, instant: &str) -> (String, String, u64) {
        let (from, until) = zone.parse::<TimeZone>().unwrap().stretch(kind, at(instant));
        (from.to_string(), until.to_string(), until.since(from).as_secs() / 3600)
    }

    #[test]
    fn days_of_23_24_and_25_hours_begin_at_local_midnight() {
        let day = |at| told(Stretch::Day, "Europe/Berlin", at);
        assert_eq!(day("2026-03-29T10:00:00Z"), ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into(), 23));
        assert_eq!(day("2026-07-01T21:59:59Z"), ("2026-06-30T22:00:00Z".into(), "2026-07-01T22:00:00Z".into(), 24));
        assert_eq!(day("2026-10-25T10:00:00Z"), ("2026-10-24T22:00:00Z".into(), "2026-10-25T23:00:00Z".into(), 25));
    }

    #[test]
    fn midnights_that_do_not_exist_or_come_twice_begin_one_day_each() {
        // 26 April 2024 in Cairo began at 01:00; in Havana 00:00 to 01:00 of 3 November 2024 came twice.
        let cairo = told(Stretch::Day, "Africa/Cairo", "2024-04-26T10:00:00Z");
        assert_eq!((cairo.0.as_str(), cairo.2), ("2024-04-25T22:00:00Z", 23));
        let havana = told(Stretch::Day, "America/Havana", "2024-11-03T05:30:00Z");
        assert_eq!((havana.0.as_str(), havana.2), ("2024-11-03T04:00:00Z", 25));
        // Apia had no 30 December 2011.
        let apia = told(Stretch::Day, "Pacific/Apia", "2011-12-30T12:00:00Z");
        assert_eq!((apia.0.as_str(), apia.2), ("2011-12-30T10:00:00Z", 24));
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let week = told(Stretch::Week, "UTC", "2026-11-24T16:00:00Z");
        assert_eq!(week, ("2026-11-23T00:00:00Z".into(), "2026-11-30T00:00:00Z".into(), 168));
        let month = told(Stretch::Month, "America/New_York", "2027-01-01T03:00:00Z");
        assert_eq!((month.0.as_str(), month.1.as_str()), ("2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z"));
    }

    proptest! {
        #[test]
        fn every_instant_is_in_exactly_one_stretch_and_stretches_abut(
            zone in (0..chrono_tz::TZ_VARIANTS.len()).prop_map(|index| TimeZone(chrono_tz::TZ_VARIANTS[index])),
            kind in (0..3usize).prop_map(|index| [Stretch::Day, Stretch::Week, Stretch::Month][index]),
            at in (90_000_000_000i64..4_000_000_000_000).prop_map(Timestamp::from_millis),
        ) {
            let (from, until) = zone.stretch(kind, at);
            prop_assert!(from <= at && at < until, "{zone} {kind:?} {at}: {from} to {until}");
            let moment = Span::from_millis(1);
            for inside in [from, until - moment] {
                prop_assert_eq!(zone.stretch(kind, inside), (from, until), "{} {:?} {}", zone, kind, inside);
            }
            prop_assert_eq!(zone.stretch(kind, until).0, until);
            prop_assert_eq!(zone.stretch(kind, from - moment).1, from);
        }

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
            prop_assert_eq!(bucket.begin(next, zone), next);
            prop_assert_eq!(bucket.begin(next - Span::from_millis(1), zone), begin);
        }
    }
}
