//! `labguard with-lease`: a session is in use while a command runs.
//!
//! Guarantees: the command's exit code is this program's; signals go on to the command; a daemon that does not answer
//! ends no command. The lease is renewed three times in its length, released at the end, and lapses by itself where this
//! program is killed.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use clap::Args;
use tokio::{process::Child, time::Instant};

use super::super::{CliError, Context, ExitCode, client::Client, output::Icon};
use crate::domain::model::{Span, Timestamp};

/// Arguments of `with-lease`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labguard with-lease -- python train.py
  labguard with-lease --session admission --ttl 2m -- curl -d @big.json http://198.51.100.7:5000/predict

The exit code is the command's own (128 and the signal where a signal ended it), 126 where it cannot be run, 127 where
there is no such command. Where the lease is not given, the command is not run.")]
pub struct WithLease {
    /// The session's id, or its name; not needed where only one is live.
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
    /// How long the lease outlives this program, should that be killed. 1s to 1h.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub ttl: Span,
    /// Who or what uses it. By default the command's own name.
    #[arg(long)]
    pub by: Option<String>,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl WithLease {
    /// Takes the lease, runs the command, gives the lease back; the command's exit code.
    ///
    /// # Errors
    /// When there is no daemon or no such session, or the lease is refused: then nothing was run.
    pub async fn run(&self, context: &Context) -> Result<u8, CliError> {
        let client = context.client().await?;
        let session = match &self.session {
            Some(session) => session.clone(),
            None => match only_live(&client).await? {
                Some(session) => session,
                None => {
                    context.output.say(Icon::Fail, "not exactly one session is live; say which with --session");
                    return Ok(ExitCode::NotFound.number());
                }
            },
        };
        let by = self.by.clone().or_else(|| self.command.first().cloned());
        let lease = lease_id(context.now());
        let session = client.lease(&session, &lease, by.clone(), self.ttl).await?;
        let mut signals = Forwarded::listen();
        let mut command = tokio::process::Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::inherit());
        let code = match command.spawn() {
            Ok(mut child) => {
                let renewing = Renewing { client: &client, session: &session, lease: &lease, by, ttl: self.ttl };
                let status = renewing.while_runs(&mut child, &mut signals, context).await;
                let status = status.map_err(|source| CliError::Local { what: "wait for the command".into(), source });
                status.map(exit_number)
            }
            Err(error) => {
                context.output.say(Icon::Fail, &format!("{} cannot be run: {error}", self.command[0]));
                Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
            }
        };
        let released = tokio::time::timeout(Duration::from_secs(5), client.release(&session, &lease)).await;
        if !matches!(released, Ok(Ok(_))) {
            let text = format!("the lease on {session} could not be given back; it lapses within {}", self.ttl);
            context.output.say(Icon::Warn, &text);
        }
        code
    }
}

/// The one session that is live, if it is one.
async fn only_live(client: &Client) -> Result<Option<String>, CliError> {
    let sessions = client.sessions().await?;
    let mut live = sessions.iter().filter(|session| session.closed_at.is_none());
    Ok(match (live.next(), live.next()) {
        (Some(one), None) => Some(one.id.to_string()),
        _ => None,
    })
}

/// No two holders share one: the process and the moment.
fn lease_id(now: Timestamp) -> String {
    format!("{}-{}", std::process::id(), now.as_millis())
}

/// As a shell would have it.
fn exit_number(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

struct Renewing<'a> {
    client: &'a Client,
    session: &'a str,
    lease: &'a str,
    by: Option<String>,
    ttl: Span,
}

impl Renewing<'_> {
    async fn while_runs(
        &self,
        child: &mut Child,
        signals: &mut Forwarded,
        context: &Context,
    ) -> std::io::Result<ExitStatus> {
        let every = (self.ttl.as_duration() / 3).max(Duration::from_millis(300));
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        let pid = child.id();
        loop {
            tokio::select! {
                status = child.wait() => return status,
                signal = signals.next() => forward(pid, signal),
                _ = ticks.tick() => {
                    let asked = self.client.lease(self.session, self.lease, self.by.clone(), self.ttl);
                    // A daemon that hangs holds up neither the command's end nor its signals for long.
                    let failed = match tokio::time::timeout(Duration::from_secs(2), asked).await {
                        Ok(Ok(_)) => None,
                        Ok(Err(error)) => Some(error.whole()),
                        Err(_) => Some("no answer within 2s".to_owned()),
                    };
                    if let Some(why) = &failed && !told {
                        let text = format!("the lease on {} could not be renewed: {why}; the command goes on", self.session);
                        context.output.say(Icon::Warn, &text);
                    }
                    told = failed.is_some();
                }
            }
        }
    }
}

/// Signals that go on to the command.
#[cfg(unix)]
struct Forwarded(Vec<(i32, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Forwarded {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        Self(kinds.into_iter().filter_map(|kind| Some((kind.as_raw_value(), signal(kind).ok()?))).collect())
    }

    /// The next one's number.
    async fn next(&mut self) -> i32 {
        let waits = self.0.iter_mut().map(|(number, signal)| {
            let number = *number;
            Box::pin(async move {
                if signal.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                number
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() { std::future::pending().await } else { futures::future::select_all(waits).await.0 }
    }
}

#[cfg(not(unix))]
struct Forwarded;

#[cfg(not(unix))]
impl Forwarded {
    const fn listen() -> Self {
        Self
    }

    async fn next(&mut self) -> i32 {
        std::future::pending().await
    }
}

/// Sends it on. What a terminal sends, it sends to the command as well: that is not doubled.
#[cfg(target_os = "linux")]
fn forward(pid: Option<u32>, signal: i32) {
    use std::io::IsTerminal as _;

    use rustix::process::{Pid, Signal, kill_process};
    let signal = Signal::from_named_raw(signal);
    let from_terminal = matches!(signal, Some(Signal::INT | Signal::QUIT)) && std::io::stdin().is_terminal();
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let (Some(pid), Some(signal), false) = (pid, signal, from_terminal) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(target_os = "linux"))]
const fn forward(_pid: Option<u32>, _signal: i32) {}
