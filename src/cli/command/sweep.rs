//! `labguard sweep`: find what bears labguard's tag and belongs to no live session; remove it when told to.

use std::time::Duration;

use clap::Args;

use super::super::{
    CliError, Context, ExitCode,
    client::{Client, Follow},
    output::{Icon, Output, sweep},
    signals::Signals,
};
use crate::{
    api::ProblemCode,
    reconcile::handle::{OrphanState, SweepFailure, SweepReport, SweepRequest, Swept, Verdict},
};

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
the same command again joins it.

Exits 7 when something was found or is still there, 5 when nothing of a named session is there, 8 when a part of the
account could not be searched, 4 when the daemon ended before it had found anything.

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
                let since = output.zone.clock(first.began_at, first.began_at);
                let what = named(&first);
                output.say(Icon::Going, &format!("a sweep of {what} goes on since {since}; yours begins after it"));
            }
            let last = self.watch(client, output, &mut signals, first, ours).await?;
            if ours {
                return Ok(last);
            }
        }
    }

    /// Tells what changes until it is over. `ours`: it is the sweep that was asked for, not one that is waited for.
    async fn watch(
        &self,
        client: &Client,
        output: &Output,
        signals: &mut Signals,
        mut last: SweepReport,
        ours: bool,
    ) -> Result<SweepReport, CliError> {
        let mut follow = client.follow_sweep();
        let mut told = None;
        loop {
            let report = tokio::select! {
                report = next(&mut follow, &last) => report?,
                () = signals.nth(1) => return Err(CliError::Interrupted(self.left_alone(&last, ours))),
                () = tokio::time::sleep(STILL_AT_IT) => {
                    output.say(Icon::Going, &sweep::still(&last));
                    continue;
                }
            };
            let Some(report) = report else { return Ok(last) };
            for line in sweep::changes(told.as_ref(), &report) {
                output.say(line.icon, &line.text);
            }
            let over = report.is_over();
            last = report.clone();
            told = Some(report);
            if over {
                return Ok(last);
            }
        }
    }

    /// What goes on without whoever waited for it, and what does not.
    fn left_alone(&self, going: &SweepReport, ours: bool) -> String {
        let again = SweepRequest::command(&self.sessions, true);
        if ours {
            return format!("no longer waiting; the sweep goes on in the daemon: `{again}` joins it");
        }
        let what = named(going);
        format!(
            "no longer waiting; the sweep of {what} goes on in the daemon, yours has not begun: `{again}` asks again"
        )
    }
}

/// Of what a sweep is.
fn named(report: &SweepReport) -> String {
    match report.asked.sessions.as_slice() {
        [] => "all orphans".to_owned(),
        named => named.join(", "),
    }
}

