//! The prices in force: what ships with labguard, corrected by what was imported and by what the operator says.
//!
//! Guarantees: the operator's word goes before everything, whenever it came; otherwise a later correction of the same
//! item replaces an earlier one, whatever it says; nothing is ever merged into a price that no source gave.

use std::collections::BTreeMap;

use crate::domain::model::{Basis, Item, Price, RateCard};

use super::table;

/// Region → item → price.
pub type Corrections = BTreeMap<String, BTreeMap<Item, Price>>;

/// Prices of every region that anything is known of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RateBook {
    /// What was imported.
    read: Corrections,
    /// What the operator says.
    given: Corrections,
}

impl RateBook {
    /// What ships with labguard.
    #[must_use]
    pub fn embedded() -> Self {
        Self::default()
    }

    /// Replaces prices, but for those that the operator gave: these only by others of the operator's.
    pub fn correct(&mut self, corrections: &Corrections) {
        for (region, prices) in corrections {
            for (item, price) in prices {
                let layer = if price.basis == Basis::Given { &mut self.given } else { &mut self.read };
                layer.entry(region.clone()).or_default().insert(*item, price.clone());
            }
        }
    }

    /// What the operator says.
    #[must_use]
    pub const fn given(&self) -> &Corrections {
        &self.given
    }

    /// The card of a region; without any price where nothing is known of it.
    #[must_use]
    pub fn card(&self, region: &str) -> RateCard {
        let shipped = table::card(region);
        let mut card = shipped.unwrap_or_else(|| RateCard { region: region.to_owned(), prices: BTreeMap::new() });
        for corrections in [&self.read, &self.given].into_iter().filter_map(|layer| layer.get(region)) {
            card.prices.extend(corrections.iter().map(|(item, price)| (*item, price.clone())));
        }
        card
    }

    /// Every region that anything is known of.
    #[must_use]
    pub fn regions(&self) -> Vec<String> {
        let corrected = self.read.keys().chain(self.given.keys()).cloned();
        let mut regions: Vec<String> = table::regions().map(str::to_owned).chain(corrected).collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{Basis, Money};

    #[test]
    fn the_last_word_on_a_price_counts_but_the_operator_s_goes_before_it_and_the_others_stay() {
        let said = |nanos, basis| {
            let price = Price {
                amount: Money::from_nanos(nanos),
                basis,
                as_of: "2026-11-01".to_owned(),
                source: "test".to_owned(),
            };
            BTreeMap::from([("us-east-1".to_owned(), BTreeMap::from([(Item::VcpuX86, price)]))])
        };
        let mut book = RateBook::embedded();
        book.correct(&said(1, Basis::Imported));
        book.correct(&said(2, Basis::Given));
        book.correct(&said(3, Basis::Imported));
        let card = book.card("us-east-1");
        assert_eq!(card.price(Item::VcpuX86).map(|price| (price.amount.nanos(), price.basis)), Some((2, Basis::Given)));
        assert_eq!(card.amount(Item::PublicIpv4).exact(), "0.005 USD");
        assert_eq!(book.card("us-west-2"), RateBook::embedded().card("us-west-2"));
    }

    #[test]
    fn a_region_of_which_nothing_is_known_has_no_price_at_all() {
        let card = RateBook::embedded().card("cn-north-1");
        assert_eq!(card.unpriced(&Item::ALL).count(), Item::ALL.len());
        assert!(RateBook::embedded().regions().contains(&"eu-central-1".to_owned()));
    }
}
