//! `labguard run`: the daemon in the foreground, until a signal drains it.

use clap::Args;

use super::super::{CliError, Context, ExitCode, output::Icon, signals::Signals, wiring};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM or Ctrl-C drains: sessions are kept or torn down as their policy says. A second signal exits at once;
the next start goes on where this one was.

Examples:
  labguard run
  labguard run --config /etc/labguard/class.toml
  labguard run --config lab.toml --set 'sessions.lab.limits.budget=0.10 USD'")]
pub struct Run {}

impl Run {
    /// Runs it.
    ///
    /// # Errors
    /// When the configuration has mistakes or the daemon cannot start.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let output = &context.output;
        let mut signals = Signals::listen();
        let hosted = tokio::select! {
            hosted = wiring::start(context) => hosted?,
            () = signals.nth(1) => return Err(CliError::Interrupted("interrupted while starting".into())),
        };
        let at = hosted.api_url.as_deref().unwrap_or("no address");
        // A log of JSON stays one: whoever reads it line by line meets nothing else.
        let human = hosted.human_log;
        let tell = |icon, text: &str| if human { output.say(icon, text) } else { tracing::info!("{text}") };
        tell(Icon::Done, &format!("labguard runs at {at}; sessions: {}", hosted.policies.join(", ")));
        for status in hosted.handle.list().iter().filter(|status| status.closed_at.is_none()) {
            tell(Icon::Going, &format!("{} taken up again: {}, {}", status.id, status.phase, status.doing));
        }
        signals.nth(1).await;
        tell(Icon::Going, "draining; another signal exits at once");
        let drained = tokio::select! {
            drained = (hosted.drain)() => drained,
            () = signals.nth(2) => {
                let text = "left at once; the next start goes on where this one was";
                return Err(CliError::Interrupted(text.into()));
            }
        };
        for line in &drained.report {
            tell(Icon::Done, line);
        }
        Ok(if drained.left == 0 { ExitCode::Ok } else { ExitCode::LeftBehind })
    }
}