/// The next report of the sweep that `last` is of. One that the daemon does not know of any more has broken off.
async fn next(follow: &mut Follow<SweepReport>, last: &SweepReport) -> Result<Option<SweepReport>, CliError> {
    let why = match follow.next().await {
        Err(CliError::Problem(problem)) if problem.code == ProblemCode::Refused => "as its daemon was started anew",
        Ok(Some(other)) if (other.began_at, &other.asked) != (last.began_at, &last.asked) => {
            "or has ended: its daemon tells of another one by now"
        }
        told => return told,
    };
    let look = SweepRequest::command(&last.asked.sessions, false);
    let mut report = last.clone();
    report.break_off(SweepFailure::DaemonEnded, format!("the sweep broke off, {why}; `{look}` shows what is left"));
    Ok(Some(report))
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
    let left = report.things().any(|(_, orphan)| orphan.state != OrphanState::Gone);
    if report.failure.is_some() {
        match report.failure_kind {
            // A daemon of before tells no kind.
            None | Some(SweepFailure::Cloud) => ExitCode::AwsRefused,
            Some(SweepFailure::Journal | SweepFailure::Bug) => ExitCode::Internal,
            Some(SweepFailure::DaemonEnded) if left => ExitCode::LeftBehind,
            Some(SweepFailure::DaemonEnded) => ExitCode::NoDaemon,
        }
    } else if left {
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
        let again = SweepRequest::command(&report.asked.sessions, true);
        lines.push((Icon::Fail, format!("{remain} still there: the table says why; `{again}` tries again")));
    }
    lines.extend(untouched(report).into_iter().map(|text| (Icon::Warn, text)));
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

/// What was found and not touched, and what removes it: never more than was asked about.
fn untouched(report: &SweepReport) -> Vec<String> {
    let rests =
        |swept: &&Swept| swept.things.iter().any(|it| matches!(it.state, OrphanState::Found | OrphanState::Kept));
    let found = |which: &dyn Fn(&Swept) -> bool| {
        let of = report.sessions.iter().filter(rests).filter(|swept| which(swept));
        of.map(|swept| swept.session.clone()).collect::<Vec<_>>()
    };
    let orphans = found(&|it| it.verdict == Verdict::Orphan);
    let guarded = found(&|it| it.verdict == Verdict::MaybeGuarded && it.yields_when_named());
    let live = found(&|it| !it.yields_when_named() && it.is_a_session());
    let foreign = found(&|it| !it.yields_when_named() && !it.is_a_session());
    let mut lines = Vec::new();
    if !orphans.is_empty() {
        let removes = SweepRequest::command(if report.asked.sessions.is_empty() { &[] } else { &orphans }, true);
        lines.push(format!("orphans of {} session(s) found; `{removes}` removes them", orphans.len()));
    }
    if !guarded.is_empty() {
        let removes = SweepRequest::command(&guarded, true);
        lines.push(format!(
            "{} session(s) may be guarded by another labguard and stay; ask their owner. Where nobody does: `{removes}`",
            guarded.len()
        ));
    }
    for session in live {
        lines.push(format!(
            "session {session} is live by this daemon's own journal, so it is not swept: `labguard down {session}` ends it, \
             after a restart of the daemon where that does not know it"
        ));
    }
    if !foreign.is_empty() {
        lines.push(format!(
            "{} value(s) of labguard's tag are no session's ({}): labguard did not make what bears them and never removes it",
            foreign.len(),
            foreign.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::fake,
        reconcile::handle::{NotSearched, SweepStage},
    };

    fn named_sweep(sessions: &[&str]) -> Sweep {
        Sweep { sessions: sessions.iter().map(|name| (*name).to_owned()).collect(), yes: true }
    }

    #[test]
    fn what_is_advised_after_a_named_sweep_removes_nothing_else() {
        let named = vec!["old-abcdef".to_owned(), "new-ghijkm".to_owned()];
        let mut report = fake::swept(false, named.clone());
        assert!(told(&report).contains("; `labguard sweep old-abcdef --yes` removes them"), "{}", told(&report));
        report.asked.sessions.clear();
        assert!(told(&report).contains("; `labguard sweep --yes` removes them"), "{}", told(&report));
        let mut left = fake::swept(true, named);
        left.sessions[0].things[0].state = OrphanState::StillThere;
        let again = "1 still there: the table says why; `labguard sweep old-abcdef new-ghijkm --yes` tries again";
        assert_eq!(told(&left), again);
        left.asked.sessions.clear();
        assert!(told(&left).contains("`labguard sweep --yes` tries again"), "{}", told(&left));
    }

    #[test]
    fn who_waits_no_longer_is_told_whether_theirs_goes_on() {
        let going = fake::swept(true, vec!["alice-abcdef".to_owned()]);
        let joins = "no longer waiting; the sweep goes on in the daemon: `labguard sweep alice-abcdef --yes` joins it";
        assert_eq!(named_sweep(&["alice-abcdef"]).left_alone(&going, true), joins);
        let all = named_sweep(&[]).left_alone(&going, false);
        for part in ["the sweep of alice-abcdef goes on", "yours has not begun", "`labguard sweep --yes` asks again"] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        let waited = named_sweep(&["bob-abcdef"]).left_alone(&fake::swept(true, Vec::new()), false);
        assert!(waited.contains("of all orphans") && waited.contains("`labguard sweep bob-abcdef --yes`"), "{waited}");
    }

    #[test]
    fn what_a_name_does_not_remove_is_not_told_to_be_named() {
        let mut report = fake::swept(false, Vec::new());
        let kept = |name: &str, known| {
            let mut swept = report.sessions[0].clone();
            (swept.session, swept.known, swept.verdict) = (name.to_owned(), known, Verdict::MaybeGuarded);
            swept.things[0].state = OrphanState::Kept;
            swept
        };
        report.sessions = vec![kept("old-abcdef", false), kept("new-ghijkm", true), kept("Some; Body", false)];
        let told = told(&report);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].ends_with("`labguard sweep old-abcdef --yes`"), "{told}");
        assert!(lines[1].contains("live by this daemon's own journal") && lines[1].contains("new-ghijkm"), "{told}");
        assert!(lines[2].contains("Some; Body") && lines[2].contains("never removes it"), "{told}");
        assert_eq!(lines.len(), 3, "{told}");
    }

    #[test]
    fn a_sweep_that_breaks_off_ends_by_what_broke_it() {
        let broken = |kind, state| {
            let mut report = fake::swept(true, Vec::new());
            report.break_off(kind, "it broke off");
            match state {
                Some(state) => report.sessions[0].things[0].state = state,
                None => report.sessions.clear(),
            }
            code(&report)
        };
        let removing = Some(OrphanState::Removing);
        assert_eq!(broken(SweepFailure::Cloud, None), ExitCode::AwsRefused);
        assert_eq!(broken(SweepFailure::Journal, None), ExitCode::Internal);
        assert_eq!(broken(SweepFailure::Bug, removing), ExitCode::Internal);
        assert_eq!(broken(SweepFailure::DaemonEnded, removing), ExitCode::LeftBehind);
        assert_eq!(broken(SweepFailure::DaemonEnded, None), ExitCode::NoDaemon);
        let mut older = fake::swept(true, Vec::new());
        older.failure = Some("denied".to_owned());
        assert_eq!(code(&older), ExitCode::AwsRefused);
    }

    #[tokio::test]
    async fn a_sweep_that_its_daemon_knows_no_more_of_has_broken_off() {
        let daemon = fake::daemon().await;
        let mut going = fake::swept(true, vec!["old-abcdef".to_owned()]);
        (going.stage, going.sessions[0].things[0].state) = (SweepStage::Removing, OrphanState::Removing);
        // Another one by now; then none at all, as after a restart.
        for forgotten in [false, true] {
            daemon.engine.forgot.store(forgotten, std::sync::atomic::Ordering::Relaxed);
            let client = Client::new(&daemon.url, &daemon.token()).await.unwrap();
            let report = next(&mut client.follow_sweep(), &going).await.unwrap().unwrap();
            assert!(report.is_over() && code(&report) == ExitCode::LeftBehind, "{report:#?}");
            let told = told(&report);
            assert!(told.contains("broke off") && told.contains("`labguard sweep old-abcdef` shows"), "{told}");
        }
        daemon.engine.forgot.store(false, std::sync::atomic::Ordering::Relaxed);
        daemon.engine.sweep.send_replace(std::sync::Arc::new(going.clone()));
        let client = Client::new(&daemon.url, &daemon.token()).await.unwrap();
        assert_eq!(next(&mut client.follow_sweep(), &going).await.unwrap(), Some(going));
    }

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
