//! `labguard touch`: a heartbeat from a person or a program.

use clap::Args;

use super::super::{CliError, Context, ExitCode};

/// Arguments of `touch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard touch admission\n  labguard touch admission --by notebook-3")]
pub struct Touch {
    /// The session's id, or its name where only one is live.
    pub name: String,
    /// Who or what uses it.
    #[arg(long, default_value = "labguard touch")]
    pub by: String,
}

impl Touch {
    /// Says so.
    ///
    /// # Errors
    /// When there is no daemon or no such session.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let session = context.client().await?.touch(&self.name, Some(self.by.clone())).await?;
        super::taken(context, &session, "in use; its idle time starts again")
    }
}
