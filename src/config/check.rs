//! One layer against the table of keys: unknown keys and wrong values.
//!
//! Guarantees: every leaf of every layer is looked at, also one that a later layer overrides; what is wrong is
//! reported and taken out, so that the layers that remain can be merged and checked further. Must never show a value
//! that may be a secret.

use std::collections::BTreeSet;

use ::config::{Map, Value, ValueKind};

use super::{
    keys::{Form, Key, Kind, NAMED, SECTIONS, section_names, takes_table},
    mistake::{Mistake, NO_SECRETS, looks_secret, names_secret, nearest},
    value,
};
use crate::domain::meter::RateBook;

/// What a look at a layer collects.
#[derive(Debug)]
pub(super) struct Check<'a> {
    /// What was wrong.
    pub mistakes: Vec<Mistake>,
    /// Key paths whose value was wrong or missing: later checks leave them alone.
    pub poisoned: BTreeSet<String>,
    /// Names that `metrics.cloudwatch` may hold; empty: any.
    pub metrics: &'a [&'a str],
}

impl<'a> Check<'a> {
    /// Nothing wrong so far.
    pub(super) fn new(metrics: &'a [&'a str]) -> Self {
        Self { mistakes: Vec::new(), poisoned: BTreeSet::new(), metrics }
    }

    /// Looks at a layer, and gives back what of it is sound.
    pub(super) fn layer(&mut self, table: Map<String, Value>) -> Map<String, Value> {
        let mut sound = Map::new();
        for (name, value) in sorted(table) {
            if let Some((_, keys)) = NAMED.iter().find(|(section, _)| *section == name) {
                let origin = value.origin().map(str::to_owned);
                let Some(table) = self.table(&name, value) else { continue };
                sound.insert(name.clone(), Value::new(origin.as_ref(), self.named(&name, keys, table)));
            } else if let Some((_, keys)) = SECTIONS.iter().find(|(section, _)| *section == name) {
                let origin = value.origin().map(str::to_owned);
                if let Some(table) = self.table(&name, value) {
                    sound.insert(name.clone(), Value::new(origin.as_ref(), self.section(&name, "", keys, table)));
                }
            } else {
                let meant = nearest(&name, section_names()).map(str::to_owned).or_else(|| {
                    let paths = SECTIONS
                        .iter()
                        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{}", key.path)));
                    let paths: Vec<String> = paths.collect();
                    nearest(&name, paths.iter().map(String::as_str)).map(str::to_owned)
                });
                self.unknown(
                    &value,
                    &name,
                    "a section: daemon, aws, defaults, sessions.NAME, budget_defaults, budgets.NAME or rates.REGION",
                    meant,
                );
            }
        }
        sound
    }

    /// The sections below one name: `[sessions.NAME]`, `[budgets.NAME]`, `[rates.REGION]`.
    fn named(&mut self, name: &str, keys: &[Key], table: Map<String, Value>) -> Map<String, Value> {
        let mut sound = Map::new();
        for (own, value) in sorted(table) {
            let path = format!("{name}.{own}");
            if name == "rates" && !Form::Region.fits(&own) {
                let known = RateBook::embedded().regions();
                let meant = nearest_region(&own, &known).map(|meant| format!("{name}.{meant}"));
                self.wrong(&value, &path, None, Form::Region.expected().into(), meant);
            } else if !is_section_name(&own) {
                let what = name.trim_end_matches('s');
                let expected = format!("a {what}'s name: 1 to 40 letters, digits, _ and -, beginning with a letter");
                self.wrong(&value, &path, None, expected, None);
            } else if let Some(table) = self.table(&path, value.clone()) {
                let kept = self.section(&path, "", keys, table);
                sound.insert(own, Value::new(value.origin().map(str::to_owned).as_ref(), kept));
            }
        }
        sound
    }

    /// One section, or a table inside it; `inner` is the path below the section, with a dot at its end.
    fn section(&mut self, path: &str, inner: &str, keys: &[Key], table: Map<String, Value>) -> Map<String, Value> {
        let mut sound = Map::new();
        for (name, value) in sorted(table) {
            let below = format!("{inner}{name}");
            let full = format!("{path}.{below}");
            let known = keys.iter().find(|key| key.path == below);
            let group = keys.iter().any(|key| key.path.strip_prefix(&below).is_some_and(|rest| rest.starts_with('.')));
            if let Some(key) = known {
                let before = self.mistakes.len();
                self.secrets(&full, &value);
                if self.mistakes.len() == before {
                    self.value(&full, &key.kind, &value);
                }
                if self.mistakes.len() == before {
                    sound.insert(name, value);
                } else {
                    self.poisoned.insert(full);
                }
            } else if group {
                let origin = value.origin().map(str::to_owned);
                if let Some(table) = self.table(&full, value) {
                    let kept = self.section(path, &format!("{below}."), keys, table);
                    sound.insert(name, Value::new(origin.as_ref(), kept));
                }
            } else {
                let meant = nearest(&below, keys.iter().map(|key| key.path)).map(|meant| format!("{path}.{meant}"));
                self.unknown(&value, &full, "a key that labguard knows (config/default.toml lists them)", meant);
            }
        }
        sound
    }

    fn table(&mut self, path: &str, value: Value) -> Option<Map<String, Value>> {
        if let ValueKind::Table(table) = value.kind {
            return Some(table);
        }
        self.wrong(&value, path, Some(value::shown(&value)), "a table of keys".into(), None);
        self.poisoned.insert(path.to_owned());
        None
    }

    fn unknown(&mut self, value: &Value, path: &str, expected: &str, meant: Option<String>) {
        if names_secret(path) || holds_secret(value) {
            self.wrong(value, path, Some("(not shown)".into()), NO_SECRETS.into(), None);
        } else {
            let found = (!matches!(value.kind, ValueKind::Table(_))).then(|| value::shown(value));
            self.wrong(value, path, found, expected.into(), meant);
        }
    }

    /// Credentials in a known key: in the container's environment, say.
    fn secrets(&mut self, path: &str, value: &Value) {
        let named = matches!(&value.kind, ValueKind::Table(table) if table.keys().any(|key| names_secret(key)));
        if named || holds_secret(value) {
            self.wrong(value, path, Some("(not shown)".into()), NO_SECRETS.into(), None);
        }
    }

    fn wrong(&mut self, at: &Value, key: &str, value: Option<String>, expected: String, nearest: Option<String>) {
        self.mistakes.push(Mistake { source: origin(at), key: key.to_owned(), value, expected, nearest });
    }

    /// One value against its kind.
    fn value(&mut self, path: &str, kind: &Kind, value: &Value) {
        let outcome = match kind {
            Kind::Opt(_) if value::is_unset(value) => return,
            Kind::Opt(inner) => return self.value(path, inner, value),
            Kind::SpanOrNever(..) | Kind::IntOrNever(..) if is_never(value) => return,
            Kind::List(inner) => return self.list(path, inner, value),
            Kind::Ingress => return self.ingress(path, value),
            Kind::Metrics => return self.metrics(path, value),
            Kind::Text(form) => return self.text(path, *form, value),
            Kind::Choice(words) => return self.choice(path, words, value),
            Kind::Bool => value::boolean(value).map(drop),
            Kind::Int(least, most) | Kind::IntOrNever(least, most) => {
                within(value::integer(value), least, most, "a whole number")
            }
            Kind::OneOf(numbers) => match value::integer(value) {
                Ok(number) if numbers.contains(&number) => Ok(()),
                _ => Err(format!("one of {}", joined(numbers.iter()))),
            },
            Kind::Span(least, most) | Kind::SpanOrNever(least, most) => {
                let span = crate::domain::model::Span::from_millis;
                within(value::span(value), &span(*least), &span(*most), "a length of time")
            }
            Kind::Money => value::money(value).and_then(|money| {
                if money.nanos() > 0 { Ok(()) } else { Err("more than nothing, such as \"1.50 USD\"".into()) }
            }),
            Kind::Price(unit) => value::price(value, unit).map(drop),
            Kind::Cpu => value::cpu(value).map(drop),
            Kind::Memory => value::memory(value).map(drop),
            Kind::Instant => value::instant(value).map(drop),
            Kind::Number => value::number(value).map(drop),
            Kind::Json => value::json(value).map(drop),
            Kind::Pairs => value::pairs(value).map(drop),
        };
        if let Err(expected) = outcome {
            let expected = match kind {
                Kind::SpanOrNever(..) | Kind::IntOrNever(..) => format!("{expected}, or \"never\""),
                _ => expected,
            };
            self.wrong(value, path, Some(value::shown(value)), expected, None);
        }
    }

    fn list(&mut self, path: &str, inner: &Kind, value: &Value) {
        let ValueKind::Array(items) = &value.kind else {
            return self.wrong(value, path, Some(value::shown(value)), "a list in [ ]".into(), None);
        };
        for (index, item) in items.iter().enumerate() {
            self.value(&format!("{path}[{index}]"), inner, item);
        }
    }

    fn text(&mut self, path: &str, form: Form, value: &Value) {
        match value::text(value) {
            Ok(text) if form.fits(&text) => {}
            Ok(text) => {
                let why = form.why(&text).map(|why| format!(" ({why})")).unwrap_or_default();
                let expected = format!("{}{why}", form.expected());
                self.wrong(value, path, Some(value::shown(value)), expected, form.nearest(&text));
            }
            Err(expected) => {
                let expected = format!("{expected}: {}", form.expected());
                self.wrong(value, path, Some(value::shown(value)), expected, None);
            }
        }
    }

    fn choice(&mut self, path: &str, words: &[&str], value: &Value) {
        let text = value::text(value).unwrap_or_default();
        if !words.contains(&text.as_str()) {
            let meant = nearest(&text, words.iter().copied()).map(str::to_owned);
            self.wrong(value, path, Some(value::shown(value)), format!("one of {}", joined(words.iter())), meant);
        }
    }

    fn metrics(&mut self, path: &str, value: &Value) {
        let Ok(names) = value::texts(value) else {
            let expected = "a list of metric names".to_owned();
            return self.wrong(value, path, Some(value::shown(value)), expected, None);
        };
        let known = self.metrics;
        for (index, name) in names.iter().enumerate() {
            if !known.is_empty() && !known.contains(&name.as_str()) {
                let meant = nearest(name, known.iter().copied()).map(str::to_owned);
                let expected = "a metric of the catalogue (docs/metrics.md)".to_owned();
                self.wrong(value, &format!("{path}[{index}]"), Some(format!("{name:?}")), expected, meant);
            }
        }
    }

    fn ingress(&mut self, path: &str, value: &Value) {
        const SHAPE: &str = "a list such as [{ port = 5000, sources = [\"203.0.113.7/32\"] }]";
        let ValueKind::Array(rules) = &value.kind else {
            return self.wrong(value, path, Some(value::shown(value)), SHAPE.into(), None);
        };
        let mut ports = BTreeSet::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let ValueKind::Table(fields) = &rule.kind else {
                self.wrong(rule, &path, Some(value::shown(rule)), SHAPE.into(), None);
                continue;
            };
            for name in fields.keys().collect::<BTreeSet<_>>() {
                if !matches!(name.as_str(), "port" | "sources") {
                    let meant = nearest(name, ["port", "sources"]).map(str::to_owned);
                    let expected = "port and sources".to_owned();
                    self.wrong(
                        &fields[name],
                        &format!("{path}.{name}"),
                        Some(value::shown(&fields[name])),
                        expected,
                        meant,
                    );
                }
            }
            match fields.get("port") {
                None => self.wrong(rule, &format!("{path}.port"), None, "a port from 1 to 65535".into(), None),
                Some(port) => {
                    self.value(&format!("{path}.port"), &Kind::Int(1, 65_535), port);
                    if let Ok(number) = value::integer(port)
                        && !ports.insert(number)
                    {
                        let expected = "each port once, with all its sources".to_owned();
                        self.wrong(port, &format!("{path}.port"), Some(number.to_string()), expected, None);
                    }
                }
            }
            match fields.get("sources").map(|sources| (sources, value::texts(sources))) {
                Some((at, Ok(sources))) if !sources.is_empty() => {
                    for (place, source) in sources.iter().enumerate().filter(|(_, source)| !value::is_source(source)) {
                        let expected = "an IPv4 or IPv6 range without host bits, such as 203.0.113.7/32, or \"own\"";
                        let meant = source.parse::<std::net::IpAddr>().ok();
                        let meant = meant.map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }));
                        let path = format!("{path}.sources[{place}]");
                        self.wrong(at, &path, Some(format!("{source:?}")), expected.into(), meant);
                    }
                }
                other => {
                    let (at, found) = other.map_or((rule, None), |(at, _)| (at, Some(value::shown(at))));
                    let expected = "a list of at least one range, such as [\"203.0.113.7/32\"]".to_owned();
                    self.wrong(at, &format!("{path}.sources"), found, expected, None);
                }
            }
        }
    }
}

