//! Typed reading of a merged section.
//!
//! Guarantees: never fails (a value that is missing or wrong was reported before, and reads as a neutral one, which
//! nobody sees because there are mistakes). Must never report anything itself.

use std::path::PathBuf;

use ::config::{Map, Value, ValueKind};
use serde_json::Number;

use super::{check, layer::Layer, value};
use crate::domain::model::{Ingress, Money, Span, Timestamp};

/// What the built-in layer's places begin with.
pub(super) const BUILT_IN: &str = "built-in defaults";

/// A section after all layers.
#[derive(Debug)]
pub(super) struct Reader {
    table: Map<String, Value>,
}

impl Reader {
    /// The layers over one another, later ones winning.
    pub(super) fn over(layers: Vec<Map<String, Value>>) -> Reader {
        let mut builder = ::config::Config::builder();
        for layer in layers {
            builder = builder.add_source(Layer(layer));
        }
        let merged = builder.build().map(|built| built.cache.kind);
        Reader { table: if let Ok(ValueKind::Table(table)) = merged { table } else { Map::new() } }
    }

    /// A table inside this one.
    pub(super) fn section(&self, name: &str) -> Map<String, Value> {
        match self.table.get(name).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.clone(),
            _ => Map::new(),
        }
    }

    /// The value at a dotted key.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        let mut levels = key.split('.');
        let mut value = self.table.get(levels.next()?)?;
        for level in levels {
            let ValueKind::Table(table) = &value.kind else { return None };
            value = table.get(level)?;
        }
        Some(value)
    }

    /// Where the value at a key came from; nothing for a built-in default.
    pub(super) fn origin(&self, key: &str) -> Option<String> {
        self.value(key).and_then(check::place).filter(|origin| !origin.starts_with(BUILT_IN))
    }

    fn read<T>(&self, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        self.value(key).filter(|value| !value::is_unset(value)).and_then(|value| read(value).ok())
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.read(key, value::text).unwrap_or_default()
    }

    pub(super) fn optional_text(&self, key: &str) -> Option<String> {
        self.read(key, value::text)
    }

    pub(super) fn optional_path(&self, key: &str) -> Option<PathBuf> {
        self.read(key, value::text).map(PathBuf::from)
    }

    pub(super) fn boolean(&self, key: &str) -> bool {
        self.read(key, value::boolean).unwrap_or_default()
    }

    pub(super) fn integer<T: TryFrom<i64> + Default>(&self, key: &str) -> T {
        self.read(key, value::integer).and_then(|number| T::try_from(number).ok()).unwrap_or_default()
    }

    /// `"never"` is none.
    pub(super) fn optional_integer<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.read(key, value::integer).and_then(|number| T::try_from(number).ok())
    }

    pub(super) fn span(&self, key: &str) -> Span {
        self.read(key, value::span).unwrap_or_default()
    }

    /// `"never"` is none.
    pub(super) fn optional_span(&self, key: &str) -> Option<Span> {
        self.read(key, value::span)
    }

    pub(super) fn money(&self, key: &str) -> Option<Money> {
        self.read(key, value::money)
    }

    /// A price, with its place.
    pub(super) fn price(&self, key: &str) -> Option<(Money, String)> {
        let amount = self.read(key, |value| value::price(value, ""))?;
        Some((amount, self.value(key).map(check::origin).unwrap_or_default()))
    }

    pub(super) fn cpu(&self, key: &str) -> u32 {
        self.read(key, value::cpu).unwrap_or_default()
    }

    pub(super) fn memory(&self, key: &str) -> u32 {
        self.read(key, value::memory).unwrap_or_default()
    }

    pub(super) fn instant(&self, key: &str) -> Option<Timestamp> {
        self.read(key, value::instant)
    }

    pub(super) fn number(&self, key: &str) -> Option<Number> {
        self.read(key, value::number)
    }

    pub(super) fn json(&self, key: &str) -> Option<serde_json::Value> {
        self.read(key, value::json)
    }

    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        self.read(key, value::texts).unwrap_or_default()
    }

    pub(super) fn pairs(&self, key: &str) -> Vec<(String, String)> {
        self.read(key, value::pairs).unwrap_or_default()
    }

    /// A list, each item read by `read`; items that cannot be read are left out.
    pub(super) fn list<T>(&self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        match self.value(key).map(|value| &value.kind) {
            Some(ValueKind::Array(items)) => items.iter().filter_map(read).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn ingress(&self, key: &str) -> Vec<Ingress> {
        self.list(key, |rule| {
            let ValueKind::Table(fields) = &rule.kind else { return None };
            let port = value::integer(fields.get("port")?).ok().and_then(|port| u16::try_from(port).ok())?;
            Some(Ingress { port, sources: value::texts(fields.get("sources")?).ok()? })
        })
    }
}
