//! `labguard rates`: the prices in force, and taking AWS's own from its price files or its Price List.

use std::path::Path;

use clap::{Args, Subcommand, builder::PossibleValuesParser};

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, rates},
    wiring,
};
use crate::{
    config::Settings,
    daemon::rates::Taken,
    rates::{index_url, offers},
};

/// Arguments of `rates`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prices come from three places, and the later go before the earlier: what ships with labguard, what
was imported or asked for, and [rates.REGION] of the configuration. A running daemon takes up what
was imported by itself.

Examples:
  labguard rates
  labguard rates --region eu-central-1 --json | jq '.prices[] | select(.old)'
  labguard rates import --offer AmazonECS --offer AmazonVPC
  labguard rates refresh")]
pub struct RatesArgs {
    /// What to do; without it, show the prices in force.
    #[command(subcommand)]
    pub what: Option<What>,
    /// The region; by default that of the configuration's sessions.
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
}

/// What to do about prices.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Take the prices in one of AWS's price files.
    #[command(after_help = "\
The file is the index.json of one offer, gzipped or not, of one region or of all. What labguard prices
is taken, of all regions in it unless --region names one. Nothing is changed where the file is cut,
damaged or something else.

Examples:
  labguard rates import index.json
  labguard rates import https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonECS/current/index.json
  labguard rates import --offer AmazonECS --region eu-central-1")]
    Import(Import),
    /// Ask AWS's Price List (`pricing:GetProducts`) for the prices of a region.
    #[command(after_help = "Examples:\n  labguard rates refresh\n  labguard rates refresh --region eu-central-1")]
    Refresh,
}

/// Arguments of `rates import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A file, or an address that begins with http:// or https://.
    #[arg(value_name = "FILE|URL", required_unless_present = "offer", conflicts_with = "offer")]
    pub source: Option<String>,
    /// Fetch AWS's present price file of an offer, for the region; may be given several times.
    #[arg(long, value_name = "OFFER", value_parser = PossibleValuesParser::new(offers().map(|(offer, _)| offer)))]
    pub offer: Vec<String>,
}

impl RatesArgs {
    /// Does it.
    ///
    /// # Errors
    /// When the configuration has mistakes, or prices cannot be read, taken or kept.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let mut settings = context.settings()?;
        let region = self.region.clone().unwrap_or_else(|| settings.region().to_owned());
        match &self.what {
            None => {
                wiring::take_in(&mut settings)?;
                show(context, &settings, &region)
            }
            Some(What::Import(import)) => {
                let only = self.region.as_deref();
                let taken = match &import.source {
                    Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                        context.output.say(Icon::Going, &format!("fetching {url}"));
                        wiring::import_urls(&settings, std::slice::from_ref(url), only).await?
                    }
                    Some(path) => wiring::import_file(&settings, Path::new(path), only).await?,
                    None => {
                        let urls: Vec<String> = import.offer.iter().map(|offer| index_url(offer, &region)).collect();
                        context.output.say(Icon::Going, &format!("fetching {}", urls.join(", ")));
                        wiring::import_urls(&settings, &urls, Some(&region)).await?
                    }
                };
                tell(context, &settings, &taken)
            }
            Some(What::Refresh) => {
                context.output.say(Icon::Going, &format!("asking AWS for its prices in {region}"));
                let taken = wiring::refresh_rates(&settings, &region).await?;
                tell(context, &settings, &taken)
            }
        }
    }
}

/// The prices in force in a region.
fn show(context: &Context, settings: &Settings, region: &str) -> Result<ExitCode, CliError> {
    let output = &context.output;
    let Some(shown) = wiring::rates_of(settings, region, context.now()) else {
        return Err(CliError::NoPrices { region: region.to_owned(), known: settings.rates.regions().join(", ") });
    };
    if output.json {
        output.print_json(&rates::document(&shown))?;
    } else {
        output.print(&rates::card(output.data, &shown))?;
        if let Some(warning) = &shown.warning {
            output.say(Icon::Warn, warning);
        }
    }
    Ok(ExitCode::Ok)
}

/// What was taken, and what of it does not count.
fn tell(context: &Context, settings: &Settings, taken: &Taken) -> Result<ExitCode, CliError> {
    let output = &context.output;
    if output.json {
        output.print_json(&rates::taken_document(taken))?;
    } else if !taken.changes.is_empty() {
        output.print(&rates::changes(output.data, &taken.changes))?;
    }
    for line in &taken.imported.left_out {
        output.say(Icon::Warn, &format!("not taken: {line}"));
    }
    let given: Vec<String> = settings
        .rates
        .given()
        .iter()
        .flat_map(|(region, prices)| prices.keys().map(move |item| (region, *item)))
        .filter(|(region, item)| taken.imported.has(region, *item))
        .map(|(region, item)| format!("{item} in {region}"))
        .collect();
    if !given.is_empty() {
        let text = format!("[rates] of the configuration goes before what was taken for: {}", given.join(", "));
        output.say(Icon::Warn, &text);
    }
    let daemon = if settings.daemon.watch_files { "takes them up by itself" } else { "takes them up on SIGHUP" };
    output.say(
        Icon::Done,
        &format!(
            "{} prices of {} are kept in {}, {} of them new; a running daemon {daemon}",
            taken.imported.count(),
            taken.imported.sources.join(", "),
            taken.file.display(),
            taken.changes.len()
        ),
    );
    Ok(ExitCode::Ok)
}
