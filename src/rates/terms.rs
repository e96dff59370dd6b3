//! What a product costs: from AWS's tiers to one price.
//!
//! Of several tiers the dearest counts: the free ones come first, and the cheap ones are for more than a lab uses.
//! Guarantees: a price is in US dollars and in the unit that is expected, or there is none; nothing is never a price.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{decimal, naming::Rule};

/// A term of an offer, as far as it has prices.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OfferTerm {
    #[serde(rename = "priceDimensions")]
    dimensions: BTreeMap<String, Dimension>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Dimension {
    unit: String,
    #[serde(rename = "pricePerUnit")]
    price: BTreeMap<String, String>,
}

/// What was found of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount {
    /// Nano-dollars of our unit.
    pub nanos: i64,
    /// Of how many tiers it is the dearest.
    pub tiers: usize,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Only these currencies.
    Currency(String),
    /// No number.
    Number(String),
    /// Another unit.
    Unit(String),
    /// Nothing but zeros.
    Free,
}

/// The price by these terms.
pub(super) fn settle<'t>(rule: &Rule, terms: impl IntoIterator<Item = &'t OfferTerm>) -> Result<Amount, Trouble> {
    let mut dearest = 0;
    let mut tiers = 0;
    for dimension in terms.into_iter().flat_map(|term| term.dimensions.values()) {
        let Some(text) = dimension.price.get("USD") else {
            let found: Vec<&str> = dimension.price.keys().map(String::as_str).collect();
            return Err(Trouble::Currency(if found.is_empty() { "no currency".to_owned() } else { found.join(", ") }));
        };
        let nanos = decimal::nanos(text, rule.tens).ok_or_else(|| Trouble::Number(text.clone()))?;
        if nanos > 0 && !rule.unit.fits(&dimension.unit) {
            return Err(Trouble::Unit(dimension.unit.clone()));
        }
        tiers += 1;
        dearest = dearest.max(nanos);
    }
    if dearest > 0 { Ok(Amount { nanos: dearest, tiers }) } else { Err(Trouble::Free) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::naming::{Attributes, find};

    fn rule(service: &str, usage: &str) -> &'static Rule {
        let attributes = serde_json::json!({ "servicecode": service, "regionCode": "us-east-1", "usagetype": usage });
        find(&serde_json::from_value::<Attributes>(attributes).unwrap(), None).unwrap().1
    }

    fn term(tiers: &[(&str, &str, &str)]) -> OfferTerm {
        let tier = |(at, (unit, currency, price)): (usize, &(&str, &str, &str))| {
            (
                format!("t{at}"),
                serde_json::json!({ "unit": unit, "beginRange": "0", "pricePerUnit": { *currency: price } }),
            )
        };
        let dimensions: serde_json::Map<String, serde_json::Value> = tiers.iter().enumerate().map(tier).collect();
        serde_json::from_value(serde_json::json!({ "offerTermCode": "J", "priceDimensions": dimensions })).unwrap()
    }

    #[test]
    fn of_tiers_the_dearest_counts_and_a_free_one_never() {
        let metric = rule("AmazonCloudWatch", "CW:MetricMonitorUsage");
        let settled = |tiers: &[(&str, &str, &str)]| settle(metric, [&term(tiers)]);
        let tiers = [
            ("Metrics", "USD", "0.0000000000"),
            ("Metrics", "USD", "0.3000000000"),
            ("Metrics", "USD", "0.1000000000"),
        ];
        assert_eq!(settled(&tiers), Ok(Amount { nanos: 300_000_000, tiers: 3 }));
        assert_eq!(settled(&tiers[..1]), Err(Trouble::Free));
        assert_eq!(settled(&[]), Err(Trouble::Free));
        assert_eq!(settled(&[("Hrs", "USD", "0.3")]), Err(Trouble::Unit("Hrs".to_owned())));
        assert_eq!(settled(&[("Metrics", "CNY", "0.3")]), Err(Trouble::Currency("CNY".to_owned())));
        assert_eq!(settled(&[("Metrics", "USD", "much")]), Err(Trouble::Number("much".to_owned())));
    }

    #[test]
    fn a_price_for_one_request_becomes_one_for_a_thousand() {
        let requests = rule("AmazonCloudWatch", "CW:Requests");
        let settled = settle(requests, [&term(&[("Requests", "USD", "0.0000100000")])]);
        assert_eq!(settled, Ok(Amount { nanos: 10_000_000, tiers: 1 }));
    }
}
