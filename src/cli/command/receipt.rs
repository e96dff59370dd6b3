//! `labguard receipt`: the closing account of one session.

use clap::Args;

use super::super::{CliError, Context, ExitCode, output::receipt};

/// Arguments of `receipt`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard receipt admission\n  labguard receipt admission-7k2m9q --json")]
pub struct Receipt {
    /// The session's id, or its name: then the newest of that name.
    pub name: String,
}

impl Receipt {
    /// Shows it.
    ///
    /// # Errors
    /// When there is no daemon or no such receipt.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let account = context.client().await?.receipt(&self.name).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&account)?;
        } else {
            output.print(&receipt::receipt(output.data, output.zone, &account))?;
        }
        Ok(if account.proven_clean { ExitCode::Ok } else { ExitCode::LeftBehind })
    }
}