/// Where a value came from; an empty table does not know.
pub(super) fn place(value: &Value) -> Option<String> {
    value.origin().map(str::to_owned).or_else(|| match &value.kind {
        ValueKind::Table(table) => table.values().filter_map(place).min(),
        ValueKind::Array(items) => items.iter().find_map(place),
        _ => None,
    })
}

/// The same, for people.
pub(super) fn origin(value: &Value) -> String {
    place(value).unwrap_or_else(|| "configuration".to_owned())
}

/// The kind of a full key path, such as `sessions.a.limits.budget`, with the length of the key in levels.
pub(super) fn kind_at(path: &[String]) -> Option<(&'static Kind, usize)> {
    let section = path.first()?;
    let many = NAMED.iter().find(|(name, _)| name == section).map(|(_, keys)| (*keys, 2));
    let (keys, skip) = many.or_else(|| Some((SECTIONS.iter().find(|(name, _)| name == section)?.1, 1)))?;
    let rest = path.get(skip..)?;
    keys.iter().find_map(|key| {
        let levels: Vec<&str> = key.path.split('.').collect();
        let same = rest.len() >= levels.len() && levels.iter().zip(rest).all(|(level, part)| level == part);
        (same && (rest.len() == levels.len() || takes_table(&key.kind))).then_some((&key.kind, skip + levels.len()))
    })
}

