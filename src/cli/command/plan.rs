//! `labguard plan`: what a session would make and cost, before anything is made.

use clap::Args;

use super::super::{CliError, Context, ExitCode, output::estimate};

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard plan admission\n  labguard plan admission --json | jq .rate")]
pub struct Plan {
    /// The policy: NAME of [sessions.NAME] in the configuration.
    pub name: String,
}

impl Plan {
    /// Shows it.
    ///
    /// # Errors
    /// When there is no daemon or no such policy.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let plan = context.client_for_policy().await?.plan(&self.name).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&plan)?;
        } else {
            output.print(&estimate::estimate(output.data, &plan))?;
        }
        Ok(ExitCode::Ok)
    }
}
