//! `labguard demo`: the whole job on the sandbox, told as it happens.
//!
//! Guarantees: it ends with a receipt or says why not; Ctrl-C tears down first, a second one leaves at once
//! (and the next start cleans up). Everything it shows came from the engine or from the application itself.

use std::{sync::Arc, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::{
    CliError, Context, ExitCode,
    output::{
        BOLD, Icon, NOTICE, Output,
        moment::{short, tenths},
        narrator::{Line, Narrator, changes},
        receipt,
    },
    signals::Signals,
    wiring::{self, Drained, Hosted, Script},
};
use crate::{
    domain::model::{LimitKind, Phase, Request, SessionId, Span},
    reconcile::{
        handle::{CommandError, Handle},
        status::SessionStatus,
    },
};

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no AWS account, no Docker and no network. Takes less than 90 seconds and leaves nothing behind.

Examples:
  labguard demo
  labguard demo --keep                 stays up to play with, until Ctrl-C or its limits
  labguard demo --json                 one JSON object a line; the last one is the receipt")]
pub struct Demo {
    /// Stay up until Ctrl-C or its limits.
    #[arg(long)]
    pub keep: bool,
    /// Only clean up what an interrupted demo left, then exit.
    #[arg(long, conflicts_with = "keep")]
    pub recover_only: bool,
}

impl Demo {
    /// Plays it.
    ///
    /// # Errors
    /// When the daemon or the sandbox cannot start, or the engine refuses.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let mut signals = Signals::listen();
        banner(&context.output)?;
        let (hosted, script) = tokio::select! {
            started = wiring::start_demo(context, self.keep) => started?,
            () = signals.nth(1) => return Err(CliError::Interrupted("interrupted before anything was made".into())),
        };
        let recovered = tokio::select! {
            recovered = recover(&hosted.handle, &context.output) => recovered?,
            () = signals.nth(1) => {
                let _ = drained(hosted, &mut signals).await;
                let text = "left while cleaning up; the next start goes on with it";
                return Err(CliError::Interrupted(text.into()));
            }
        };
        if self.recover_only {
            let drained = drained(hosted, &mut signals).await?;
            return Ok(if drained.left == 0 && recovered { ExitCode::Ok } else { ExitCode::LeftBehind });
        }
        let played = tokio::select! {
            played = play(&hosted.handle, &script, &context.output, signals.clone()) => played,
            () = signals.nth(2) => return Err(left_at_once()),
        };
        if matches!(played, Ok(ExitCode::LeftBehind)) {
            let text = "it is tried again for a while yet; Ctrl-C leaves at once, and the next start goes on with it";
            context.output.say(Icon::Going, text);
        }
        let drained = drained(hosted, &mut signals).await?;
        match played {
            Ok(ExitCode::Ok) if drained.left > 0 => Ok(ExitCode::LeftBehind),
            played => played,
        }
    }
}

/// Ends the daemon; one more signal than there were leaves at once.
async fn drained(hosted: Hosted, signals: &mut Signals) -> Result<Drained, CliError> {
    let next = signals.count() + 1;
    tokio::select! {
        drained = (hosted.drain)() => Ok(drained),
        () = signals.nth(next) => Err(left_at_once()),
    }
}

fn left_at_once() -> CliError {
    CliError::Interrupted("left at once; the next start cleans up what is left".into())
}

/// Ends what an interrupted demo left, and waits until it is gone; false when something cannot be removed.
async fn recover(handle: &Handle, output: &Output) -> Result<bool, CliError> {
    let mut clean = true;
    for left in handle.list().into_iter().filter(|status| status.closed_at.is_none()) {
        let id = left.id.to_string();
        let text = format!("{id} was left by an interrupted demo: cleaning up");
        if output.json {
            output.print_json_line(&json!({ "event": "taken_over", "at": left.at, "session": id }))?;
        } else {
            output.say(Icon::Going, &text);
        }
        handle.request(id.clone(), Request::End { reason: "an interrupted demo left it".to_owned() }).await?;
        let mut statuses = handle.follow(&id)?;
        let over = statuses.wait_for(|status| is_over(status)).await;
        let gone = over.is_ok_and(|status| status.closed_at.is_some());
        clean &= gone;
        let (icon, word) = if gone { (Icon::Done, "is gone") } else { (Icon::Fail, "cannot be removed yet") };
        if output.json {
            let event = if gone { "cleaned" } else { "stuck" };
            output.print_json_line(&json!({ "event": event, "at": handle.now(), "session": id }))?;
        } else {
            output.say(icon, &format!("{id} {word}"));
        }
    }
    Ok(clean)
}

