//! AWS's price file of one offer, as a stream: products first, then their terms.
//!
//! The file has hundreds of megabytes, of which a few products are ours: these alone are kept, everything else is
//! skipped as it comes. Where terms come before the products, a second pass reads them.
//! Guarantee: memory depends on what is ours, not on the file. Must never take a price before the whole is read.

use std::{collections::BTreeMap, fmt, io::Read};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{
    error::RatesError,
    found::{Found, Origin},
    naming::{self, Attributes, Rule},
    terms::OfferTerm,
};

/// Products of ours that one file may have: all regions have about a thousand.
const MOST_PRODUCTS: usize = 20_000;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Product {
    attributes: Attributes,
}

/// What is known of a file while it is read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    format: Option<String>,
    offer: Option<String>,
    version: String,
    published: String,
    /// Products of ours, by SKU.
    wanted: BTreeMap<String, (String, &'static Rule)>,
    found: Found,
    products_read: bool,
    terms_seen: bool,
    terms_read: bool,
    /// A mistake of the prices themselves.
    trouble: Option<RatesError>,
    name: String,
}

impl Reading {
    /// Nothing yet.
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Reads the file from its beginning to its end. Whether it must be read once more, for terms that came too early.
    pub(super) fn pass(&mut self, reader: impl Read) -> Result<bool, RatesError> {
        let mut json = serde_json::Deserializer::from_reader(reader);
        let read = Document(self).deserialize(&mut json).and_then(|()| json.end());
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        read.map_err(|error| self.broken(&error))?;
        if let Some(format) = self.format.as_deref().filter(|format| *format != "v1.0" && *format != "aws_v1") {
            return Err(self.foreign(format!("its format is {format:?}, not \"v1.0\"")));
        }
        if self.offer.is_none() || !self.products_read || !self.terms_seen {
            return Err(self.foreign("it has not all of offerCode, products and terms".to_owned()));
        }
        Ok(!self.terms_read)
    }

    /// What was found, and of which offer.
    pub(super) fn finish(self) -> (Found, Origin) {
        let origin = Origin {
            name: self.name,
            offer: self.offer.unwrap_or_default(),
            version: self.version,
            published: self.published,
        };
        (self.found, origin)
    }

    fn foreign(&self, why: String) -> RatesError {
        RatesError::Foreign { name: self.name.clone(), why }
    }

    fn broken(&self, error: &serde_json::Error) -> RatesError {
        let (name, why) = (self.name.clone(), error.to_string());
        match (error.classify(), error.io_error_kind()) {
            (serde_json::error::Category::Eof, _) | (_, Some(std::io::ErrorKind::UnexpectedEof)) => {
                RatesError::Cut { name }
            }
            // The beginning tells what it is: a page, a table, another document.
            (serde_json::error::Category::Syntax, _) if self.offer.is_none() && !self.products_read => {
                RatesError::Foreign { name, why: format!("it is not JSON: {why}") }
            }
            (serde_json::error::Category::Data, _) => RatesError::Foreign { name, why },
            _ => RatesError::Damaged { name, why },
        }
    }
}

/// The whole file.
struct Document<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with offerCode, products and terms")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "formatVersion" => reading.format = Some(map.next_value()?),
                "offerCode" => reading.offer = Some(map.next_value()?),
                "version" => reading.version = map.next_value()?,
                "publicationDate" => reading.published = map.next_value()?,
                "products" if !reading.products_read => {
                    map.next_value_seed(Products(reading))?;
                    reading.products_read = true;
                }
                "terms" => {
                    reading.terms_seen = true;
                    if reading.products_read {
                        map.next_value_seed(Terms(reading))?;
                        reading.terms_read = true;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// `products`: SKU → product.
struct Products<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for Products<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Products<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("products by SKU")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        while let Some(sku) = map.next_key::<String>()? {
            let product: Product = map.next_value()?;
            let Some((region, rule)) = naming::find(&product.attributes, reading.offer.as_deref()) else { continue };
            if reading.wanted.len() >= MOST_PRODUCTS {
                return Err(de::Error::custom("it has more products of one kind than AWS has regions"));
            }
            reading.wanted.insert(sku, (region.to_owned(), rule));
        }
        Ok(())
    }
}

/// `terms`: the kind of term → SKU → term. On demand is what is billed without a contract.
struct Terms<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for Terms<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Terms<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("terms by kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(kind) = map.next_key::<String>()? {
            if kind == "OnDemand" {
                map.next_value_seed(OnDemand(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// `OnDemand`: SKU → term's code → term.
struct OnDemand<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for OnDemand<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OnDemand<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("terms by SKU")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Reading { wanted, found, trouble, name, .. } = self.0;
        while let Some(known) = map.next_key_seed(Known(wanted))? {
            let Some((region, rule)) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let terms: BTreeMap<String, OfferTerm> = map.next_value()?;
            if let Err(error) = found.add(name, region, rule, terms.values()) {
                *trouble = Some(error);
                return Err(de::Error::custom("a price cannot be taken"));
            }
        }
        Ok(())
    }
}

/// A SKU: region and rule, where it is one of ours. Others are not even copied.
struct Known<'w>(&'w BTreeMap<String, (String, &'static Rule)>);

impl<'de, 'w> DeserializeSeed<'de> for Known<'w> {
    type Value = Option<(&'w str, &'static Rule)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for Known<'w> {
    type Value = Option<(&'w str, &'static Rule)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SKU")
    }

    fn visit_str<E: de::Error>(self, sku: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(sku).map(|(region, rule)| (region.as_str(), *rule)))
    }
}
