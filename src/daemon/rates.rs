//! The prices in force: those that were imported taken into the settings, and AWS asked for new ones by hand.
//!
//! Guarantees: what was imported stands between what ships with labguard and what `[rates]` says; nothing is kept before
//! all of it was read. Needs no running daemon; one that runs takes up what was kept by itself.

use std::path::{Path, PathBuf};

use super::connection::cloud_config;
use crate::{
    clock::Clock,
    cloud::Cloud,
    config::Settings,
    domain::{
        meter,
        model::{Fault, Item, RateCard, Timestamp},
    },
    rates::{self, Change, Imported, RatesError},
    telemetry::prometheus::Metrics,
};

/// The file in which imported prices are kept.
#[must_use]
pub fn file(settings: &Settings) -> PathBuf {
    rates::path_in(&settings.daemon.state_folder())
}

/// Takes what was imported into the settings' prices.
///
/// # Errors
/// When the file cannot be used; the settings are as they were.
pub fn take_in(settings: &mut Settings) -> Result<(), RatesError> {
    let imported = rates::kept(&file(settings))?;
    settings.rates.correct(&imported);
    Ok(())
}

/// A region's prices, as they are shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// All of them.
    pub card: RateCard,
    /// Items whose price is older than `daemon.rates_max_age`.
    pub old: Vec<Item>,
    /// The same in words.
    pub warning: Option<String>,
}

/// The prices of a region by the settings; none where nothing is known of it.
#[must_use]
pub fn shown(settings: &Settings, region: &str, now: Timestamp) -> Option<Shown> {
    let card = settings.rates.card(region);
    let most = settings.daemon.rates_max_age;
    let old = most.map_or_else(Vec::new, |most| {
        meter::aged(&card, &Item::ALL, most, now).into_iter().map(|aged| aged.item).collect()
    });
    let warning = meter::age_warning(&card, &Item::ALL, most, now);
    (!card.prices.is_empty()).then_some(Shown { card, old, warning })
}

/// Prices that were taken and kept.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What was read.
    pub imported: Imported,
    /// What of it is new.
    pub changes: Vec<Change>,
    /// Where it is kept.
    pub file: PathBuf,
}

/// Why AWS's Price List could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// What it answered, or what is kept, cannot be used.
    #[error(transparent)]
    Rates(#[from] RatesError),
    /// AWS refused.
    #[error("{0}")]
    Cloud(Fault),
    /// The sandbox is no source of prices.
    #[error(
        "sessions run in the sandbox (aws.sandbox.enabled), which knows nothing of AWS's present prices; ask AWS with \
         --set aws.sandbox.enabled=false, or take its price file with `labguard rates import`"
    )]
    Sandbox,
}

/// Prices of a file. It is read in a thread of its own: it may be long.
///
/// # Errors
/// As [`rates::read`] and [`rates::keep`]. Nothing was changed then.
pub async fn import_file(settings: &Settings, path: &Path, region: Option<&str>) -> Result<Taken, RatesError> {
    let (path, region) = (path.to_path_buf(), region.map(str::to_owned));
    let name = path.display().to_string();
    keep(settings, apart(name.clone(), move || rates::read(&path, &name, region.as_deref())).await?)
}

/// Prices of the files at these addresses: of all of them, or of none.
///
/// # Errors
/// As [`rates::download`], [`rates::read`] and [`rates::keep`]. Nothing was changed then.
pub async fn import_urls(settings: &Settings, urls: &[String], region: Option<&str>) -> Result<Taken, RatesError> {
    let mut all: Option<Imported> = None;
    for url in urls {
        let fetched = rates::download(url, &settings.daemon.state_folder()).await?;
        let (name, region) = (url.clone(), region.map(str::to_owned));
        let read = apart(url.clone(), move || rates::read_open(fetched, &name, region.as_deref())).await?;
        match &mut all {
            Some(all) => all.merge(read),
            None => all = Some(read),
        }
    }
    keep(settings, all.unwrap_or_default())
}

/// Prices of a region as AWS's Price List has them now.
///
/// # Errors
/// [`RefreshError`]. Nothing was changed then.
pub async fn refresh(settings: &Settings, region: &str) -> Result<Taken, RefreshError> {
    if settings.aws.sandbox.enabled {
        return Err(RefreshError::Sandbox);
    }
    let cloud = Cloud::connect(cloud_config(settings, None, &Clock::System, &Metrics::new().into())).await;
    let mut all = Imported::default();
    let mut nothing = None;
    for (offer, field) in rates::offers() {
        let answers = cloud.products(offer, field, region).await.map_err(RefreshError::Cloud)?;
        match rates::of_answers(offer, region, &answers) {
            Ok(read) => all.merge(read),
            // Not every offer is in every region.
            Err(error @ RatesError::Nothing { .. }) => {
                all.left_out.push(format!("{offer} has no price of {region}"));
                nothing = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match nothing {
        Some(error) if all.count() == 0 => Err(error.into()),
        _ => Ok(keep(settings, all)?),
    }
}

fn keep(settings: &Settings, imported: Imported) -> Result<Taken, RatesError> {
    let file = file(settings);
    let changes = rates::keep(&file, &imported.prices)?;
    Ok(Taken { imported, changes, file })
}

async fn apart<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> Result<T, RatesError> + Send + 'static,
) -> Result<T, RatesError> {
    let stopped = |error: tokio::task::JoinError| RatesError::Damaged { name, why: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}
