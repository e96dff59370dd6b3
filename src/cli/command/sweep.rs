//! `labguard sweep`: find what bears labguard's tag and belongs to no session; remove it when told to.

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    output::{
        Icon,
        columns::{Cell, table},
    },
};
use crate::reconcile::handle::Orphan;

/// Arguments of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Lists only, unless --yes is given. Exits 7 when orphans are found or remain.

Examples:
  labguard sweep
  labguard sweep --yes")]
pub struct Sweep {
    /// Remove what is found.
    #[arg(long)]
    pub yes: bool,
}

impl Sweep {
    /// Looks, and removes where told to.
    ///
    /// # Errors
    /// When there is no daemon or the cloud could not be asked.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client().await?;
        let output = &context.output;
        let mut orphans = client.sweep(self.yes).await?;
        // What is left is what a fresh look finds, not what a removal claims.
        let left = if self.yes && !orphans.is_empty() { client.sweep(false).await? } else { Vec::new() };
        for orphan in &mut orphans {
            if left.iter().any(|other| other.id == orphan.id) {
                orphan.outcome = Some(format!("still there: {}", orphan.outcome.as_deref().unwrap_or("no word")));
            }
        }
        if output.json {
            output.print_json(&orphans)?;
        } else if !orphans.is_empty() {
            output.print(&table(output.data, &["session", "kind", "id", "outcome"], &rows(&orphans)))?;
        }
        let remain = if self.yes { left.len() } else { orphans.len() };
        match (remain, orphans.len()) {
            (0, 0) => output.say(Icon::Done, "no orphans: nothing bears labguard's tag without a session"),
            (0, gone) => output.say(Icon::Done, &format!("{gone} removed")),
            (remain, _) if self.yes => output.say(Icon::Fail, &format!("{remain} still there")),
            (remain, _) => output.say(Icon::Warn, &format!("{remain} found; `labguard sweep --yes` removes them")),
        }
        Ok(if remain == 0 { ExitCode::Ok } else { ExitCode::LeftBehind })
    }
}

fn rows(orphans: &[Orphan]) -> Vec<Vec<Cell>> {
    let cells = |orphan: &Orphan| {
        let outcome = orphan.outcome.clone().unwrap_or_else(|| "found".into());
        vec![orphan.session.clone().into(), orphan.kind.clone().into(), orphan.id.clone().into(), outcome.into()]
    };
    orphans.iter().map(cells).collect()
}
