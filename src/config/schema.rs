//! JSON Schema of a configuration file, for editors.
//!
//! Guarantees: made from the table of keys and the words of `default.toml`; a file that labguard takes satisfies it.
//! Must never be stricter than [`super::load`].

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    keys::{BUDGET, Form, Key, Kind, SECTIONS, SESSION},
    reference::explained,
};

/// JSON Schema, draft 2020-12, of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let words: BTreeMap<String, (String, String)> =
        explained().1.into_iter().flat_map(|table| table.keys).map(|key| (key.path, (key.text, key.default))).collect();
    let tables: BTreeMap<String, String> = explained().1.into_iter().map(|table| (table.name, table.text)).collect();
    let mut properties = Map::new();
    for (section, keys) in SECTIONS {
        properties.insert(section.to_owned(), object(section, "", keys, &words, &tables));
    }
    let many = [
        (
            "sessions",
            "defaults",
            SESSION,
            "The sessions, by name.",
            "A session; what it leaves out comes from [defaults].",
        ),
        (
            "budgets",
            "budget_defaults",
            BUDGET,
            "Budgets that sessions share, by name.",
            "A shared budget; what it leaves out comes from [budget_defaults].",
        ),
    ];
    for (name, defaults, keys, all, one) in many {
        let mut section = object(defaults, "", keys, &words, &tables);
        if let Some(fields) = section.as_object_mut() {
            fields.insert("description".into(), one.into());
        }
        properties.insert(
            name.into(),
            json!({
                "type": "object",
                "description": all,
                "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,39}$" },
                "additionalProperties": section,
            }),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "labguard configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn object(
    section: &str,
    inner: &str,
    keys: &[Key],
    words: &BTreeMap<String, (String, String)>,
    tables: &BTreeMap<String, String>,
) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let Some(below) = key.path.strip_prefix(inner) else { continue };
        if let Some((group, _)) = below.split_once('.') {
            if !properties.contains_key(group) {
                properties.insert(group.to_owned(), object(section, &format!("{inner}{group}."), keys, words, tables));
            }
            continue;
        }
        let mut value = kind(&key.kind);
        if let (Some(fields), Some((text, default))) =
            (value.as_object_mut(), words.get(&format!("{section}.{}", key.path)))
        {
            fields.insert("description".into(), text.clone().into());
            let parsed = format!("value = {default}").parse::<toml::Table>().ok();
            if let Some(default) = parsed.and_then(|table| serde_json::to_value(&table["value"]).ok()) {
                fields.insert("default".into(), default);
            }
        }
        properties.insert(below.to_owned(), value);
    }
    let table = format!("{section}.{inner}");
    let description = tables.get(table.trim_end_matches('.')).cloned().unwrap_or_default();
    json!({ "type": "object", "description": description, "additionalProperties": false, "properties": properties })
}

fn kind(it: &Kind) -> Value {
    match it {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::IntOrNever(least, most) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, { "const": "never" }] })
        }
        Kind::OneOf(numbers) => json!({ "type": "integer", "enum": numbers }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Text(Form::Any) => json!({ "type": "string", "maxLength": 1024 }),
        Kind::Text(_) => json!({ "type": "string" }),
        Kind::Span(..) | Kind::SpanOrNever(..) => json!({ "type": "string", "examples": ["20m", "1h 30m"] }),
        Kind::Money => json!({ "type": "string", "examples": ["1.50 USD"] }),
        Kind::Cpu => json!({ "type": ["integer", "string"], "examples": [256, "0.5 vCPU"] }),
        Kind::Memory => json!({ "type": ["integer", "string"], "examples": [512, "1 GB"] }),
        Kind::Instant => json!({ "type": "string", "examples": ["2027-01-31T18:00:00+01:00"] }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Json => json!({ "type": ["string", "object"] }),
        Kind::List(inner) => json!({ "type": "array", "items": kind(inner) }),
        Kind::Metrics => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Pairs => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "integer", "boolean"] } })
        }
        Kind::Ingress => json!({
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["port", "sources"],
                "properties": {
                    "port": { "type": "integer", "minimum": 1, "maximum": 65_535 },
                    "sources": { "type": "array", "minItems": 1, "items": { "type": "string" } },
                },
            },
        }),
        Kind::Opt(inner) => json!({ "anyOf": [kind(inner), { "const": "" }] }),
    }
}
