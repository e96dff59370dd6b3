//! The configuration: files, environment and flags, layered with the `config` crate and judged in one go.
//!
//! Guarantees: [`load`] gives either settings that passed every check, or every mistake there is, each with its place.
//! It reads no ambient environment (that is in the [`Request`]), asks no network and takes no credentials. The keys and
//! their defaults are explained in `config/default.toml`, which is built in.
//! Must never: guess at a value, stop at the first mistake, or apply half of a file.

mod across;
mod budgets;
mod check;
pub mod folders;
mod form;
mod keys;
mod layer;
mod mistake;
mod names;
mod reader;
mod reference;
mod schema;
mod sections;
mod settings;
mod show;
mod unused;
mod value;
pub mod watch;
mod whereabouts;

use std::{collections::BTreeMap, path::PathBuf};

use ::config::{Map, Value, ValueKind};

pub use mistake::{Mistake, Mistakes};
pub use reference::reference_markdown;
pub use schema::schema;
pub use settings::{AwsSettings, DaemonSettings, LogFormat, SandboxSettings, Settings};
pub use show::{machine, show};
pub use whereabouts::{Whereabouts, whereabouts};

use crate::domain::{meter::RateBook, policy::Policy};
use across::Across;
use check::Check;
use reader::{BUILT_IN, Reader};

/// `config/default.toml`: every key with its meaning and default.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// What `labguard demo` runs.
pub const DEMO_TOML: &str = include_str!("../../config/demo.toml");

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Texts that came with the program, by name: between the built-in defaults and the files.
    pub embedded: Vec<(&'static str, &'static str)>,
    /// Files given explicitly, lowest layer first; of a folder, all its `*.toml`.
    pub files: Vec<PathBuf>,
    /// Environment variables; those that begin with `LABGUARD__` count.
    pub env: Vec<(String, String)>,
    /// `--set KEY.PATH=VALUE` flags, in order.
    pub set: Vec<String>,
    /// Whether the platform's folders are searched when no file is given.
    pub search: bool,
    /// Names that `metrics.cloudwatch` may hold (the catalogue's); empty: any.
    pub metrics: Vec<&'static str>,
}

impl Request {
    /// The files that would be read, lowest layer first.
    #[must_use]
    pub fn resolved_files(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() || !self.search {
            let all = |path: &PathBuf| if path.is_dir() { folders::files_in(path) } else { vec![path.clone()] };
            return self.files.iter().flat_map(all).collect();
        }
        folders::configuration().iter().flat_map(|folder| folders::files_in(folder)).collect()
    }

    /// Files, or the folders that are searched: what [`watch::Reloader`] shall watch.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() || !self.search { self.files.clone() } else { folders::configuration() }
    }
}

