//! `labguard stop`: tasks gone, the rest kept.

use clap::Args;

use super::super::{CliError, Context, ExitCode};

/// Arguments of `stop`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard stop admission\n  labguard resume admission")]
pub struct Stop {
    /// The session's id, or its name where only one is live.
    pub name: String,
    /// Why; kept in the journal.
    #[arg(long)]
    pub reason: Option<String>,
}

impl Stop {
    /// Asks for it.
    ///
    /// # Errors
    /// When there is no daemon, no such session, or it cannot be stopped now.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let reason = self.reason.clone().unwrap_or_else(|| "labguard stop".to_owned());
        let session = context.client().await?.stop(&self.name, Some(reason)).await?;
        super::taken(context, &session, "its tasks will be stopped; `labguard resume` runs them again")
    }
}
