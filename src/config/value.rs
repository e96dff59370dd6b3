//! From one configured value to one typed value.
//!
//! Guarantees: total (any value gives a result or a sentence about what was expected); no floating point for money and
//! sizes. Must never look at other keys.

use std::str::FromStr;

use ::config::{Value, ValueKind};
use serde_json::Number;

use crate::domain::model::{Money, OWN, Range, Span, Timestamp};

/// What was expected instead.
pub(super) type Expected = String;

/// The text of a value; other kinds are refused.
pub(super) fn text(value: &Value) -> Result<String, Expected> {
    match &value.kind {
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err("a text in quotes".into()),
    }
}

/// Whether a value is what "nothing" looks like for its kind.
pub(super) fn says_nothing(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Nil => true,
        ValueKind::Boolean(it) => !it,
        ValueKind::String(text) => text.is_empty(),
        ValueKind::Array(items) => items.is_empty(),
        ValueKind::Table(table) => table.is_empty(),
        _ => false,
    }
}

/// Whether a value says "not set".
pub(super) fn is_unset(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Nil => true,
        ValueKind::String(text) => text.is_empty(),
        _ => false,
    }
}

/// A truth value.
pub(super) fn boolean(value: &Value) -> Result<bool, Expected> {
    match &value.kind {
        ValueKind::Boolean(it) => Ok(*it),
        _ => Err("true or false".into()),
    }
}

/// A whole number.
pub(super) fn integer(value: &Value) -> Result<i64, Expected> {
    match &value.kind {
        ValueKind::I64(number) => Ok(*number),
        _ => Err("a whole number".into()),
    }
}

/// A length of time, `"1h 30m"`.
pub(super) fn span(value: &Value) -> Result<Span, Expected> {
    let expected = || "a length of time in quotes, such as \"20m\" or \"1h 30m\"".to_owned();
    text(value).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(expected)
}

/// An amount of money, `"1.50 USD"`.
pub(super) fn money(value: &Value) -> Result<Money, Expected> {
    let ValueKind::String(text) = &value.kind else {
        return Err("an amount of money in quotes, such as \"1.50 USD\"".into());
    };
    Money::from_str(text).map_err(|error| match error.to_string() {
        sentence if sentence.starts_with("expected ") => sentence.replacen("expected ", "", 1),
        sentence => format!("an amount such as \"1.50 USD\" ({sentence})"),
    })
}

/// A price, `"0.04048 USD"` for one `unit`; nothing is a price.
pub(super) fn price(value: &Value, unit: &str) -> Result<Money, Expected> {
    let wrong = |why: &str| format!("a price in US dollars for one {unit}, such as \"0.04048 USD\"{why}");
    match money(value) {
        Ok(money) if money.nanos() < 0 => Err(wrong(", not below nothing")),
        Ok(money) => Ok(money),
        Err(expected) if expected.starts_with("US dollars") => Err(expected),
        Err(expected) if expected.contains("out of range") => Err(wrong(", with at most 9 decimals")),
        Err(_) => Err(wrong("")),
    }
}

/// An instant with its offset, RFC 3339 (TOML's own date-times arrive as text).
pub(super) fn instant(value: &Value) -> Result<Timestamp, Expected> {
    let expected = || "a date and time with offset, such as 2027-01-31T18:00:00+01:00".to_owned();
    text(value).ok().and_then(|text| text.trim().replacen(' ', "T", 1).parse().ok()).ok_or_else(expected)
}

/// CPU units: `256`, `"256"`, `".25 vCPU"`.
pub(super) fn cpu(value: &Value) -> Result<u32, Expected> {
    scaled(value, "vcpu").ok_or_else(|| "CPU units such as 256, or text such as \"0.25 vCPU\"".to_owned())
}

/// MiB: `512`, `"512"`, `"0.5 GB"`.
pub(super) fn memory(value: &Value) -> Result<u32, Expected> {
    scaled(value, "gb").ok_or_else(|| "memory in MiB such as 512, or text such as \"0.5 GB\"".to_owned())
}

/// A number of small units, or of `unit`s of 1024 each in decimal writing.
fn scaled(value: &Value, unit: &str) -> Option<u32> {
    let text = match &value.kind {
        ValueKind::I64(number) => return u32::try_from(*number).ok(),
        ValueKind::String(text) => text.trim().to_ascii_lowercase(),
        _ => return None,
    };
    let Some(number) = text.strip_suffix(unit) else { return text.parse().ok() };
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), ""));
    let digits = |part: &str| part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let parse = |part: &str| if part.is_empty() { Some(0u64) } else { part.parse::<u64>().ok() };
    let power = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let parts = parse(fraction)?.checked_mul(1024)?;
    if parts % power != 0 {
        return None;
    }
    u32::try_from(parse(whole)?.checked_mul(1024)?.checked_add(parts / power)?).ok()
}

