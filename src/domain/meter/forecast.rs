//! What will have been spent by an instant, and when an amount will have been.
//!
//! Guarantee: a forecast assumes that what costs now goes on costing; it is never lower than what is spent already.

use crate::domain::{
    model::{Cause, Forecast, Money, RateCard, Record, Span, Stage, Timestamp},
    policy::Policy,
};

use super::{
    accrual::{drain, spend},
    estimate::worst_rate,
};

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// How long an amount lasts at `rate` per hour; none when nothing is being spent.
#[must_use]
pub fn time_to_spend(left: Money, rate: Money) -> Option<Span> {
    let (left, rate) = (u128::try_from(left.nanos()).ok()?, u128::try_from(rate.nanos()).ok()?);
    let millis = left.saturating_mul(3_600_000).checked_div(rate)?;
    Some(Span::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

/// What lies ahead in money: at the end of this hour and of this day (UTC), if nothing ends the session before.
#[must_use]
pub fn forecast(spend: Money, rate: Money, now: Timestamp) -> Forecast {
    let end_of = |length: i64| Timestamp::from_millis((now.as_millis().div_euclid(length) + 1) * length);
    let (hour, day) = (end_of(HOUR), end_of(24 * HOUR));
    let by = |at: Timestamp| (at, spend + rate.per_hour_over(at.since(now)));
    Forecast { hour: by(hour), day: by(day) }
}

/// By when what must have been done without labguard, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// By then the tasks must have been stopped.
    pub at: Timestamp,
    /// What the session would end for then.
    pub cause: Cause,
    /// From then on the rest may be removed. Later where a session is kept, stopped, outside its hours.
    pub removal: Timestamp,
}

/// The instant at which something in the cloud must have stopped the tasks, so that budget, longest lifetime and hours
/// hold without labguard: see [`deadlines`].
#[must_use]
pub fn deadline(record: &Record, policy: &Policy, card: &RateCard, budget: Money, now: Timestamp) -> Timestamp {
    deadlines(record, policy, card, budget, now).at
}

/// The soonest of the hard end of its lifetime, its fixed end, the close of its hours, and of when the budget, less what the
/// stop itself costs, is spent at the highest rate of the policy.
#[must_use]
pub fn deadlines(record: &Record, policy: &Policy, card: &RateCard, budget: Money, now: Timestamp) -> Deadline {
    let rate = worst_rate(policy, card);
    let (spent, _) = spend(record, card, now);
    let left = budget.less(spent + rate.per_hour_over(drain(policy)));
    let longest = policy.limits.max_lifetime.max(policy.limits.lifetime);
    let lifetime = record.lives_from() + longest;
    let money = time_to_spend(left, rate).map_or(Timestamp::MAX, |span| now + span);
    let fixed = policy.limits.ends_at.unwrap_or(Timestamp::MAX);
    let ends = [(money, Cause::Budget), (lifetime, Cause::Lifetime), (fixed, Cause::EndTime)];
    let (removal, cause) = ends.into_iter().min_by_key(|(at, _)| *at).unwrap_or((lifetime, Cause::Lifetime));
    let close = closes(record, policy).unwrap_or(Timestamp::MAX);
    if close >= removal {
        return Deadline { at: removal, cause, removal };
    }
    let kept = policy.end.on_hours == Stage::Stop;
    Deadline { at: close, cause: Cause::HoursClosed, removal: if kept { removal } else { close } }
}

/// When its hours close; a session that is stopped already is outside of them.
#[must_use]
pub fn closes(record: &Record, policy: &Policy) -> Option<Timestamp> {
    let hours = policy.limits.hours.as_ref().filter(|_| record.ending.is_none())?;
    hours.first_close_after(record.lives_from().max(record.resumed_at.unwrap_or_default())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_lasts_as_long_as_its_rate_allows() {
        let (cent, rate) = (Money::from_nanos(10_000_000), Money::from_nanos(20_000_000));
        assert_eq!(time_to_spend(cent, rate), Some(Span::from_mins(30)));
        assert_eq!(time_to_spend(cent, Money::ZERO), None);
        assert_eq!(time_to_spend(Money::ZERO, rate), Some(Span::ZERO));
        assert_eq!(time_to_spend(Money::from_nanos(i64::MAX), Money::from_nanos(1)), Some(Span::from_millis(u64::MAX)));
    }

    #[test]
    fn the_hour_and_the_day_end_on_the_clock() {
        let now: Timestamp = "2026-11-22T14:45:00Z".parse().unwrap();
        let (spend, rate) = (Money::from_nanos(1_000), Money::from_nanos(4_000));
        let ahead = forecast(spend, rate, now);
        assert_eq!(ahead.hour, ("2026-11-22T15:00:00Z".parse().unwrap(), Money::from_nanos(2_000)));
        assert_eq!(ahead.day, ("2026-11-23T00:00:00Z".parse().unwrap(), Money::from_nanos(1_000 + 9 * 4_000 + 1_000)));
        let on_the_hour = forecast(spend, rate, ahead.hour.0);
        assert_eq!(on_the_hour.hour.0, "2026-11-22T16:00:00Z".parse().unwrap(), "this hour is the one that begins");
    }
}
