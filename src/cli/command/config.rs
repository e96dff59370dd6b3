//! `labguard config`: check, show or describe the configuration.

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::{CliError, Context, ExitCode, output::Icon, wiring};
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
    /// Find every mistake at once, and what is legal and yet worth a word.
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
                let mut settings = match context.settings() {
                    Err(CliError::Mistakes(mistakes)) if output.json => {
                        // What is legal is only judged where everything is.
                        output.print_json(&json!({ "ok": false, "mistakes": mistakes.0, "warnings": [] }))?;
                        return Err(CliError::Mistakes(mistakes));
                    }
                    settings => settings?,
                };
                // As the daemon will have it: with the prices that were taken.
                let taken = wiring::take_in(&mut settings);
                let mut warnings = settings.warnings_at(context.now());
                warnings.extend(taken.err().map(|error| error.whole()));
                let names: Vec<&str> = settings.sessions.keys().map(String::as_str).collect();
                if output.json {
                    output.print_json(&json!({
                        "ok": true, "sources": settings.sources, "sessions": names,
                        "mistakes": [], "warnings": warnings,
                    }))?;
                } else {
                    for warning in &warnings {
                        output.say(Icon::Warn, warning);
                    }
                    let sessions = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    let text = format!("no mistakes in {}; sessions: {sessions}", settings.sources.join(", "));
                    output.say(Icon::Done, &text);
                }
            }
            What::Show => {
                let settings = context.settings()?;
                if output.json {
                    let (daemon, aws) = config::machine(&settings);
                    let shown = json!({
                        "daemon": daemon, "aws": aws,
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
