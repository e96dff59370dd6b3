//! `labguard history`: receipts of closed sessions.

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, receipt},
};

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard history\n  labguard history --limit 100 --json | jq '.[].total'")]
pub struct History {
    /// At most that many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
}

impl History {
    /// Shows them.
    ///
    /// # Errors
    /// When there is no daemon.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let receipts = context.client().await?.history(usize::from(self.limit)).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&receipts)?;
        } else if receipts.is_empty() {
            output.say(Icon::Going, "no session has been closed yet");
        } else {
            output.print(&receipt::history(output.data, output.zone, &receipts))?;
        }
        Ok(ExitCode::Ok)
    }
}