fn banner(output: &Output) -> Result<(), CliError> {
    if output.json {
        let text = "sandbox: not AWS, account 000000000000";
        return output.print_json_line(&json!({ "event": "banner", "text": text }));
    }
    let text = "labguard demo · sandbox: not AWS, account 000000000000";
    if output.talk.terminal {
        let edge = "─".repeat(text.chars().count() + 2);
        for line in [format!("┌{edge}┐"), format!("│ {text} │"), format!("└{edge}┘")] {
            output.say_bare(&output.talk.paint(NOTICE, &line));
        }
    } else {
        output.say_bare(text);
    }
    Ok(())
}

/// Tells the story: lines of talk for people, lines of JSON for programs.
struct Story<'a> {
    output: &'a Output,
    narrator: Option<Narrator>,
    before: Option<SessionStatus>,
}

impl<'a> Story<'a> {
    fn new(output: &'a Output) -> Self {
        Self { output, narrator: (!output.json).then(|| Narrator::new(output)), before: None }
    }

    fn update(&mut self, status: &SessionStatus) -> Result<(), CliError> {
        if let Some(narrator) = &mut self.narrator {
            narrator.update(status);
            return Ok(());
        }
        for line in changes(self.before.as_ref(), status) {
            let kind = if line.icon == Icon::Warn || line.icon == Icon::Fail { "warning" } else { "step" };
            self.tell(&json!({ "event": kind, "at": status.at, "phase": status.phase, "text": line.text }))?;
        }
        self.before = Some(status.clone());
        Ok(())
    }

    fn heading(&self, text: &str) {
        if let Some(narrator) = &self.narrator {
            narrator.heading(&format!("\n{text}"));
        }
    }

    fn line(&self, icon: Icon, text: &str) {
        if let Some(narrator) = &self.narrator {
            narrator.line(&Line { icon, text: text.to_owned() }, None);
        }
    }

    fn tell(&self, value: &Value) -> Result<(), CliError> {
        if self.output.json { self.output.print_json_line(value) } else { Ok(()) }
    }

    /// Data for people, with the spinner out of the way.
    fn show(&self, text: &str) -> Result<(), CliError> {
        match &self.narrator {
            Some(narrator) => narrator.aside(|| self.output.print(text)),
            None => Ok(()),
        }
    }
}

/// The story of one session, from nothing to its receipt.
async fn play(handle: &Handle, script: &Script, output: &Output, mut signals: Signals) -> Result<ExitCode, CliError> {
    let mut story = Story::new(output);
    story.heading("Deploy");
    let session = handle.up(script.policy.clone()).await?;
    let mut statuses = handle.follow(session.as_str())?;
    let mut stopped = false;

    let mut status = present(&mut statuses);
    story.update(&status)?;
    while !has_address(&status) && !is_over(&status) && status.ending.is_none() {
        status = next(handle, &session, &mut statuses, &mut signals, &mut stopped).await?;
        story.update(&status)?;
    }
    let running = status.phase == Phase::Running && status.ending.is_none();
    if let Some(url) = status.url.as_deref().filter(|_| running) {
        let took = status.at.since(status.opened_at);
        story.line(Icon::Done, &format!("running after {}", tenths(took)));
        story.tell(&json!({ "event": "address", "at": status.at, "url": url }))?;
        story.show(&output.data.paint(BOLD, url))?;
        story.heading("Use");
        use_it(&story, url, script).await?;
        story.heading("Idle");
        status = handle.get(session.as_str())?;
        foretell(&story, output, handle, &status)?;
    }

    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut ending_told = false;
    while !is_over(&status) {
        tokio::select! {
            changed = next(handle, &session, &mut statuses, &mut signals, &mut stopped) => {
                status = changed?;
                if status.ending.is_some() && !ending_told {
                    ending_told = true;
                    story.heading("Tear down");
                }
                story.update(&status)?;
            }
            _ = tick.tick() => {
                if let Some(narrator) = &story.narrator {
                    narrator.countdown(&status, handle.now());
                }
            }
        }
    }
    close(handle, story, output, &session, &status, stopped).await
}

