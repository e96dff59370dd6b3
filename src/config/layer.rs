//! One source of configuration: a file, the environment, or the flags.
//!
//! Guarantees: every value knows its place (file and line, variable, flag); a file that is not TOML gives file, line,
//! column and the line itself. Must never read the ambient environment.

use std::path::Path;

use ::config::{ConfigError, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::{
    check::kind_at,
    keys::{Kind, section_names},
    mistake::{Mistake, NO_SECRETS, looks_secret, names_secret, nearest},
};

/// A table with places, as the `config` crate takes it.
#[derive(Clone, Debug)]
pub(super) struct Layer(pub Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads TOML; `name` is the file as people know it.
pub(super) fn parse(name: &str, text: &str) -> Result<Map<String, Value>, Vec<Mistake>> {
    let (map, mistakes) = read(name, text);
    if mistakes.is_empty() { Ok(map) } else { Err(mistakes) }
}

/// What can be read of TOML, and what is wrong with the rest.
fn read(name: &str, text: &str) -> (Map<String, Value>, Vec<Mistake>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| {
            let (line, column, source) = place(text, error.span().map_or(0, |span| span.start));
            let secret = looks_secret(source) || names_secret(source);
            Mistake {
                source: format!("{name}:{line}:{column}"),
                key: String::new(),
                value: Some(if secret { "(not shown)".into() } else { source.trim().chars().take(200).collect() }),
                expected: if secret {
                    NO_SECRETS.into()
                } else {
                    format!("TOML ({})", error.message().replace('\n', "; "))
                },
                nearest: None,
            }
        })
        .collect();
    let map = table_of(name, text, table.get_ref(), &mut mistakes);
    (map, mistakes)
}

/// Reads a file.
pub(super) fn file(path: &Path) -> Result<Map<String, Value>, Vec<Mistake>> {
    text_of(path).map_err(|mistake| vec![mistake]).and_then(|text| parse(&path.display().to_string(), &text))
}

/// What can be read of a file, and each mistake with the table that it stands in: nothing before the first one, and where
/// there is no text at all.
pub(super) fn recovered(path: &Path) -> (Map<String, Value>, Vec<(String, Mistake)>) {
    match text_of(path) {
        Ok(text) => {
            let (map, mistakes) = read(&path.display().to_string(), &text);
            let line = |mistake: &Mistake| {
                let place = mistake.source.strip_prefix(&format!("{}:", path.display())).unwrap_or_default();
                place.split(':').next().and_then(|line| line.parse().ok()).unwrap_or(0)
            };
            (map, mistakes.into_iter().map(|mistake| (table_at(&text, line(&mistake)), mistake)).collect())
        }
        Err(mistake) => (Map::new(), vec![(String::new(), mistake)]),
    }
}

fn text_of(path: &Path) -> Result<String, Mistake> {
    let unreadable = |expected: String| Mistake {
        source: path.display().to_string(),
        key: String::new(),
        value: None,
        expected,
        nearest: None,
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("a readable file ({error})")))?;
    String::from_utf8(bytes).map_err(|error| unreadable(format!("UTF-8 text ({})", error.utf8_error())))
}

/// The name of the last table that begins at a line or above it.
fn table_at(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let begins =
        |line: &&str| line.trim_start().strip_prefix('[').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let header = lines.into_iter().rev().find(begins).unwrap_or_default();
    header.trim_start().trim_start_matches('[').split([']', '#']).next().unwrap_or_default().trim().to_owned()
}

/// The variables that begin with `LABGUARD__`. `named` are the sections and names that files use, such as `sessions` and
/// `my-lab`: variables are mostly written in capitals and cannot hold a dash, so a name is found without regard to both.
pub(super) fn environment(variables: &[(String, String)], named: &[(&str, String)]) -> Vec<Map<String, Value>> {
    const PREFIX: &str = "LABGUARD__";
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let layer = |(name, text): &(String, String)| {
        let original: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        let mut path: Vec<String> = original.iter().map(|part| part.to_ascii_lowercase()).collect();
        if path.len() > 1 {
            let like = |known: &str| known.to_ascii_lowercase().replace('-', "_") == path[1].replace('-', "_");
            let same = named.iter().find(|(section, known)| *section == path[0] && like(known));
            path[1] = match same {
                Some((_, known)) => known.clone(),
                // No region has an underscore.
                None if path[0] == "rates" => path[1].replace('_', "-"),
                None => path[1].clone(),
            };
        }
        let kind = kind_at(&path);
        if let Some((_, levels)) = kind {
            // Below a table of the user's own words the case is the user's own, and "__" may be part of a word.
            let word = original[levels..].join("__");
            path.truncate(levels);
            path.extend((!word.is_empty()).then_some(word));
        }
        nested(&path, typed(&format!("environment variable {name}"), kind, path.len(), text))
    };
    ours.into_iter().map(layer).collect()
}

