//! `labguard cost`: what sessions cost, by whom and over time; and their lines of cost for other programs.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::super::{
    CliError, Context, ExitCode,
    output::{chart::Canvas, cost, receipt},
};
use crate::{
    api::wire::{ChargesQuery, CostQuery, ExportFormat},
    domain::model::{Bucket, Cut, Span, TimeZone, Timestamp},
};

/// Arguments of `cost`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Live and closed sessions count, each by the prices it was billed by.

Examples:
  labguard cost                                the last seven days, by session
  labguard cost --since 2026-11-01 --by owner
  labguard cost --since 30d --by item --bucket day --zone Europe/Berlin
  labguard cost export --since 2026-11-01 --format focus > focus.csv"
)]
pub struct Cost {
    /// What else.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Which time.
    #[command(flatten)]
    pub range: Range,
    /// By what it is cut.
    #[arg(long, value_name = "WHAT", default_value = "session")]
    pub by: By,
    /// How long the stretches over time are; by default as the time asked for suggests.
    #[arg(long, value_name = "LENGTH")]
    pub bucket: Option<Length>,
}

/// What else can be done.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write every line of cost, for spreadsheets and cost tools.
    Export(Export),
    /// Ask AWS itself what a closed session cost, to compare.
    Reconcile(Reconcile),
}

/// Arguments of `cost reconcile`.
#[derive(Debug, Args)]
#[command(after_help = "\
AWS's Cost Explorer takes money for each request and knows a session's cost about a day later; without --yes only the
price is told. The tag labguard:session must be an active cost allocation tag. The answer is kept with the receipt.

Examples:
  labguard cost reconcile admission
  labguard cost reconcile admission-7k2m9q --yes")]
