//! What was found on the way through AWS's prices, until all of it is known to be good.
//!
//! Guarantees: of two products that are one item in one region the dearer counts; what is like a price of ours and is not
//! taken is named. Never grows with what is none of ours.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Imported,
    error::RatesError,
    naming::{Rule, offers},
    terms::{Amount, OfferTerm, Trouble, settle},
};
use crate::domain::model::{Basis, Item, Money, Price};

/// Lines of what was left out that are kept.
const MOST_LEFT_OUT: usize = 50;

/// Prices found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    amounts: BTreeMap<(String, Item), Amount>,
    left_out: BTreeSet<String>,
}

/// Where prices are from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// For messages: the file's name.
    pub name: String,
    /// `AmazonECS`.
    pub offer: String,
    /// `20260929154530`.
    pub version: String,
    /// When AWS published them, as it writes it.
    pub published: String,
}

impl Found {
    /// Takes in a product's terms.
    pub(super) fn add<'t>(
        &mut self,
        name: &str,
        region: &str,
        rule: &Rule,
        terms: impl IntoIterator<Item = &'t OfferTerm>,
    ) -> Result<(), RatesError> {
        let item = rule.item;
        let mut leave_out = |why: String| {
            if self.left_out.len() < MOST_LEFT_OUT {
                self.left_out.insert(format!("{item} in {region}: {why}"));
            }
        };
        match settle(rule, terms) {
            Ok(amount) => {
                let known = self.amounts.entry((region.to_owned(), item)).or_insert(amount);
                *known = (*known).max(amount);
            }
            Err(Trouble::Currency(found)) => return Err(RatesError::Currency { name: name.to_owned(), found }),
            Err(Trouble::Number(text)) => {
                let why = format!("the price of {item} in {region} is {text:?}, which is no amount");
                return Err(RatesError::Damaged { name: name.to_owned(), why });
            }
            Err(Trouble::Unit(unit)) => leave_out(format!("its price is for {unit:?}, not for {}", item.unit())),
            Err(Trouble::Free) => leave_out("AWS names no price above nothing".to_owned()),
        }
        Ok(())
    }

    /// All of it, now that everything was good; of `region` alone, where one is given.
    pub(super) fn imported(self, origin: &Origin, region: Option<&str>) -> Result<Imported, RatesError> {
        let damaged = |why: &str| RatesError::Damaged { name: origin.name.clone(), why: why.to_owned() };
        let as_of = date(&origin.published).ok_or_else(|| damaged("it does not say when it was published"))?;
        let source = format!("{} {}", origin.offer, origin.version).trim_end().to_owned();
        let mut prices = BTreeMap::<String, BTreeMap<Item, Price>>::new();
        for ((of, item), amount) in self.amounts {
            if region.is_some_and(|region| region != of) {
                continue;
            }
            let tiers = if amount.tiers > 1 { format!(", dearest of {} tiers", amount.tiers) } else { String::new() };
            let price = Price {
                amount: Money::from_nanos(amount.nanos),
                basis: Basis::Imported,
                as_of: as_of.to_owned(),
                source: format!("{source}{tiers}"),
            };
            prices.entry(of).or_default().insert(item, price);
        }
        if prices.is_empty() {
            let of = region.map_or(String::new(), |region| format!(" of {region}"));
            let offers = offers().map(|(offer, _)| offer).collect::<Vec<_>>().join(", ");
            return Err(RatesError::Nothing { name: origin.name.clone(), of, offers });
        }
        Ok(Imported { sources: vec![source], prices, left_out: self.left_out.into_iter().collect() })
    }
}

/// The day of `2026-09-29T15:45:30Z`.
fn date(published: &str) -> Option<&str> {
    let day = published.get(..10)?;
    day.parse::<chrono::NaiveDate>().ok().map(|_| day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_read_from_aws_s_instant_or_there_is_none() {
        assert_eq!(date("2026-09-29T15:45:30Z"), Some("2026-09-29"));
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "29.09.2026", "2026-9-29"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