/// Loads and judges a configuration.
///
/// # Errors
/// [`Mistakes`] with everything that is wrong in any layer, and between them.
pub fn load(request: &Request) -> Result<Settings, Mistakes> {
    let mut check = Check::new(&request.metrics);
    let mut sources = vec![BUILT_IN.to_owned()];
    let mut layers = Vec::new();
    let mut unread = false;

    match layer::parse(BUILT_IN, DEFAULT_TOML) {
        Ok(table) => layers.push(check.layer(table)),
        Err(mistakes) => return Err(Mistakes(mistakes)),
    }
    for (name, text) in &request.embedded {
        sources.push((*name).to_owned());
        match layer::parse(name, text) {
            Ok(table) => layers.push(check.layer(table)),
            Err(mistakes) => check.mistakes.extend(mistakes),
        }
    }
    for folder in request.files.iter().filter(|path| path.is_dir() && folders::files_in(path).is_empty()) {
        unread = true;
        check.mistakes.push(Mistake {
            source: folder.display().to_string(),
            key: String::new(),
            value: None,
            expected: "a file, or a folder with at least one *.toml in it that can be read".into(),
            nearest: None,
        });
    }
    for path in request.resolved_files() {
        sources.push(path.display().to_string());
        match layer::file(&path) {
            Ok(table) => {
                let before = check.mistakes.len();
                layers.push(check.layer(table));
                check.mistakes[before..].sort_by_key(|mistake| line_of(&mistake.source));
            }
            Err(mistakes) => {
                unread = true;
                check.mistakes.extend(mistakes);
            }
        }
    }
    let named: Vec<(&str, String)> = keys::NAMED
        .iter()
        .flat_map(|(section, _)| {
            layers.iter().flat_map(|layer| names(layer, section)).map(|(name, _)| (*section, name))
        })
        .collect();
    let variables = layer::environment(&request.env, &named);
    sources.extend((!variables.is_empty()).then(|| "environment".to_owned()));
    layers.extend(variables.into_iter().map(|table| check.layer(table)));
    let (flags, wrong) = layer::flags(&request.set);
    check.mistakes.extend(wrong);
    sources.extend((!flags.is_empty()).then(|| "--set".to_owned()));
    layers.extend(flags.into_iter().map(|table| check.layer(table)));

    let places_of = |section: &str| -> BTreeMap<String, String> {
        layers.iter().rev().flat_map(|layer| names(layer, section)).collect()
    };
    let (places, budget_places) = (places_of("sessions"), places_of("budgets"));
    let merged = Reader::over(layers);
    let defaults = Reader::over(vec![merged.section("defaults")]);
    let mut settings = Settings {
        daemon: sections::daemon(&Reader::over(vec![merged.section("daemon")])),
        aws: sections::aws(&Reader::over(vec![merged.section("aws")])),
        rates: RateBook::embedded(),
        default_region: defaults.text("region"),
        sessions: BTreeMap::new(),
        budgets: Vec::new(),
        sources,
        origins: BTreeMap::new(),
    };
    settings.origins.extend(defaults.origin("region").map(|place| ("defaults.region".to_owned(), place)));
    let mut found = Vec::new();
    let read = Reader::over(vec![merged.section("daemon")]);
    let mut judge = Across::new("daemon", BUILT_IN, &read, None, &check.poisoned);
    judge.daemon(&settings.daemon);
    found.append(&mut judge.mistakes);
    settings.origins.extend(origins("daemon", keys::DAEMON, &read));

    let read = Reader::over(vec![merged.section("aws")]);
    let mut judge = Across::new("aws", BUILT_IN, &read, None, &check.poisoned);
    judge.aws(&settings.aws);
    found.append(&mut judge.mistakes);
    settings.origins.extend(origins("aws", keys::AWS, &read));

    for (region, value) in merged.section("rates") {
        let ValueKind::Table(table) = value.kind else { continue };
        let read = Reader::over(vec![table]);
        settings.origins.extend(origins(&format!("rates.{region}"), keys::RATES, &read));
        settings.rates.correct(&BTreeMap::from([(region, sections::rates(&read))]));
    }

    let (budgets, mut wrong) = budgets::read(&merged, &budget_places, &check.poisoned, &mut settings.origins);
    settings.budgets = budgets;
    found.append(&mut wrong);

    let mut sessions = merged.section("sessions");
    let mut drafts = Vec::new();
    for (name, place) in &places {
        let own = match sessions.remove(name).map(|value| value.kind) {
            Some(ValueKind::Table(table)) => table,
            _ => Map::new(),
        };
        let read = Reader::over(vec![merged.section("defaults"), own.clone()]);
        let policy = sections::policy(name, &read);
        drafts.push((format!("sessions.{name}"), place, read, Reader::over(vec![own]), policy));
    }
    let mut judges: Vec<(Across<'_>, &Policy)> = drafts
        .iter()
        .map(|(section, place, read, own, policy)| {
            (Across::new(section, place, read, Some(own), &check.poisoned), policy)
        })
        .collect();
    let mut regions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, policy) in judges.iter().filter(|(judge, _)| judge.has_region()) {
        regions.entry(policy.region.clone()).or_default().push(policy.name.clone());
    }
    for (judge, policy) in &mut judges {
        judge.session(policy);
        judge.region(policy, &regions);
        found.append(&mut judge.mistakes);
    }
    for (section, _, read, _, policy) in drafts {
        settings.origins.extend(origins(&section, keys::SESSION, &read));
        settings.sessions.insert(policy.name.clone(), policy);
    }
    // A file that could not be read may hold what seems to be missing: what is between keys waits until it can.
    if !unread {
        check.mistakes.extend(found);
    }
    let mut seen: Vec<Mistake> = Vec::new();
    for mistake in check.mistakes {
        if !seen.contains(&mistake) {
            seen.push(mistake);
        }
    }
    if seen.is_empty() { Ok(settings) } else { Err(Mistakes(seen)) }
}

/// The places of a section's values, built-in defaults left out.
fn origins(section: &str, keys: &[keys::Key], read: &Reader) -> Vec<(String, String)> {
    keys.iter().filter_map(|key| Some((format!("{section}.{}", key.path), read.origin(key.path)?))).collect()
}

/// The names below a section of a layer, such as the sessions', and where each begins.
fn names(layer: &Map<String, Value>, section: &str) -> Vec<(String, String)> {
    match layer.get(section).map(|value| &value.kind) {
        Some(ValueKind::Table(table)) => {
            table.iter().map(|(name, value)| (name.clone(), check::origin(value))).collect()
        }
        _ => Vec::new(),
    }
}

/// The line in a place such as `file.toml:12`.
fn line_of(place: &str) -> usize {
    place.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod budgets_tests;
#[cfg(test)]
mod conflicts_tests;
#[cfg(test)]
mod rates_tests;
#[cfg(test)]
mod tests;
