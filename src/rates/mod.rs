//! Prices from AWS itself: its price files, its Price List answers, and the file in which labguard keeps what it took.
//!
//! Guarantees: a price file is read as a stream, in the same memory whatever its size; what is taken is exactly what AWS
//! says, rounded up below a nano-dollar; a file is taken whole or not at all; what is kept is never half written, and
//! never overwritten where it cannot be read. Must never guess a price, or take one item's for another's.

mod answer;
mod decimal;
mod download;
mod error;
mod file;
mod found;
mod kept;
mod naming;
mod offer;
mod prefix;
mod terms;

pub use answer::of_answers;
pub use download::{download, index_url};
pub use error::RatesError;
pub use file::{read, read_open};
pub use kept::{Change, keep, kept, path_in};
pub use naming::offers;

use crate::domain::{meter::Corrections, model::Item};

/// What was read of AWS's prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Which offers: `AmazonECS 20260929154530`.
    pub sources: Vec<String>,
    /// The prices, each with its date and source.
    pub prices: Corrections,
    /// What was like a price of ours and was not taken, and why: one line each.
    pub left_out: Vec<String>,
}

impl Imported {
    /// How many prices there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.prices.values().map(std::collections::BTreeMap::len).sum()
    }

    /// Takes in what was read elsewhere; of the same item the later.
    pub fn merge(&mut self, other: Imported) {
        self.sources.extend(other.sources);
        self.left_out.extend(other.left_out);
        for (region, prices) in other.prices {
            self.prices.entry(region).or_default().extend(prices);
        }
    }

    /// Whether a region's price of an item is among them.
    #[must_use]
    pub fn has(&self, region: &str, item: Item) -> bool {
        self.prices.get(region).is_some_and(|prices| prices.contains_key(&item))
    }
}

#[cfg(test)]
mod tests;
