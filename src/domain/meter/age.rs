//! How old prices are.
//!
//! Guarantees: pure, the instant is given; a price without a date has no age. Never says that an old price is wrong.

use crate::domain::model::{Item, RateCard, Span, Timestamp};

/// A price that is older than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aged<'a> {
    /// Of what.
    pub item: Item,
    /// Its date, `YYYY-MM-DD`.
    pub as_of: &'a str,
}

/// Those of the items whose price in `card` is from before `most` ago.
#[must_use]
pub fn aged<'a>(card: &'a RateCard, items: &[Item], most: Span, now: Timestamp) -> Vec<Aged<'a>> {
    // Dates of this form are in order as texts.
    let oldest = (now - most).to_chrono().format("%Y-%m-%d").to_string();
    let dated = items.iter().filter_map(|item| Some(Aged { item: *item, as_of: card.price(*item)?.as_of.as_str() }));
    dated.filter(|aged| !aged.as_of.is_empty() && aged.as_of < oldest.as_str()).collect()
}

/// One sentence that names them; none where all are young enough, or no age is set.
#[must_use]
pub fn age_warning(card: &RateCard, items: &[Item], most: Option<Span>, now: Timestamp) -> Option<String> {
    let most = most?;
    let named: Vec<String> =
        aged(card, items, most, now).iter().map(|aged| format!("{} ({})", aged.item, aged.as_of)).collect();
    (!named.is_empty()).then(|| {
        format!(
            "prices in {} are older than {} (daemon.rates_max_age): {}; `labguard rates refresh` asks AWS for its \
             prices, `labguard rates import` takes its price file",
            card.region,
            in_days(most),
            named.join(", ")
        )
    })
}

/// Ages are told in days: nobody counts a price's in months and hours.
fn in_days(age: Span) -> String {
    match age.as_secs() / 86_400 {
        0 => age.to_string(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{Basis, Money, Price};

    #[test]
    fn a_price_is_old_on_the_day_after_its_last_and_one_without_a_date_never_is() {
        let price = |as_of: &str| Price {
            amount: Money::from_nanos(1),
            basis: Basis::Given,
            as_of: as_of.to_owned(),
            source: "test".to_owned(),
        };
        let mut card = RateCard { region: "us-east-1".to_owned(), ..RateCard::default() };
        card.prices.insert(Item::VcpuX86, price("2026-10-01"));
        card.prices.insert(Item::MemoryX86, price(""));
        let items = [Item::VcpuX86, Item::MemoryX86, Item::PublicIpv4];
        let days = |days: u64| Span::from_mins(days * 24 * 60);
        let last: Timestamp = "2026-10-31T23:59:59Z".parse().unwrap();
        assert_eq!(aged(&card, &items, days(30), last), []);
        let next = last + Span::from_secs(1);
        assert_eq!(aged(&card, &items, days(30), next), [Aged { item: Item::VcpuX86, as_of: "2026-10-01" }]);
        assert_eq!(age_warning(&card, &items, None, next), None);
        let said = age_warning(&card, &items, Some(days(30)), next).unwrap();
        assert!(said.contains("older than 30 days") && said.contains("Fargate vCPU (2026-10-01);"), "{said}");
        assert_eq!(age_warning(&card, &items, Some(days(40)), next), None);
    }
}
