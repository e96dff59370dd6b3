//! `labguard config`: check, show or describe the configuration.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::{CliError, Context, ExitCode, output::Icon};
use crate::config;

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  labguard config check --config lab.toml\n  labguard config show | less\n  labguard config schema > labguard.schema.json"
)]
pub struct ConfigArgs {
    /// What about it.
    #[command(subcommand)]
    pub what: What,
}

/// What about the configuration.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Find every mistake at once.
    Check,
    /// Print the settings as they come out of all layers.
    Show,
    /// Print the JSON Schema of a configuration file.
    Schema,
}

impl ConfigArgs {
    /// Does it.
    ///
    /// # Errors
    /// When the configuration has mistakes; all of them are in the message.
    pub fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let output = &context.output;
        match self.what {
            What::Check => {
                let settings = context.settings()?;
                let names: Vec<&str> = settings.sessions.keys().map(String::as_str).collect();
                if output.json {
                    output.print_json(&json!({ "ok": true, "sources": settings.sources, "sessions": names }))?;
                } else {
                    let sessions = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    let text = format!("no mistakes in {}; sessions: {sessions}", settings.sources.join(", "));
                    output.say(Icon::Done, &text);
                }
            }
            What::Show => {
                let settings = context.settings()?;
                if output.json {
                    let shown = json!({
                        "sources": settings.sources, "origins": settings.origins, "sessions": settings.sessions,
                        "budgets": settings.budgets, "rates": settings.rates.given(),
                    });
                    output.print_json(&shown)?;
                } else {
                    output.print(&config::show(&settings))?;
                }
            }
            What::Schema => output.print_json(&config::schema())?,
        }
        Ok(ExitCode::Ok)
    }
}
