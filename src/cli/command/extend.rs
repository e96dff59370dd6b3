//! `labguard extend`: move a soft limit, inside its hard one.

use clap::Args;

use super::super::{CliError, Context, ExitCode};
use crate::domain::model::{Extension, Money, Span};

/// Arguments of `extend`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labguard extend admission --lifetime 30m
  labguard extend admission --budget \"0.50 USD\"
  labguard extend admission --idle 1h         not idle before then, counted from now")]
pub struct Extend {
    /// The session's id, or its name where only one is live.
    pub name: String,
    /// What to move, and by how much.
    #[command(flatten)]
    pub by: By,
}

/// Exactly one limit.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct By {
    /// More time before the lifetime limit. A fixed end (`limits.ends_at`) stays where it is.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub lifetime: Option<Span>,
    /// More money.
    #[arg(long, value_name = "MONEY", value_parser = some_money)]
    pub budget: Option<Money>,
    /// Not idle for that long from now.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub idle: Option<Span>,
}

impl By {
    const fn extension(&self) -> Option<Extension> {
        match (self.lifetime, self.budget, self.idle) {
            (Some(by), _, _) => Some(Extension::Lifetime { by }),
            (None, Some(by), _) => Some(Extension::Budget { by }),
            (None, None, Some(by)) => Some(Extension::Idle { by }),
            (None, None, None) => None,
        }
    }
}

fn some_time(text: &str) -> Result<Span, String> {
    match text.parse::<Span>() {
        Ok(Span::ZERO) => Err("expected more than no time at all".into()),
        Ok(span) => Ok(span),
        Err(error) => Err(format!("expected a time such as 30m or \"1h 15m\": {error}")),
    }
}

fn some_money(text: &str) -> Result<Money, String> {
    match text.parse::<Money>() {
        Ok(money) if money > Money::ZERO => Ok(money),
        Ok(_) => Err("expected more than nothing".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl Extend {
    /// Asks for it.
    ///
    /// # Errors
    /// When there is no daemon, no such session, or the hard limit stands against it.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let Some(extension) = self.by.extension() else { return Ok(ExitCode::Usage) };
        let session = context.client().await?.extend(&self.name, &extension).await?;
        let what = match extension {
            Extension::Lifetime { by } => format!("lifetime extended by {by}"),
            Extension::Budget { by } => format!("budget extended by {by}"),
            Extension::Idle { by } => format!("not idle for {by} from now"),
        };
        super::taken(context, &session, &what)
    }
}
