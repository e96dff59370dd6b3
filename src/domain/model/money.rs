//! Money: an integer count of nano-dollars (1 USD = 1,000,000,000).
//!
//! Guarantees: no floating point anywhere; arithmetic saturates instead of wrapping; what is printed
//! with [`Money::exact`] reads back to the same value.

use std::{fmt, iter::Sum, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Span;

/// Nano-dollars in one dollar.
pub const NANOS_PER_DOLLAR: i64 = 1_000_000_000;

/// An amount of US dollars in nano-dollars. Serialised as its exact text, `"0.012345678 USD"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

/// Why a text is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `<digits>[.<1 to 9 digits>] USD`.
    #[error("expected an amount such as \"1.50 USD\"")]
    Shape,
    /// Another currency than US dollars.
    #[error("expected US dollars (USD), found {0}")]
    Currency(String),
    /// More than nano-dollar precision, or too large.
    #[error("amount out of range: at most 9 decimals and 9,000,000,000 USD")]
    Range,
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// From nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// `self - other`, never below zero.
    #[must_use]
    pub const fn less(self, other: Money) -> Money {
        let rest = self.0.saturating_sub(other.0);
        Money(if rest < 0 { 0 } else { rest })
    }

    /// Multiplies by a count, saturating.
    #[must_use]
    pub const fn times(self, count: i64) -> Money {
        Money(self.0.saturating_mul(count))
    }

    /// What `self` per hour comes to over `span`, rounded up to the nano-dollar (never under-counted).
    #[must_use]
    pub fn per_hour_over(self, span: Span) -> Money {
        self.fraction_ceil(u128::from(span.as_millis()), 3_600_000)
    }

    /// `self × numerator ÷ denominator`, rounded up; zero for a non-positive amount or a zero denominator.
    #[must_use]
    pub fn fraction_ceil(self, numerator: u128, denominator: u128) -> Money {
        let Ok(amount) = u128::try_from(self.0) else { return Money::ZERO };
        if denominator == 0 {
            return Money::ZERO;
        }
        let product = amount.saturating_mul(numerator).div_ceil(denominator);
        Money(i64::try_from(product).unwrap_or(i64::MAX))
    }

    /// The exact amount, up to nine decimals and at least two: `0.012345678 USD`.
    #[must_use]
    pub fn exact(self) -> String {
        self.exact_in(2)
    }

    /// How many decimals it takes to write it exactly, up to nine and at least two.
    #[must_use]
    pub fn decimals(self) -> usize {
        let nanos = self.0.unsigned_abs() % 1_000_000_000;
        format!("{nanos:09}").trim_end_matches('0').len().max(2)
    }

    /// The exact amount with at least so many decimals (nine at most), for a column of amounts.
    #[must_use]
    pub fn exact_in(self, decimals: usize) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, nanos) = (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        let digits = format!("{nanos:09}");
        let kept = self.decimals().max(decimals).min(9);
        format!("{sign}{whole}.{} USD", &digits[..kept])
    }
}

/// Four decimals, rounded up, for reading: `0.0124 USD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let tenth_milli = self.0.unsigned_abs().div_ceil(100_000);
        f.pad(&format!("{sign}{}.{:04} USD", tenth_milli / 10_000, tenth_milli % 10_000))
    }
}

impl FromStr for Money {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (amount, currency) = match (text.strip_prefix('$'), text.split_once(char::is_whitespace)) {
            (Some(amount), _) => (amount, "USD"),
            (None, Some((amount, currency))) => (amount, currency.trim()),
            (None, None) => return Err(MoneyError::Shape),
        };
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(MoneyError::Currency(currency.to_owned()));
        }
        let (negative, amount) = match amount.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, amount),
        };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(MoneyError::Shape);
        }
        if fraction.len() > 9 {
            return Err(MoneyError::Range);
        }
        let whole: i64 = whole.parse().map_err(|_| MoneyError::Range)?;
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| MoneyError::Range)?;
        let total = whole
            .checked_mul(NANOS_PER_DOLLAR)
            .and_then(|dollars| dollars.checked_add(nanos))
            .filter(|total| *total <= 9_000_000_000 * NANOS_PER_DOLLAR)
            .ok_or(MoneyError::Range)?;
        Ok(Money(if negative { -total } else { total }))
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, |total, amount| total + amount)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_hour_of_the_smallest_task_is_priced_to_the_nano_dollar() {
        // aws-facts §2.3: 0.25 vCPU and 0.5 GB with IPv4 is 0.0173425 USD an hour.
        let rate: Money = "0.0173425 USD".parse().unwrap();
        assert_eq!(rate.per_hour_over(Span::from_mins(60)), rate);
        assert_eq!(rate.per_hour_over(Span::from_secs(1)).nanos(), 4_818);
    }

    #[test]
    fn mistakes_are_told_apart() {
        assert_eq!("1.50".parse::<Money>(), Err(MoneyError::Shape));
        assert_eq!("1.50 EUR".parse::<Money>(), Err(MoneyError::Currency("EUR".into())));
        assert_eq!("1.0000000001 USD".parse::<Money>(), Err(MoneyError::Range));
        assert_eq!("1,50 USD".parse::<Money>(), Err(MoneyError::Shape));
        assert_eq!("$12.5".parse::<Money>().unwrap().exact(), "12.50 USD");
        let odd = Money::from_nanos(1_500_001_000);
        assert_eq!(
            (odd.decimals(), odd.exact_in(9).as_str(), odd.exact_in(2).as_str()),
            (6, "1.500001000 USD", "1.500001 USD")
        );
    }

    proptest! {
        #[test]
        fn exact_text_reads_back(nanos in -9_000_000_000_000_000_000i64..9_000_000_000_000_000_000) {
            let money = Money::from_nanos(nanos);
            prop_assert_eq!(money.exact().parse::<Money>().unwrap(), money);
        }

        #[test]
        fn accrual_is_monotone_and_never_under_counts(rate in 0i64..1_000_000_000_000, a in 0u64..100_000_000, b in 0u64..100_000_000) {
            let rate = Money::from_nanos(rate);
            let whole = rate.per_hour_over(Span::from_millis(a + b));
            let parts = rate.per_hour_over(Span::from_millis(a)) + rate.per_hour_over(Span::from_millis(b));
            prop_assert!(whole <= parts);
            prop_assert!(parts.nanos() - whole.nanos() <= 1);
            prop_assert!(rate.per_hour_over(Span::from_millis(a)) <= whole);
        }
    }
}
