//! Budgets that sessions share: whose they are, what happens at which share of them, and which period is when.
//!
//! Guarantees: every instant lies in exactly one period, and periods abut, in any time zone: days of 23 and 25 hours,
//! midnights that do not exist or come twice, and days that were left out included. Must never look at a clock.

use chrono::{Datelike, Days, LocalResult, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::domain::model::{Measure, Money, Period, Record, Scope, Threshold, Timestamp};

/// One `[budgets.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBudget {
    /// NAME.
    pub name: String,
    /// Whose sessions share it.
    pub scope: Scope,
    /// Which owner, group or account; absent: each of them has one of this size of its own.
    pub of: Option<String>,
    /// How long it is for.
    pub period: Period,
    /// The IANA time zone in which periods begin and end.
    pub zone: String,
    /// How much.
    pub limit: Money,
    /// At which hundredths of it something happens.
    pub shares: Shares,
}

/// Hundredths of a budget at which something happens; absent: never.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shares {
    /// It is told.
    pub notify: Vec<u8>,
    /// No further session is opened or resumed.
    pub block: Option<u8>,
    /// Its sessions are stopped.
    pub stop: Option<u8>,
    /// Its sessions are torn down.
    pub teardown: Option<u8>,
}

impl SharedBudget {
    /// Whose part of this budget a session spends; none if it spends none of it. `account` is where it runs.
    #[must_use]
    pub fn key(&self, owner: &str, group: &str, account: Option<&str>) -> Option<String> {
        let key = match self.scope {
            Scope::Daemon => "",
            Scope::Account => account?,
            Scope::Owner => owner,
            Scope::Group => group,
        };
        let none = key.is_empty() && self.scope != Scope::Daemon;
        let other = self.of.as_ref().is_some_and(|of| of != key);
        (!none && !other).then(|| key.to_owned())
    }

    /// The same for a record; `home` is the account of sessions that do not know theirs yet.
    #[must_use]
    pub fn key_of(&self, record: &Record, home: Option<&str>) -> Option<String> {
        let account = record.identity.as_ref().map(|identity| identity.account.as_str());
        self.key(&record.owner, &record.group, account.or(home))
    }

    /// Whose it is, where the configuration says so; none where everybody has one of their own.
    #[must_use]
    pub fn named(&self) -> Option<String> {
        self.of.clone().or_else(|| (self.scope == Scope::Daemon).then(String::new))
    }

    /// What happens at which amount, lowest first. Shares are rounded down: never later than said.
    #[must_use]
    pub fn thresholds(&self) -> Vec<Threshold> {
        let amount = |percent: u8| {
            let nanos = i128::from(self.limit.nanos()) * i128::from(percent) / 100;
            Money::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
        };
        let at = |measure| move |percent: &u8| Threshold { percent: *percent, measure, amount: amount(*percent) };
        let mut all: Vec<Threshold> = self.shares.notify.iter().map(at(Measure::Notify)).collect();
        all.extend(self.shares.block.iter().map(at(Measure::Block)));
        all.extend(self.shares.stop.iter().map(at(Measure::Stop)));
        all.extend(self.shares.teardown.iter().map(at(Measure::Teardown)));
        all.sort_unstable();
        all
    }

    /// The period that `at` lies in: when it began, and when it ends (never, for life).
    #[must_use]
    pub fn stretch(&self, at: Timestamp) -> (Timestamp, Option<Timestamp>) {
        // `config` refuses an unknown zone; of what never was checked, the day is UTC's.
        stretch(self.period, self.zone.parse().unwrap_or(Tz::UTC), at)
    }
}

/// The first day of the period that a day lies in.
fn first(period: Period, day: NaiveDate) -> NaiveDate {
    match period {
        Period::Day | Period::Life => day,
        Period::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
        Period::Month => day.with_day(1).unwrap_or(day),
    }
}

/// The first day of the period after the one that begins with `day`.
fn next(period: Period, day: NaiveDate) -> NaiveDate {
    match period {
        Period::Day | Period::Life => day.checked_add_days(Days::new(1)),
        Period::Week => day.checked_add_days(Days::new(7)),
        Period::Month => day.checked_add_months(Months::new(1)),
    }
    .unwrap_or(NaiveDate::MAX)
}

/// The first instant of a day: of a midnight that comes twice the first, of one that does not exist what comes next.
fn begin(zone: Tz, day: NaiveDate) -> Timestamp {
    /// No zone ever left out more than a day at once.
    const LONGEST_GAP: i64 = 26 * 60;
    let midnight = day.and_time(NaiveTime::MIN);
    let exists = (0..LONGEST_GAP).find_map(|minutes| {
        let local = midnight.checked_add_signed(TimeDelta::minutes(minutes))?;
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) => Some(at),
            LocalResult::Ambiguous(first, second) => Some(first.min(second)),
            LocalResult::None => None,
        }
    });
    exists.map_or(Timestamp::MAX, |at| at.with_timezone(&chrono::Utc).into())
}

