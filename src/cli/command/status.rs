//! `labguard status`: what runs, why, what ends it next and exactly when.

use std::time::Duration;

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    client::{Client, RECONNECTS},
    output::{DIM, Icon, frame, json, sessions},
    signals::Signals,
};
use crate::{domain::model::Phase, reconcile::status::SessionStatus};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits 7 when a session is stuck; with --ready only 0, or 4 where no daemon takes commands or the one there stands still.

Examples:
  labguard status                      all sessions
  labguard status admission            one, with every limit and resource
  labguard status --watch              redrawn as it changes
  labguard status admission --watch --json | jq .phase
  labguard status --ready              for health checks: needs no token, asks about no session")]
pub struct Status {
    /// The session's id, or its name where only one is live; all when left out.
    pub name: Option<String>,
    /// Show changes until Ctrl-C; with --json one line a change.
    #[arg(short, long)]
    pub watch: bool,
    /// Time between looks of --watch.
    #[arg(long, default_value = "2s", value_name = "TIME", requires = "watch")]
    pub every: crate::domain::model::Span,
    /// Whether the daemon takes commands, and nothing else.
    #[arg(long, conflicts_with_all = ["name", "watch"])]
    pub ready: bool,
}

impl Status {
    /// Shows it.
    ///
    /// # Errors
    /// When there is no daemon or no such session.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        if self.ready {
            return is_ready(context).await;
        }
        let client = context.client().await?;
        if !self.watch {
            let found = self.look(&client).await?;
            self.show(context, &found)?;
            return Ok(code(&found));
        }
        let mut signals = Signals::listen();
        let (mut last, mut seen) = (Vec::new(), false);
        let (mut drawn, mut read) = (false, true);
        let every = Duration::from_millis(self.every.as_millis().max(200));
        let mut absent = 0;
        loop {
            let found = match self.look(&client).await {
                Err(error @ (CliError::NoDaemon { .. } | CliError::Broken { .. })) if seen && absent < RECONNECTS => {
                    if absent == 0 {
                        let text = format!(
                            "the daemon does not answer now, looking for it for {RECONNECTS} s: {}",
                            error.whole()
                        );
                        context.output.say(Icon::Warn, &text);
                    }
                    absent += 1;
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                        () = signals.nth(1) => return Ok(code(&last)),
                    }
                }
                found => found?,
            };
            seen = true;
            if std::mem::take(&mut absent) > 0 {
                context.output.say(Icon::Done, "the daemon answers again");
            }
            if context.output.json {
                for status in found.iter().filter(|status| !last.contains(status)) {
                    read &= context.output.print_on(&json::line(status)?)?;
                }
            } else {
                read = self.redraw(context, &found, &mut drawn)?;
            }
            if !read {
                // Whoever read it has gone, as `head` does.
                return Ok(code(&found));
            }
            let over = self.name.is_some() && found.iter().all(|status| status.closed_at.is_some());
            if over {
                return Ok(code(&found));
            }
            last = found;
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = signals.nth(1) => return Ok(code(&last)),
            }
        }
    }

    async fn look(&self, client: &Client) -> Result<Vec<SessionStatus>, CliError> {
        match &self.name {
            Some(name) => Ok(vec![client.session(name).await?]),
            None => client.sessions().await,
        }
    }

    /// Over what was drawn before, without a flash in between; plain repetition where nobody looks. Whether anybody reads it.
    fn redraw(&self, context: &Context, found: &[SessionStatus], drawn: &mut bool) -> Result<bool, CliError> {
        let (output, now) = (&context.output, context.now());
        let body = match (&self.name, found) {
            (Some(_), [one]) => sessions::detail(output.data, output.zone, now, one),
            (_, []) => "no sessions; start one with `labguard up NAME`\n".to_owned(),
            (_, all) => sessions::overview(output.data, output.zone, now, all),
        };
        if !output.data.terminal {
            return output.print_on(&body);
        }
        let begin = if *drawn { "\u{1b}[H" } else { "\u{1b}[H\u{1b}[2J" };
        *drawn = true;
        let head = format!("{}, every {}; Ctrl-C leaves", output.zone.clock(now, now), self.every);
        let text = format!("{}\n\n{body}", output.data.paint(DIM, &head));
        let text = frame::fit(&text, frame::size()).replace('\n', "\u{1b}[K\n");
        output.print_on(&format!("{begin}{text}\u{1b}[J"))
    }

    fn show(&self, context: &Context, found: &[SessionStatus]) -> Result<(), CliError> {
        let (output, now) = (&context.output, context.now());
        match (output.json, &self.name, found) {
            (true, Some(_), [one]) => output.print_json(one),
            (true, _, all) => output.print_json(all),
            (false, Some(_), [one]) => output.print(&sessions::detail(output.data, output.zone, now, one)),
            (false, _, []) => {
                output.say(Icon::Going, "no sessions; start one with `labguard up NAME`");
                Ok(())
            }
            (false, _, all) => output.print(&sessions::overview(output.data, output.zone, now, all)),
        }
    }
}

async fn is_ready(context: &Context) -> Result<ExitCode, CliError> {
    let url = context.daemon_url()?;
    let ready = Client::ready(&url).await?;
    if context.output.json {
        context.output.print_json(&ready)?;
    } else {
        for alarm in &ready.alarms {
            context.output.say(Icon::Warn, alarm);
        }
    }
    if !ready.ready {
        return Err(CliError::StandsStill { url });
    }
    if !context.output.json {
        context.output.say(Icon::Done, &format!("labguard at {url} is ready"));
    }
    Ok(ExitCode::Ok)
}

fn code(found: &[SessionStatus]) -> ExitCode {
    let stuck = found.iter().any(|status| status.phase == Phase::Stuck);
    if stuck { ExitCode::LeftBehind } else { ExitCode::Ok }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{
        api::fake,
        cli::tree::{Cli, Command},
    };

    #[tokio::test]
    async fn a_daemon_that_stands_still_is_not_ready_and_is_told_as_one() {
        let daemon = fake::daemon().await;
        let state = daemon.token().parent().unwrap().display().to_string();
        let line = ["labguard", "status", "--ready", "--daemon", daemon.url.as_str(), "--state-dir", state.as_str()];
        let cli = Cli::read(line).unwrap();
        let Command::Status(status) = cli.command else { panic!("another command") };
        let context = Context::new(cli.global);
        assert_eq!(status.run(&context).await.unwrap(), ExitCode::Ok);
        daemon.engine.stands_still.store(true, Ordering::Relaxed);
        let error = status.run(&context).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NoDaemon);
        assert!(error.to_string().contains("stands still: its sessions are not guarded"), "{error}");
    }
}