/// The `--set KEY=VALUE` flags, in their order.
pub(super) fn flags(flags: &[String]) -> (Vec<Map<String, Value>>, Vec<Mistake>) {
    let (mut layers, mut mistakes) = (Vec::new(), Vec::new());
    for flag in flags {
        let wrong = |nearest| Mistake {
            source: "--set".into(),
            key: String::new(),
            value: Some(if looks_secret(flag) || names_secret(flag) {
                "(not shown)".into()
            } else {
                format!("{flag:?}")
            }),
            expected: "KEY.PATH=VALUE, such as --set sessions.admission.limits.budget=\"2.00 USD\"".into(),
            nearest,
        };
        let Some((key, text)) = flag.split_once('=') else {
            mistakes.push(wrong(None));
            continue;
        };
        let Some(path) = dotted(key.trim()) else {
            mistakes.push(wrong(None));
            continue;
        };
        if !section_names().any(|section| section == path[0]) {
            let keys = super::keys::SESSION.iter().map(|key| key.path);
            let meant = nearest(&path.join("."), keys).map(|meant| format!("defaults.{meant}"));
            mistakes.push(wrong(meant.or_else(|| nearest(&path[0], section_names()).map(str::to_owned))));
            continue;
        }
        layers.push(nested(&path, typed("--set", kind_at(&path), path.len(), text.trim())));
    }
    (layers, mistakes)
}

/// A dotted key as TOML reads it, with quotes where needed.
fn dotted(key: &str) -> Option<Vec<String>> {
    if key.is_empty() || key.contains(['\n', '=', '#']) {
        return None;
    }
    let line = format!("{key} = 0");
    let mut table: toml::Table = line.parse().ok()?;
    let mut path = Vec::new();
    loop {
        if table.len() != 1 {
            return None;
        }
        let (name, value) = table.into_iter().next()?;
        path.push(name);
        match value {
            toml::Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

fn nested(path: &[String], leaf: Value) -> Map<String, Value> {
    let origin = leaf.origin().map(str::to_owned);
    let mut value = leaf;
    for name in path[1..].iter().rev() {
        value = Value::new(origin.as_ref(), Map::from([(name.clone(), value)]));
    }
    Map::from([(path[0].clone(), value)])
}

/// A text from the command line or environment, as the kind of value that its key takes.
fn typed(origin: &str, kind: Option<(&Kind, usize)>, levels: usize, text: &str) -> Value {
    let plain = || Value::new(Some(&origin.to_owned()), text);
    let parsed = || {
        let line = format!("value = {text}");
        parse(origin, &line).ok().and_then(|mut table| (table.len() == 1).then(|| table.remove("value")).flatten())
    };
    let placed = |value: Value| replace_origin(value, origin);
    let quoted = text.len() > 1 && (text.starts_with('"') || text.starts_with('\'')) && text.ends_with(&text[..1]);
    fn words(kind: &Kind) -> bool {
        match kind {
            Kind::Opt(inner) => words(inner),
            Kind::Bool | Kind::Int(..) | Kind::IntOrNever(..) | Kind::OneOf(_) | Kind::Number => false,
            Kind::List(_) | Kind::Pairs | Kind::Ingress | Kind::Metrics => false,
            _ => true,
        }
    }
    match kind {
        Some((_, key)) if levels > key => plain(),
        Some((list @ (Kind::List(_) | Kind::Metrics), _)) => match parsed() {
            Some(value) if matches!(value.kind, ValueKind::Array(_)) => placed(value),
            _ => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let item = |item: &str| match item.parse::<i64>() {
                    Ok(number) if matches!(list, Kind::List(Kind::Int(..))) => {
                        Value::new(Some(&origin.to_owned()), number)
                    }
                    _ => Value::new(Some(&origin.to_owned()), item),
                };
                Value::new(Some(&origin.to_owned()), items.map(item).collect::<Vec<Value>>())
            }
        },
        Some((kind, _)) if words(kind) && !quoted => plain(),
        Some(_) => parsed().map_or_else(plain, placed),
        None => plain(),
    }
}

fn replace_origin(value: Value, origin: &str) -> Value {
    let name = origin.to_owned();
    match value.kind {
        ValueKind::Array(items) => {
            Value::new(Some(&name), items.into_iter().map(|item| replace_origin(item, origin)).collect::<Vec<_>>())
        }
        ValueKind::Table(table) => {
            let inner = table.into_iter().map(|(key, value)| (key, replace_origin(value, origin)));
            Value::new(Some(&name), inner.collect::<Map<_, _>>())
        }
        kind => Value::new(Some(&name), kind),
    }
}

fn table_of(name: &str, text: &str, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in table {
        let (line, ..) = place(text, key.span().start);
        map.insert(key.get_ref().to_string(), value_of(name, text, line, value.get_ref(), mistakes));
    }
    map
}

fn value_of(name: &str, text: &str, line: usize, value: &DeValue<'_>, mistakes: &mut Vec<Mistake>) -> Value {
    let origin = format!("{name}:{line}");
    let origin = Some(&origin);
    let mut wrong = |found: &str, expected: &str| {
        mistakes.push(Mistake {
            source: format!("{name}:{line}"),
            key: String::new(),
            value: Some(found.to_owned()),
            expected: expected.to_owned(),
            nearest: None,
        });
        Value::new(origin, ValueKind::Nil)
    };
    match value {
        DeValue::String(it) => Value::new(origin, it.as_ref()),
        DeValue::Boolean(it) => Value::new(origin, *it),
        DeValue::Datetime(it) => Value::new(origin, it.to_string()),
        DeValue::Integer(it) => match i64::from_str_radix(it.as_str(), it.radix()) {
            Ok(number) => Value::new(origin, number),
            Err(_) => wrong(it.as_str(), "a whole number of at most 64 bits"),
        },
        DeValue::Float(it) => match it.as_str().parse::<f64>() {
            Ok(number) => Value::new(origin, number),
            Err(_) => wrong(it.as_str(), "a number"),
        },
        DeValue::Table(table) => Value::new(origin, table_of(name, text, table, mistakes)),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| {
                let (line, ..) = place(text, item.span().start);
                value_of(name, text, line, item.get_ref(), mistakes)
            });
            Value::new(origin, items.collect::<Vec<_>>())
        }
    }
}