fn is_never(value: &Value) -> bool {
    matches!(&value.kind, ValueKind::String(text) if text == "never")
}

fn holds_secret(value: &Value) -> bool {
    match &value.kind {
        ValueKind::String(text) => looks_secret(text),
        ValueKind::Array(items) => items.iter().any(holds_secret),
        ValueKind::Table(table) => table.values().any(holds_secret) || table.keys().any(|key| names_secret(key)),
        _ => false,
    }
}

/// The region that is most like a text, whatever joins its words.
fn nearest_region<'n>(text: &str, known: &'n [String]) -> Option<&'n str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let word = plain(text);
    let far = |region: &&String| strsim::damerau_levenshtein(&word, &plain(region));
    known.iter().min_by_key(far).filter(|region| far(region) * 3 <= word.len()).map(String::as_str)
}

fn is_section_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn sorted(table: Map<String, Value>) -> Vec<(String, Value)> {
    let mut pairs: Vec<_> = table.into_iter().collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

fn joined(words: impl Iterator<Item = impl ToString>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

fn within<T: PartialOrd + std::fmt::Display>(
    found: Result<T, String>,
    least: &T,
    most: &T,
    what: &str,
) -> Result<(), String> {
    match found {
        Ok(found) if found >= *least && found <= *most => Ok(()),
        Ok(_) => Err(format!("{what} from {least} to {most}")),
        Err(expected) => Err(expected),
    }
}