pub struct Reconcile {
    /// The session's id, or its name: then the newest of that name.
    pub name: String,
    /// Ask, at that price.
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `cost export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Lines are cut at the end of each month (UTC), as AWS's bills are.

Examples:
  labguard cost export > charges.csv
  labguard cost export --since 2026-11-01 --until 2026-12-01 --format focus")]
pub struct Export {
    /// Which time.
    #[command(flatten)]
    pub range: Range,
    /// How they are written: `focus` has the columns of FOCUS 1.2.
    #[arg(long, default_value = "csv")]
    pub format: Format,
}

/// From when to when.
#[derive(Debug, Args)]
pub struct Range {
    /// From when on: so long ago (`7d`), a day (`2026-11-01`), or an instant (RFC 3339).
    #[arg(long, value_name = "WHEN")]
    pub since: Option<When>,
    /// Until when, that day or instant not included; by default until now.
    #[arg(long, value_name = "WHEN")]
    pub until: Option<When>,
    /// Whose midnight counts, by its IANA name.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: TimeZone,
}

/// A moment, as a person gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Span),
    /// The beginning of a day of the zone.
    Day(String),
    /// Exactly then.
    At(Timestamp),
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(When::At(at));
        }
        if TimeZone::UTC.day(text).is_some() {
            return Ok(When::Day(text.to_owned()));
        }
        let span = text.parse().map_err(|_| "expected `7d`, `2026-11-01` or `2026-11-01T12:00:00Z`".to_owned())?;
        Ok(When::Ago(span))
    }
}

impl When {
    fn at(&self, zone: TimeZone, now: Timestamp) -> Timestamp {
        match self {
            When::Ago(span) => now - *span,
            When::Day(day) => zone.day(day).unwrap_or_default(),
            When::At(at) => *at,
        }
    }
}

/// By what a report is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By session.
    Session,
    /// By whom sessions belong to.
    Owner,
    /// By group.
    Group,
    /// By what is paid for.
    Item,
}

/// How long stretches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Length {
    /// An hour.
    Hour,
    /// A day of the zone.
    Day,
    /// A month of the zone.
    Month,
}

/// How lines of cost are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// CSV, one row a line of cost.
    Csv,
    /// JSON, every member.
    Json,
    /// CSV with the columns of FOCUS 1.2.
    Focus,
}

impl Cost {
    /// Shows it, or does what else was asked.
    ///
    /// # Errors
    /// When there is no daemon, or no sensible answer.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        match &self.action {
            Some(Action::Export(export)) => export.run(context).await,
            Some(Action::Reconcile(asked)) => asked.run(context).await,
            None => self.show(context).await,
        }
    }

    async fn show(&self, context: &Context) -> Result<ExitCode, CliError> {
        let report = context.client().await?.cost(&self.query(context.now())).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&report)?;
        } else {
            output.print(&cost::report(output.data, Canvas::of(output.data), &report))?;
        }
        Ok(ExitCode::Ok)
    }

    fn query(&self, now: Timestamp) -> CostQuery {
        let Range { since, until, zone } = &self.range;
        let asked = since.clone().unwrap_or(When::Ago(Span::from_mins(7 * 24 * 60)));
        let (since, until) = (asked.at(*zone, now), until.as_ref().map(|until| until.at(*zone, now)));
        let bucket = self.bucket.map_or_else(|| suggested(until.unwrap_or(now).since(since)), Bucket::from);
        // "Seven days ago" means all of that day.
        let since = if matches!(asked, When::Ago(_)) { bucket.begin(since, *zone) } else { since };
        CostQuery { since: Some(since), until, by: self.by.into(), bucket, zone: *zone }
    }
}

/// Stretches that a person takes in at a glance.
fn suggested(span: Span) -> Bucket {
    match span.as_secs() / 3600 {
        0..=48 => Bucket::Hour,
        49..=2_200 => Bucket::Day,
        _ => Bucket::Month,
    }
}

impl Export {
    async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let Range { since, until, zone } = &self.range;
        let at = |when: &Option<When>| when.as_ref().map(|when| when.at(*zone, context.now()));
        let format = if context.output.json { ExportFormat::Json } else { self.format.into() };
        let query = ChargesQuery { session: None, since: at(since), until: at(until), format };
        context.output.print(&context.client().await?.charges(&query).await?)?;
        Ok(ExitCode::Ok)
    }
}

impl Reconcile {
    async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let account = context.client().await?.reconcile(&self.name, self.yes).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&account)?;
        } else {
            output.print(&receipt::receipt(output.data, output.zone, &account))?;
        }
        Ok(ExitCode::Ok)
    }
}

impl From<By> for Cut {
    fn from(by: By) -> Self {
        match by {
            By::Session => Cut::Session,
            By::Owner => Cut::Owner,
            By::Group => Cut::Group,
            By::Item => Cut::Item,
        }
    }
}

impl From<Length> for Bucket {
    fn from(length: Length) -> Self {
        match length {
            Length::Hour => Bucket::Hour,
            Length::Day => Bucket::Day,
            Length::Month => Bucket::Month,
        }
    }
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => ExportFormat::Csv,
            Format::Json => ExportFormat::Json,
            Format::Focus => ExportFormat::Focus,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::tree::{Cli, Command};

    fn query(line: &str) -> CostQuery {
        let cli = Cli::try_parse_from(format!("labguard cost{line}").split(' ')).unwrap();
        let Command::Cost(cost) = cli.command else { panic!("{line}") };
        cost.query("2026-11-22T14:30:00Z".parse().unwrap())
    }

    #[test]
    fn a_span_is_rounded_to_whole_stretches_and_a_date_is_the_zones() {
        for (line, since, bucket) in [
            ("", "2026-11-15T00:00:00Z", Bucket::Day),
            (" --since 3h", "2026-11-22T11:00:00Z", Bucket::Hour),
            (" --since 3h --bucket month", "2026-11-01T00:00:00Z", Bucket::Month),
            (" --since 2026-11-01", "2026-11-01T00:00:00Z", Bucket::Day),
            (" --since 2026-11-01 --zone Europe/Berlin", "2026-10-31T23:00:00Z", Bucket::Day),
            (" --since 2026-01-01", "2026-01-01T00:00:00Z", Bucket::Month),
            (" --since 2026-11-22T14:10:30Z", "2026-11-22T14:10:30Z", Bucket::Hour),
        ] {
            let asked = query(line);
            assert_eq!((asked.since, asked.bucket), (Some(since.parse().unwrap()), bucket), "{line}");
        }
        assert_eq!(query(" --until 2026-11-20").until, Some("2026-11-20T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_moment_zone_or_cut_is_refused() {
        for line in ["--since soon", "--zone Mars/Base", "--by colour", "--bucket week", "export --by owner"] {
            assert!(Cli::try_parse_from(format!("labguard cost {line}").split(' ')).is_err(), "{line}");
        }
        assert!(Cli::try_parse_from("labguard cost export --format focus --since 30d".split(' ')).is_ok());
    }
}