/// Line and column (from 1, in characters) of a byte, and the line itself.
fn place(text: &str, at: usize) -> (usize, usize, &str) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[..at].matches('\n').count() + 1;
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    (line, text[start..at].chars().count() + 1, &text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_has_line_column_and_the_line_itself() {
        let mistakes = parse("a.toml", "[daemon]\nlisten = \"x\"\nlog_level = = 3\n").unwrap_err();
        assert_eq!(mistakes[0].source, "a.toml:3:13");
        assert_eq!(mistakes[0].value.as_deref(), Some("log_level = = 3"));
    }

    #[test]
    fn flags_and_variables_are_read_as_their_key_takes_them() {
        let (layers, mistakes) = flags(&[
            "sessions.a.limits.budget=2.00 USD".into(),
            "sessions.a.limits.lifetime=\"1h\"".into(),
            "sessions.a.health.port=80".into(),
            "sessions.a.limits.warn_before=5m, 1m".into(),
            "limits.budget=1".into(),
            "nonsense".into(),
        ]);
        assert_eq!(layers.len(), 4);
        assert_eq!(mistakes.len(), 2);
        assert_eq!(mistakes[0].nearest.as_deref(), Some("defaults.limits.budget"));
        let show = |layer: &Map<String, Value>| super::super::value::shown(&layer["sessions"]);
        assert_eq!(show(&layers[1]), r#"{ a = { limits = { lifetime = "1h" } } }"#);
        assert_eq!(show(&layers[2]), "{ a = { health = { port = 80 } } }");
        assert_eq!(show(&layers[3]), r#"{ a = { limits = { warn_before = ["5m", "1m"] } } }"#);

        let variables = [
            ("LABGUARD__SESSIONS__MY_LAB__TASK__ENVIRONMENT__My__Key".to_owned(), "1".to_owned()),
            ("LABGUARD_OTHER".to_owned(), "x".to_owned()),
        ];
        let rates = [("LABGUARD__RATES__US_EAST_1__VCPU_X86".to_owned(), "0 USD".to_owned())];
        let rates = environment(&rates, &[]);
        assert_eq!(super::super::value::shown(&rates[0]["rates"]), r#"{ us-east-1 = { vcpu_x86 = "0 USD" } }"#);
        let layers = environment(&variables, &[("sessions", "My-Lab".into())]);
        assert_eq!(layers.len(), 1);
        assert_eq!(show(&layers[0]), r#"{ My-Lab = { task = { environment = { My__Key = "1" } } } }"#);
    }
}