fn stretch(period: Period, zone: Tz, at: Timestamp) -> (Timestamp, Option<Timestamp>) {
    if period == Period::Life {
        return (Timestamp::default(), None);
    }
    let mut day = first(period, at.to_chrono().with_timezone(&zone).date_naive());
    // Where a clock is set back across midnight, a date comes twice: the instants decide, not the dates.
    while at < begin(zone, day) {
        let Some(before) = day.checked_sub_days(Days::new(1)) else { break };
        day = first(period, before);
    }
    while at >= begin(zone, next(period, day)) && next(period, day) < NaiveDate::MAX {
        day = next(period, day);
    }
    (begin(zone, day), Some(begin(zone, next(period, day))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(scope: Scope, of: Option<&str>) -> SharedBudget {
        let shares = Shares { notify: vec![80, 50], block: Some(90), stop: None, teardown: Some(100) };
        let of = of.map(str::to_owned);
        let (zone, limit) = ("UTC".to_owned(), "5 USD".parse().unwrap());
        SharedBudget { name: "class".into(), scope, of, period: Period::Day, zone, limit, shares }
    }

    fn told(period: Period, zone: &str, at: &str) -> (String, String, u64) {
        let (from, until) = stretch(period, zone.parse().unwrap(), at.parse().unwrap());
        let until = until.unwrap();
        (from.to_string(), until.to_string(), until.since(from).as_secs() / 3600)
    }

    #[test]
    fn a_session_spends_the_budgets_that_it_belongs_to_and_no_other() {
        let key = |scope, of| budget(scope, of).key("ada", "ml", Some("123456789012"));
        assert_eq!(key(Scope::Daemon, None).as_deref(), Some(""));
        assert_eq!(key(Scope::Owner, None).as_deref(), Some("ada"));
        assert_eq!(key(Scope::Owner, Some("ada")).as_deref(), Some("ada"));
        assert_eq!(key(Scope::Owner, Some("bob")), None);
        assert_eq!(key(Scope::Group, Some("ml")).as_deref(), Some("ml"));
        assert_eq!(key(Scope::Account, None).as_deref(), Some("123456789012"));
        assert_eq!(budget(Scope::Group, None).key("ada", "", None), None, "no group is no group of its own");
        assert_eq!(budget(Scope::Account, None).key("ada", "ml", None), None, "not known yet");
    }

    #[test]
    fn shares_are_money_lowest_first_and_never_more_than_said() {
        let all: Vec<String> = budget(Scope::Daemon, None)
            .thresholds()
            .iter()
            .map(|it| format!("{} {}", it.measure.name(), it.amount.exact()))
            .collect();
        assert_eq!(all, ["notify 2.50 USD", "notify 4.00 USD", "block 4.50 USD", "teardown 5.00 USD"]);
        let odd = SharedBudget { limit: Money::from_nanos(199), ..budget(Scope::Daemon, None) };
        assert_eq!(odd.thresholds()[0].amount, Money::from_nanos(99));
    }

    #[test]
    fn days_of_23_24_and_25_hours_begin_at_local_midnight() {
        let day = |at| told(Period::Day, "Europe/Berlin", at);
        assert_eq!(day("2026-03-29T10:00:00Z"), ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into(), 23));
        assert_eq!(day("2026-07-01T21:59:59Z"), ("2026-06-30T22:00:00Z".into(), "2026-07-01T22:00:00Z".into(), 24));
        assert_eq!(day("2026-10-25T10:00:00Z"), ("2026-10-24T22:00:00Z".into(), "2026-10-25T23:00:00Z".into(), 25));
    }

    #[test]
    fn weeks_begin_on_monday_months_on_the_first_and_a_life_never_ends() {
        let week = told(Period::Week, "UTC", "2026-11-24T16:00:00Z");
        assert_eq!(week, ("2026-11-23T00:00:00Z".into(), "2026-11-30T00:00:00Z".into(), 168));
        let month = told(Period::Month, "America/New_York", "2027-01-01T03:00:00Z");
        assert_eq!((month.0.as_str(), month.1.as_str()), ("2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z"));
        assert_eq!(
            stretch(Period::Life, Tz::UTC, "2026-11-24T16:00:00Z".parse().unwrap()),
            (Timestamp::default(), None)
        );
    }

    #[test]
    fn midnights_that_do_not_exist_or_come_twice_begin_one_day_each() {
        // 26 April 2024 in Cairo began at 01:00; in Havana 00:00 to 01:00 of 3 November 2024 came twice.
        let cairo = told(Period::Day, "Africa/Cairo", "2024-04-26T10:00:00Z");
        assert_eq!((cairo.0.as_str(), cairo.2), ("2024-04-25T22:00:00Z", 23));
        let havana = told(Period::Day, "America/Havana", "2024-11-03T05:30:00Z");
        assert_eq!((havana.0.as_str(), havana.2), ("2024-11-03T04:00:00Z", 25));
        // Apia had no 30 December 2011.
        let apia = told(Period::Day, "Pacific/Apia", "2011-12-30T12:00:00Z");
        assert_eq!((apia.0.as_str(), apia.2), ("2011-12-30T10:00:00Z", 24));
    }

    proptest! {
        #[test]
        fn every_instant_is_in_exactly_one_period_and_periods_abut(
            zone in (0..chrono_tz::TZ_VARIANTS.len()).prop_map(|index| chrono_tz::TZ_VARIANTS[index]),
            period in (0..3usize).prop_map(|index| Period::ALL[index]),
            at in (90_000_000_000i64..4_000_000_000_000).prop_map(Timestamp::from_millis),
        ) {
            let (from, until) = stretch(period, zone, at);
            let until = until.unwrap();
            prop_assert!(from <= at && at < until, "{zone} {period:?} {at}: {from} to {until}");
            let second = crate::domain::model::Span::from_millis(1);
            for inside in [from, until - second] {
                prop_assert_eq!(stretch(period, zone, inside), (from, Some(until)), "{} {:?} {}", zone, period, inside);
            }
            prop_assert_eq!(stretch(period, zone, until).0, until);
            prop_assert_eq!(stretch(period, zone, from - second).1, Some(from));
        }
    }
}
