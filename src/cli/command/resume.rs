//! `labguard resume`: run a stopped session's task again.

use clap::Args;

use super::super::{CliError, Context, ExitCode};

/// Arguments of `resume`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard resume admission")]
pub struct Resume {
    /// The session's id, or its name where only one is live.
    pub name: String,
}

impl Resume {
    /// Asks for it.
    ///
    /// # Errors
    /// When there is no daemon, no such session, or it is not stopped.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let session = context.client().await?.resume(&self.name).await?;
        super::taken(context, &session, "its task will run again")
    }
}
