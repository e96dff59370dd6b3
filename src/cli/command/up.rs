//! `labguard up`: open a session and see it to its address.

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, narrator::Narrator},
    signals::Signals,
};
use crate::{
    domain::model::{Net, Phase},
    reconcile::status::{NetWord, SessionStatus},
};

/// Arguments of `up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the address on stdout. Ctrl-C stops the waiting, not the session.

Examples:
  labguard up admission
  curl \"$(labguard up admission)/ping\"
  labguard up admission --detach")]
pub struct Up {
    /// The policy: NAME of [sessions.NAME] in the configuration.
    pub name: String,
    /// Wait until it runs or failed (the default).
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Return as soon as the session is journalled; prints its id.
    #[arg(short, long)]
    pub detach: bool,
}

impl Up {
    /// Opens it.
    ///
    /// # Errors
    /// When there is no daemon, it refuses, or the waiting is interrupted.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client_for_policy().await?;
        let output = &context.output;
        let plan = client.plan(&self.name).await?;
        for warning in &plan.warnings {
            output.say(Icon::Warn, warning);
        }
        output.say(Icon::Going, &format!("{} an hour, at worst {} over the budget", plan.rate, plan.overshoot));
        for text in nets_off(&plan.nets) {
            output.say(Icon::Going, &text);
        }
        let session = client.open(&self.name).await?;
        if self.detach {
            return if output.json {
                output.print_json(&serde_json::json!({ "session": session })).map(|()| ExitCode::Ok)
            } else {
                output.print(&session).map(|()| ExitCode::Ok)
            };
        }
        output.say(Icon::Done, &format!("session {session} opened"));
        let mut narrator = Narrator::new(output);
        let mut follow = client.follow(&session);
        let mut signals = Signals::listen();
        let mut last = None;
        loop {
            let status = tokio::select! {
                status = follow.next() => status?,
                () = signals.nth(1) => {
                    let text = format!("no longer waiting; {session} goes on: `labguard down {session}` ends it");
                    return Err(CliError::Interrupted(text));
                }
            };
            let Some(status) = status else { break };
            narrator.update(&status);
            let verdict = verdict(&status);
            last = Some(status);
            if verdict.is_some() {
                break;
            }
        }
        drop(narrator);
        let Some(status) = last else { return Ok(ExitCode::SessionFailed) };
        if output.json {
            output.print_json(&status)?;
        } else if status.phase == Phase::Running {
            output.print(status.url.as_deref().unwrap_or_default())?;
        }
        let code = verdict(&status).unwrap_or(ExitCode::SessionFailed);
        if code == ExitCode::Ok && !status.nets.iter().any(|net| net.state == NetWord::Holds) {
            let text = format!(
                "no net holds: should labguard never come back, nothing in the cloud ends {session} (`labguard status {session}` says why)"
            );
            output.say(Icon::Warn, &text);
        }
        if code == ExitCode::LeftBehind {
            let text = format!("{session} is stuck; labguard goes on trying: `labguard status {session}`");
            output.say(Icon::Fail, &text);
        } else if code != ExitCode::Ok {
            let why = status.ending.as_ref().map_or(status.doing.clone(), |(cause, why)| format!("{cause} ({why})"));
            let text = format!("{session} did not come up: {why}; `labguard receipt {session}` has the account");
            output.say(Icon::Fail, &text);
        }
        Ok(code)
    }
}

/// The nets that the policy does not want, and how each is switched on.
fn nets_off(nets: &[(String, String)]) -> Vec<String> {
    let off = nets.iter().filter(|(_, does)| does == "off");
    off.map(|(net, _)| {
        let key = if *net == Net::Scheduler.name() { "scheduler = true" } else { "sentinel = \"own\"" };
        format!("net {net} is off; fuse.{key} in the policy switches it on")
    })
    .collect()
}

/// How `up` ends at that status; none while there is something to wait for.
fn verdict(status: &SessionStatus) -> Option<ExitCode> {
    match status.phase {
        Phase::Running if status.ending.is_none() && status.url.is_some() => Some(ExitCode::Ok),
        Phase::Stuck => Some(ExitCode::LeftBehind),
        Phase::Ended => Some(ExitCode::SessionFailed),
        Phase::Pending
        | Phase::Provisioning
        | Phase::Starting
        | Phase::Running
        | Phase::Stopping
        | Phase::TearingDown => status.closed_at.map(|_| ExitCode::SessionFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::fake, domain::model::Cause};

    #[test]
    fn a_net_that_is_off_is_told_with_what_switches_it_on() {
        let nets = [("sentinel", "off"), ("scheduler", "schedules outside the task")];
        let nets = nets.map(|(net, does)| (net.to_owned(), does.to_owned()));
        assert_eq!(nets_off(&nets), ["net sentinel is off; fuse.sentinel = \"own\" in the policy switches it on"]);
    }

    #[test]
    fn it_waits_for_the_address_or_for_the_last_piece_to_be_gone() {
        let mut status = fake::running();
        assert_eq!(verdict(&status), Some(ExitCode::Ok));
        status.ending = Some((Cause::NeverHealthy, "no answer in 2m".into()));
        assert_eq!(verdict(&status), None);
        status.phase = Phase::TearingDown;
        assert_eq!(verdict(&status), None);
        status.phase = Phase::Stuck;
        assert_eq!(verdict(&status), Some(ExitCode::LeftBehind));
        status.phase = Phase::Ended;
        assert_eq!(verdict(&status), Some(ExitCode::SessionFailed));
    }
}
