//! `labguard budgets`: what the sessions that share a budget have spent of it, and what happens next.

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, budgets},
};

/// Arguments of `budgets`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard budgets\n  labguard budgets class\n  \
    labguard budgets --json | jq '.[] | select(.percent >= 80)'")]
pub struct Budgets {
    /// One of them: NAME of [budgets.NAME] in the configuration.
    pub name: Option<String>,
}

impl Budgets {
    /// Shows them.
    ///
    /// # Errors
    /// When there is no daemon, or no budget of that name.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let mut known = context.client().await?.budgets().await?;
        let output = &context.output;
        if let Some(name) = &self.name {
            known.retain(|budget| budget.name == *name);
            if known.is_empty() {
                output.say(Icon::Fail, &format!("no budget \"{name}\"; `labguard budgets` lists those there are"));
                return Ok(ExitCode::NotFound);
            }
        }
        if output.json {
            output.print_json(&known)?;
        } else if known.is_empty() {
            output.say(Icon::Going, "no budget is shared; [budgets.NAME] in the configuration makes one");
        } else {
            output.print(&budgets::budgets(output.data, output.zone, &known))?;
        }
        Ok(ExitCode::Ok)
    }
}
