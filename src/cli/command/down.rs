//! `labguard down`: end a session and see it to its receipt.

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, narrator::Narrator, receipt},
    signals::Signals,
};
use crate::domain::model::Phase;

/// Arguments of `down`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the receipt on stdout. Exits 7 when something cannot be removed yet; labguard goes on trying.

Examples:
  labguard down admission
  labguard down admission-7k2m9q --reason \"class is over\" --json")]
pub struct Down {
    /// The session's id, or its name where only one is live.
    pub name: String,
    /// Why; kept in the journal and on the receipt.
    #[arg(long)]
    pub reason: Option<String>,
    /// Wait for the receipt (the default).
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Return as soon as the request is journalled.
    #[arg(short, long)]
    pub detach: bool,
}

impl Down {
    /// Ends it.
    ///
    /// # Errors
    /// When there is no daemon, it refuses, or the waiting is interrupted.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client().await?;
        let output = &context.output;
        let reason = self.reason.clone().unwrap_or_else(|| "labguard down".to_owned());
        let before = client.session(&self.name).await?;
        let session = client.end(&self.name, Some(reason)).await?;
        if self.detach {
            return super::taken(context, &session, "will be ended");
        }
        let mut narrator = Narrator::from_here(output, &before);
        let mut follow = client.follow(&session);
        let mut signals = Signals::listen();
        loop {
            let status = tokio::select! {
                status = follow.next() => status?,
                () = signals.nth(1) => {
                    let text = format!("no longer waiting; the teardown of {session} goes on in the daemon");
                    return Err(CliError::Interrupted(text));
                }
            };
            let Some(status) = status else { break };
            narrator.update(&status);
            if status.phase == Phase::Stuck {
                drop(narrator);
                if output.json {
                    output.print_json(&status)?;
                }
                let text = format!("{session} is stuck; labguard goes on trying: `labguard status {session}`");
                output.say(Icon::Fail, &text);
                return Ok(ExitCode::LeftBehind);
            }
        }
        drop(narrator);
        let account = client.receipt(&session).await?;
        if output.json {
            output.print_json(&account)?;
        } else {
            output.print(&receipt::receipt(output.data, output.zone, &account))?;
        }
        Ok(if account.proven_clean { ExitCode::Ok } else { ExitCode::LeftBehind })
    }
}