async fn close(
    handle: &Handle,
    story: Story<'_>,
    output: &Output,
    session: &SessionId,
    status: &SessionStatus,
    stopped: bool,
) -> Result<ExitCode, CliError> {
    if status.closed_at.is_none() {
        story.tell(&json!({ "event": "stuck", "at": status.at, "blockers": status.blockers }))?;
        drop(story);
        output.say(Icon::Fail, &format!("{session} is stuck: {}", status.doing));
        return Ok(ExitCode::LeftBehind);
    }
    let account = handle.receipt(session.to_string()).await?;
    story.heading("Receipt");
    story.tell(&json!({ "event": "receipt", "at": account.ended_at, "receipt": account }))?;
    story.show(&receipt::receipt(output.data, output.zone, &account))?;
    drop(story);
    Ok(match account.cause {
        _ if !account.proven_clean => ExitCode::LeftBehind,
        _ if stopped => ExitCode::Interrupted,
        Some(cause) if cause.is_failure() => ExitCode::SessionFailed,
        Some(_) | None => ExitCode::Ok,
    })
}

fn present(statuses: &mut watch::Receiver<Arc<SessionStatus>>) -> Arc<SessionStatus> {
    statuses.borrow_and_update().clone()
}

fn has_address(status: &SessionStatus) -> bool {
    status.phase == Phase::Running && status.url.is_some()
}

fn is_over(status: &SessionStatus) -> bool {
    status.closed_at.is_some() || status.phase == Phase::Stuck
}

/// The next status; the first signal asks the engine to end the session, and the story goes on to its end.
async fn next(
    handle: &Handle,
    session: &SessionId,
    statuses: &mut watch::Receiver<Arc<SessionStatus>>,
    signals: &mut Signals,
    stopped: &mut bool,
) -> Result<Arc<SessionStatus>, CliError> {
    loop {
        tokio::select! {
            changed = statuses.changed() => {
                return match changed {
                    Ok(()) => Ok(present(statuses)),
                    Err(_) => Err(CommandError::Refused("the engine stopped before the session ended".into()).into()),
                };
            }
            () = signals.nth(1), if !*stopped => {
                *stopped = true;
                handle.request(session.to_string(), Request::End { reason: "Ctrl-C".into() }).await?;
            }
        }
    }
}

/// Sends the exercise's request as any program would, and shows both sides.
async fn use_it(story: &Story<'_>, url: &str, script: &Script) -> Result<(), CliError> {
    let target = format!("{url}{}", script.path);
    match ask(&target, &script.body).await {
        Ok((status, answer)) => {
            story.line(Icon::Done, &format!("POST {} answered {status}", script.path));
            story.tell(&json!({
                "event": "prediction", "url": target, "status": status, "request": script.body, "answer": answer,
            }))?;
            story.show(&format!("  request  {}\n  answer   {answer}", script.body))
        }
        Err(why) => {
            story.line(Icon::Warn, &format!("POST {target} failed: {why}"));
            story.tell(&json!({ "event": "warning", "text": format!("POST {target} failed: {why}") }))
        }
    }
}

