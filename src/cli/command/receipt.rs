//! `labguard receipt`: the closing account of one session.

use clap::{Args, ValueEnum};

use super::super::{CliError, Context, ExitCode, output::receipt};
use crate::api::wire::{ChargesQuery, ExportFormat};

/// Arguments of `receipt`.
#[derive(Debug, Args)]
#[command(after_help = "\
As csv and focus its lines are cut at the end of each month (UTC), as AWS's bills are; their sum is the receipt's.

Examples:
  labguard receipt admission
  labguard receipt admission-7k2m9q --json
  labguard receipt admission --format focus > focus.csv")]
pub struct Receipt {
    /// The session's id, or its name: then the newest of that name.
    pub name: String,
    /// How it is written: `focus` has the columns of FOCUS 1.2.
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// How a receipt is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// JSON, every member.
    Json,
    /// Its lines as CSV.
    Csv,
    /// Its lines as CSV with the columns of FOCUS 1.2.
    Focus,
}

impl Receipt {
    /// Shows it.
    ///
    /// # Errors
    /// When there is no daemon or no such receipt.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client().await?;
        let account = client.receipt(&self.name).await?;
        let output = &context.output;
        let lines = |format| ChargesQuery { session: Some(account.session.to_string()), format, ..Default::default() };
        match self.format {
            _ if output.json => output.print_json(&account)?,
            Format::Json => output.print_json(&account)?,
            Format::Table => output.print(&receipt::receipt(output.data, output.zone, &account))?,
            Format::Csv => output.print(&client.charges(&lines(ExportFormat::Csv)).await?)?,
            Format::Focus => output.print(&client.charges(&lines(ExportFormat::Focus)).await?)?,
        }
        Ok(if account.proven_clean { ExitCode::Ok } else { ExitCode::LeftBehind })
    }
}
