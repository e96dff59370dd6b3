//! The Price List API's answers: each product with its terms, as JSON in a text.
//!
//! Guarantee: the same products and prices as of a price file are taken, by the same rules. Must never ask.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Imported,
    error::RatesError,
    found::{Found, Origin},
    naming::{self, Attributes},
    terms::OfferTerm,
};

#[derive(Debug, Deserialize)]
struct Listed {
    product: Product,
    #[serde(rename = "serviceCode", default)]
    service: Option<String>,
    #[serde(default)]
    terms: Terms,
    #[serde(default)]
    version: String,
    #[serde(rename = "publicationDate", default)]
    published: String,
}

#[derive(Debug, Deserialize)]
struct Product {
    attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, OfferTerm>,
}

/// The prices of ours in the answers about one offer in one region.
///
/// # Errors
/// When an answer is not in AWS's shape, is in another currency, or there is no price of ours.
pub fn of_answers(offer: &str, region: &str, answers: &[String]) -> Result<Imported, RatesError> {
    let name = format!("AWS's Price List of {offer}");
    let mut found = Found::default();
    let mut origin = Origin { name: name.clone(), offer: offer.to_owned(), ..Origin::default() };
    for answer in answers {
        let listed: Listed = serde_json::from_str(answer)
            .map_err(|error| RatesError::Foreign { name: name.clone(), why: format!("a product of it: {error}") })?;
        let service = listed.service.as_deref().unwrap_or(offer);
        let Some((of, rule)) = naming::find(&listed.product.attributes, Some(service)) else { continue };
        if of != region {
            continue;
        }
        found.add(&name, of, rule, listed.terms.on_demand.values())?;
        // All are of one version; where they are not, the oldest day counts.
        if origin.published.is_empty() || listed.published < origin.published {
            (origin.published, origin.version) = (listed.published, listed.version);
        }
    }
    if origin.published.is_empty() {
        // Nothing of ours: which is told as such, not as a missing date.
        "1970-01-01".clone_into(&mut origin.published);
    }
    found.imported(&origin, Some(region))
}