async fn ask(target: &str, body: &Value) -> Result<(u16, Value), reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .user_agent(concat!("labguard-demo/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let response = client.post(target).json(body).send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

fn foretell(story: &Story<'_>, output: &Output, handle: &Handle, status: &SessionStatus) -> Result<(), CliError> {
    let Some(limit) = status.limits.first() else { return Ok(()) };
    let now = handle.now();
    // What would put it off besides are commands, and no daemon takes them here.
    let put_off = if limit.kind == LimitKind::Idle { "; put off by a request to it" } else { "" };
    let text = format!("nobody else will use it: {} at {}{put_off}", limit.cause, output.zone.away(limit.at, now));
    story.line(Icon::Going, &text);
    let left: Span = limit.at.since(now);
    story.tell(&json!({ "event": "foretold", "at": now, "cause": limit.cause, "ends_at": limit.at, "in": short(left) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{fake, fake::Fake},
        cli::{
            output::{Look, moment::Zone},
            signals::Signals,
        },
        domain::model::Cause,
    };

    fn quiet() -> Output {
        Output { json: false, quiet: true, data: Look::PLAIN, talk: Look::PLAIN, zone: Zone::UTC }
    }

    fn script() -> Script {
        Script { policy: "admission".into(), path: "/predict".into(), body: json!({"GRE Score": 337}) }
    }

    #[tokio::test]
    async fn the_story_ends_with_the_receipt_once_the_session_is_closed() {
        let engine = Fake::new();
        let mut pending = fake::running();
        pending.phase = Phase::Provisioning;
        pending.url = None;
        engine.status.send_replace(Arc::new(pending));
        let handle: Handle = engine.clone();
        let told = tokio::spawn(async move { play(&handle, &script(), &quiet(), Signals::silent()).await });
        let mut status = fake::running();
        // Nothing listens there: the demo says so and goes on.
        status.url = Some("http://127.0.0.1:9".into());
        tokio::time::sleep(Duration::from_millis(50)).await;
        engine.status.send_replace(Arc::new(status.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        status.ending = Some((Cause::Idle, "idle for 20s of 20s".into()));
        status.phase = Phase::Ended;
        status.closed_at = Some(fake::noon());
        engine.status.send_replace(Arc::new(status));
        assert_eq!(told.await.unwrap().unwrap(), ExitCode::Ok);
        assert_eq!(engine.asked(), ["up admission", "receipt admission-7k2m9q"]);
    }

    #[tokio::test]
    async fn a_signal_while_it_drains_leaves_at_once() {
        let hosted = || Hosted {
            handle: Fake::new(),
            api_url: None,
            policies: Vec::new(),
            human_log: true,
            drain: Box::new(|| Box::pin(std::future::pending())),
        };
        // After none, as where something is stuck, and after the one that asked for the end.
        for before in [0, 1] {
            let (count, mut signals) = Signals::by_hand();
            count.send_replace(before);
            let leaving = tokio::spawn(async move { drained(hosted(), &mut signals).await });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!leaving.is_finished());
            count.send_replace(before + 1);
            let Err(error) = leaving.await.unwrap() else { panic!("it drained") };
            assert_eq!(error.exit_code(), ExitCode::Interrupted);
        }
    }

    #[tokio::test]
    async fn a_stuck_session_is_not_called_a_success() {
        let engine = Fake::new();
        let mut stuck = fake::running();
        stuck.phase = Phase::Stuck;
        engine.status.send_replace(Arc::new(stuck));
        let handle: Handle = engine.clone();
        // It is still announced, so nothing more is asked of the application.
        let outcome = play(&handle, &script(), &quiet(), Signals::silent()).await;
        assert_eq!(outcome.unwrap(), ExitCode::LeftBehind);
    }

    #[tokio::test]
    async fn a_signal_ends_the_session_and_the_story_goes_on_to_its_receipt() {
        let engine = Fake::new();
        let mut pending = fake::running();
        pending.phase = Phase::Starting;
        pending.url = None;
        engine.status.send_replace(Arc::new(pending.clone()));
        let handle: Handle = engine.clone();
        let (count, signals) = Signals::by_hand();
        let told = tokio::spawn(async move { play(&handle, &script(), &quiet(), signals).await });
        count.send_replace(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(engine.asked().iter().any(|asked| asked.contains(r#""reason":"Ctrl-C""#)), "{:?}", engine.asked());
        pending.phase = Phase::Ended;
        pending.closed_at = Some(fake::noon());
        engine.status.send_replace(Arc::new(pending));
        assert_eq!(told.await.unwrap().unwrap(), ExitCode::Interrupted);
    }
}
