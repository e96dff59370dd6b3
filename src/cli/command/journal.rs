//! `labguard journal`: what was meant, done, seen and asked of one session, in order.

use clap::Args;

use super::super::{CliError, Context, ExitCode, output::journal};

/// Arguments of `journal`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --json it is the whole journal: what a receipt is computed from, and can be computed from again.

Examples:
  labguard journal admission-7k2m9q
  labguard journal admission-7k2m9q --json > journal.json")]
pub struct Journal {
    /// The session's id, or its name while it lives.
    pub name: String,
}

impl Journal {
    /// Shows it.
    ///
    /// # Errors
    /// When there is no daemon or no such session.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let entries = context.client().await?.journal(&self.name).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&entries)?;
        } else {
            output.print(&journal::journal(output.data, output.zone, &entries))?;
        }
        Ok(ExitCode::Ok)
    }
}