/// A number, kept as it was written.
pub(super) fn number(value: &Value) -> Result<Number, Expected> {
    match &value.kind {
        ValueKind::I64(number) => Ok((*number).into()),
        ValueKind::Float(number) => Number::from_f64(*number).ok_or_else(|| "a finite number".into()),
        _ => Err("a number".into()),
    }
}

/// JSON, written as text or as a TOML table.
pub(super) fn json(value: &Value) -> Result<serde_json::Value, Expected> {
    match &value.kind {
        ValueKind::String(text) => {
            serde_json::from_str(text).map_err(|error| format!("JSON as text or a table ({error})"))
        }
        ValueKind::Table(_) => plain(value).ok_or_else(|| "JSON as text or a table (finite numbers only)".into()),
        _ => Err("JSON as text, such as '{\"a\": 1}', or a table".into()),
    }
}

fn plain(value: &Value) -> Option<serde_json::Value> {
    Some(match &value.kind {
        ValueKind::Boolean(it) => (*it).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Float(number) => serde_json::Value::Number(Number::from_f64(*number)?),
        ValueKind::String(text) => text.clone().into(),
        ValueKind::Array(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.into(),
        ValueKind::Table(table) => {
            let mut keys: Vec<_> = table.keys().collect();
            keys.sort();
            let pairs = keys.into_iter().map(|key| Some((key.clone(), plain(&table[key])?)));
            serde_json::Value::Object(pairs.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A list of texts.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, Expected> {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(text).collect(),
        _ => Err("a list of texts, such as [\"a\", \"b\"]".into()),
    }
}

/// A table of texts, sorted by key; numbers and truth values are taken as written.
pub(super) fn pairs(value: &Value) -> Result<Vec<(String, String)>, Expected> {
    let expected = || "a table of texts, such as { NAME = \"value\" }".to_owned();
    let ValueKind::Table(table) = &value.kind else { return Err(expected()) };
    let mut pairs = Vec::new();
    for (key, value) in table {
        match &value.kind {
            ValueKind::String(text) => pairs.push((key.clone(), text.clone())),
            ValueKind::I64(_) | ValueKind::Boolean(_) => pairs.push((key.clone(), value.kind.to_string())),
            _ => return Err(expected()),
        }
    }
    pairs.sort();
    Ok(pairs)
}

/// Whether a text is an IPv4 or IPv6 range without host bits, or labguard's own address.
pub(super) fn is_source(text: &str) -> bool {
    text == OWN || is_range(text)
}

/// Whether a text is a range without host bits.
pub(super) fn is_range(text: &str) -> bool {
    text.parse::<Range>().is_ok()
}

/// A value as people wrote it, shortened.
pub(super) fn shown(value: &Value) -> String {
    let full = toml_of(value).to_string();
    match full.char_indices().nth(120) {
        Some((cut, _)) => format!("{}…", &full[..cut]),
        None => full,
    }
}

fn toml_of(value: &Value) -> toml::Value {
    match &value.kind {
        ValueKind::Boolean(it) => toml::Value::Boolean(*it),
        ValueKind::I64(number) => toml::Value::Integer(*number),
        ValueKind::Float(number) => toml::Value::Float(*number),
        ValueKind::String(text) => toml::Value::String(text.clone()),
        ValueKind::Array(items) => toml::Value::Array(items.iter().map(toml_of).collect()),
        ValueKind::Table(table) => {
            toml::Value::Table(table.iter().map(|(key, value)| (key.clone(), toml_of(value))).collect())
        }
        other => toml::Value::String(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind)
    }

    #[test]
    fn sizes_are_read_as_ecs_reads_them() {
        for (text, units) in [(".25 vCPU", 256), ("0.5 vCPU", 512), ("1 vcpu", 1024), ("4vCPU", 4096), ("256", 256)] {
            assert_eq!(cpu(&of(text)), Ok(units), "{text}");
        }
        assert_eq!(cpu(&of(1024i64)), Ok(1024));
        assert_eq!(memory(&of("0.5 GB")), Ok(512));
        assert_eq!(memory(&of("244 GB")), Ok(249_856));
        for bad in ["", "GB", ". GB", "0.1 GB", "1 TB", "-1 GB", "1.2.3 GB", "99999999999 GB", "0.0000000001 GB"] {
            assert!(memory(&of(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_have_no_host_bits() {
        for good in ["0.0.0.0/0", "203.0.113.7/32", "10.0.0.0/8", "::/0", "2001:db8::/32", "::1/128"] {
            assert!(is_range(good), "{good}");
        }
        for bad in ["0.0.0.0", "10.0.0.1/8", "1.2.3.4/33", "::/129", "2001:db8::1/32", "anybody/0", "1.2.3.4/"] {
            assert!(!is_range(bad), "{bad}");
        }
    }

    #[test]
    fn money_in_another_currency_is_told_so() {
        assert_eq!(money(&of("1 EUR")), Err("US dollars (USD), found EUR".into()));
        assert_eq!(money(&of("1,50 USD")), Err("an amount such as \"1.50 USD\"".into()));
    }
}
