//! `labguard sweep`: find what bears labguard's tag and belongs to no live session; remove it when told to.

use std::time::Duration;

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    client::Client,
    output::{Icon, Output, sweep},
    signals::Signals,
};
use crate::reconcile::handle::{OrphanState, SweepReport, Verdict};

/// How often it is said that a removal goes on while nothing changes.
const STILL_AT_IT: Duration = Duration::from_secs(30);

/// Arguments of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Lists only, unless --yes is given. The tag says that a labguard made a thing, not whether that one still lives: a session
of which something runs, whose net outside has schedules to come, that made something within the last hour, or that cannot
be read \"may be guarded by another labguard\". It is removed only when it is named. A session of another labguard that is
stopped, has no net outside (fuse.scheduler = false) and made nothing for an hour looks like an orphan: where several
daemons share an account, look at owner and session before --yes.

One region and account are searched: the daemon's. The removal goes on in the daemon when this command is interrupted;
another `labguard sweep --yes` joins it.

Exits 7 when something was found or is still there, 5 when nothing of a named session is there, 8 when a part of the
account could not be searched.

Examples:
  labguard sweep
  labguard sweep --yes
  labguard sweep admission-7k2m9q --yes")]
pub struct Sweep {
    /// Only these sessions, by id; with --yes whoever may guard them.
    #[arg(value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Remove what is found: orphans, or the sessions that are named.
    #[arg(long)]
    pub yes: bool,
}

impl Sweep {
    /// Looks, and removes where told to.
    ///
    /// # Errors
    /// When there is no daemon, it refuses, the cloud could not be asked, or the waiting is interrupted.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client().await?;
        let output = &context.output;
        let report =
            if self.yes { self.remove(&client, output).await? } else { client.sweep(false, &self.sessions).await? };
        if output.json {
            output.print_json(&report)?;
        } else if !report.sessions.is_empty() {
            let now = report.ended_at.unwrap_or(report.began_at);
            output.print(&sweep::tables(output.data, output.zone, now, &report))?;
        }
        Ok(say(output, &report))
    }

    /// Begins the removal and sees it to its end. One that goes on already for other sessions is waited for first.
    async fn remove(&self, client: &Client, output: &Output) -> Result<SweepReport, CliError> {
        let mut signals = Signals::listen();
        loop {
            let first = client.sweep(true, &self.sessions).await?;
            let ours = first.asked.sessions == self.sessions;
            if !ours {
                let what = match first.asked.sessions.as_slice() {
                    [] => "all orphans".to_owned(),
                    named => named.join(", "),
                };
                let since = output.zone.clock(first.began_at, first.began_at);
                output.say(Icon::Going, &format!("a sweep of {what} goes on since {since}; yours begins after it"));
            }
            let last = watch(client, output, &mut signals, first).await?;
            if ours {
                return Ok(last);
            }
        }
    }
}

/// Tells what changes until it is over.
async fn watch(
    client: &Client,
    output: &Output,
    signals: &mut Signals,
    mut last: SweepReport,
) -> Result<SweepReport, CliError> {
    let mut follow = client.follow_sweep();
    let mut told = None;
    loop {
        let report = tokio::select! {
            report = follow.next() => report?,
            () = signals.nth(1) => {
                let text = "no longer waiting; the sweep goes on in the daemon: `labguard sweep --yes` joins it";
                return Err(CliError::Interrupted(text.to_owned()));
            }
            () = tokio::time::sleep(STILL_AT_IT) => {
                output.say(Icon::Going, &sweep::still(&last));
                continue;
            }
        };
        let Some(report) = report else { return Ok(last) };
        for line in sweep::changes(told.as_ref(), &report) {
            output.say(line.icon, &line.text);
        }
        last = report.clone();
        told = Some(report);
    }
}

/// Says how it ended, and what that is for the shell.
fn say(output: &Output, report: &SweepReport) -> ExitCode {
    for part in &report.not_searched {
        let icon = if part.matters { Icon::Warn } else { Icon::Going };
        output.say(icon, &format!("not searched: {}; {}; what to do: {}", part.what, part.why, part.next));
    }
    for (icon, text) in verdict(report) {
        output.say(icon, &text);
    }
    code(report)
}

fn code(report: &SweepReport) -> ExitCode {
    if report.failure.is_some() {
        ExitCode::AwsRefused
    } else if report.things().any(|(_, orphan)| orphan.state != OrphanState::Gone) {
        ExitCode::LeftBehind
    } else if !report.unknown.is_empty() {
        ExitCode::NotFound
    } else if report.not_searched.iter().any(|part| part.matters) {
        ExitCode::AwsRefused
    } else {
        ExitCode::Ok
    }
}

