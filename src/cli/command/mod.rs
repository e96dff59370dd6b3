//! One file a command: its arguments, its help, and what it does.

pub mod budgets;
pub mod completions;
pub mod config;
pub mod contain;
pub mod cost;
pub mod demo;
pub mod down;
pub mod extend;
pub mod history;
pub mod image;
pub mod journal;
pub mod plan;
pub mod predictor;
pub mod rates;
pub mod receipt;
pub mod resume;
pub mod run;
pub mod sandbox;
pub mod sentinel;
pub mod status;
pub mod stop;
pub mod sweep;
pub mod touch;
pub mod up;
pub mod with_lease;

use super::{CliError, Context, ExitCode, output::Icon};

/// Says that a command was taken: JSON on stdout where asked for, a line of talk otherwise.
fn taken(context: &Context, session: &str, what: &str) -> Result<ExitCode, CliError> {
    if context.output.json {
        context.output.print_json(&serde_json::json!({ "session": session }))?;
    } else {
        context.output.say(Icon::Done, &format!("{session}: {what}"));
    }
    Ok(ExitCode::Ok)
}
