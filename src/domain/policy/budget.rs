//! Budgets that sessions share: whose they are, what happens at which share of them, and which period is when.
//!
//! Guarantees: a share is never more of the limit than said; a period is a stretch of the calendar in the budget's zone.
//! Must never look at a clock.

use serde::{Deserialize, Serialize};

use crate::domain::model::{Measure, Money, Period, Record, Scope, Stretch, Threshold, TimeZone, Timestamp};

/// One `[budgets.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
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
        let kind = match self.period {
            Period::Life => return (Timestamp::default(), None),
            Period::Day => Stretch::Day,
            Period::Week => Stretch::Week,
            Period::Month => Stretch::Month,
        };
        // `config` refuses an unknown zone; of what never was checked, the day is UTC's.
        let zone: TimeZone = self.zone.parse().unwrap_or_default();
        let (from, until) = zone.stretch(kind, at);
        (from, Some(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(scope: Scope, of: Option<&str>) -> SharedBudget {
        let shares = Shares { notify: vec![80, 50], block: Some(90), stop: None, teardown: Some(100) };
        let of = of.map(str::to_owned);
        let (zone, limit) = ("UTC".to_owned(), "5 USD".parse().unwrap());
        SharedBudget { name: "class".into(), scope, of, period: Period::Day, zone, limit, shares }
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
    fn a_period_is_one_of_its_zone_and_a_life_never_ends() {
        let at = "2027-01-01T03:00:00Z".parse().unwrap();
        let told = |period, zone: &str| {
            let (from, until) =
                SharedBudget { period, zone: zone.to_owned(), ..budget(Scope::Daemon, None) }.stretch(at);
            (from.to_string(), until.map(|until| until.to_string()))
        };
        let day = ("2026-12-31T05:00:00Z".to_owned(), Some("2027-01-01T05:00:00Z".to_owned()));
        assert_eq!(told(Period::Day, "America/New_York"), day);
        assert_eq!(told(Period::Week, "UTC").0, "2026-12-28T00:00:00Z");
        assert_eq!(told(Period::Month, "UTC").0, "2027-01-01T00:00:00Z");
        assert_eq!(told(Period::Life, "UTC"), ("1970-01-01T00:00:00Z".to_owned(), None));
    }
}