fn verdict(report: &SweepReport) -> Vec<(Icon, String)> {
    let mut lines = Vec::new();
    let region = &report.region;
    if let Some(why) = &report.failure {
        lines.push((Icon::Fail, why.clone()));
    }
    for name in &report.unknown {
        lines.push((
            Icon::Fail,
            format!("nothing bears the tag of session {name} in {region}; `labguard sweep` lists what does"),
        ));
    }
    let count = |wanted: &dyn Fn(OrphanState) -> bool| report.things().filter(|(_, it)| wanted(it.state)).count();
    let gone = count(&|state| state == OrphanState::Gone);
    let remain = count(&|state| matches!(state, OrphanState::StillThere | OrphanState::Removing));
    if gone > 0 {
        lines.push((Icon::Done, format!("{gone} removed")));
    }
    if remain > 0 {
        lines.push((
            Icon::Fail,
            format!("{remain} still there: the table says why; `labguard sweep --yes` tries again"),
        ));
    }
    let found = |verdict: Verdict| {
        let untouched = |state| matches!(state, OrphanState::Found | OrphanState::Kept);
        let of = report.sessions.iter().filter(|swept| swept.verdict == verdict);
        of.filter(|swept| swept.things.iter().any(|it| untouched(it.state)))
            .map(|it| it.session.clone())
            .collect::<Vec<_>>()
    };
    let (orphans, guarded) = (found(Verdict::Orphan), found(Verdict::MaybeGuarded));
    if !orphans.is_empty() {
        let text = format!("orphans of {} session(s) found; `labguard sweep --yes` removes them", orphans.len());
        lines.push((Icon::Warn, text));
    }
    if !guarded.is_empty() {
        let names = guarded.join(" ");
        let text = format!(
            "{} session(s) may be guarded by another labguard and stay; ask their owner. Where nobody does: `labguard sweep {names} --yes`",
            guarded.len()
        );
        lines.push((Icon::Warn, text));
    }
    if lines.is_empty() {
        let whole = !report.not_searched.iter().any(|part| part.matters);
        lines.push(if whole {
            (
                Icon::Done,
                format!("no orphans in {region}: nothing bears labguard's tag without a session of this daemon"),
            )
        } else {
            (Icon::Warn, format!("nothing was found in {region} where labguard could look; there may be more"))
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::fake, reconcile::handle::NotSearched};

    fn told(report: &SweepReport) -> String {
        verdict(report).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_exit_code_says_whether_something_is_still_there() {
        let removed = fake::swept(true, Vec::new());
        assert_eq!((code(&removed), told(&removed).as_str()), (ExitCode::Ok, "1 removed"));
        let listed = fake::swept(false, Vec::new());
        assert_eq!(code(&listed), ExitCode::LeftBehind);
        assert!(told(&listed).contains("orphans of 1 session(s) found"), "{}", told(&listed));
        let mut kept = listed.clone();
        kept.sessions[0].verdict = Verdict::MaybeGuarded;
        kept.sessions[0].things[0].state = OrphanState::Kept;
        assert_eq!(code(&kept), ExitCode::LeftBehind);
        assert!(told(&kept).contains("`labguard sweep old-abcdef --yes`"), "{}", told(&kept));
        let mut stuck = removed;
        stuck.sessions[0].things[0].state = OrphanState::StillThere;
        assert_eq!(code(&stuck), ExitCode::LeftBehind);
        assert!(told(&stuck).contains("1 still there"), "{}", told(&stuck));
    }

    #[test]
    fn what_was_not_searched_is_never_called_free_of_orphans() {
        let mut report = fake::swept(false, Vec::new());
        report.sessions.clear();
        assert_eq!(code(&report), ExitCode::Ok);
        assert!(told(&report).starts_with("no orphans in us-east-1"));
        let part =
            |matters| NotSearched { what: "IAM roles".into(), why: "denied".into(), next: "allow".into(), matters };
        report.not_searched = vec![part(false)];
        assert_eq!(code(&report), ExitCode::Ok);
        report.not_searched = vec![part(true)];
        assert_eq!(code(&report), ExitCode::AwsRefused);
        assert!(!told(&report).contains("no orphans"), "{}", told(&report));
        report.unknown = vec!["x".into()];
        assert_eq!(code(&report), ExitCode::NotFound);
        assert!(told(&report).starts_with("nothing bears the tag of session x"), "{}", told(&report));
    }
}
