//! Use by the operator's own word: a command on this machine, or an address, and what their answers mean.
//!
//! Guarantees: a command that takes too long is killed with all it started; of its output no more than a line of 4 KiB is
//! looked at; an answer that is neither yes nor no is unknown, with the reason. The command is the configuration's:
//! nothing of an answer from elsewhere ever gets into it.

use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::fold::Seen;
use crate::{
    domain::model::{Span, Timestamp, with_causes},
    transport::Transport,
};

/// So much of an answer is looked at, in bytes.
const MOST: u64 = 4096;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The session's id: `LABGUARD_SESSION`, `{session}`.
    pub session: String,
    /// The task's address without port: `{ip}`.
    pub ip: String,
    /// Where the application is: `LABGUARD_URL`.
    pub url: String,
}

/// A line of JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sign: Word,
    #[serde(default)]
    what: Option<String>,
    #[serde(default)]
    last: Option<Timestamp>,
    #[serde(default)]
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Active,
    Quiet,
    Unknown,
}

/// What a line of JSON means; nothing where it is none.
fn line(text: &str, at: Timestamp) -> Option<Seen> {
    let first = text.lines().next()?.trim();
    if !first.starts_with('{') {
        return None;
    }
    Some(match serde_json::from_str::<Line>(first) {
        Ok(Line { sign: Word::Active, what, last, .. }) => {
            let what = what.unwrap_or_else(|| "in use".to_owned());
            Seen::Used { last: last.unwrap_or(at).min(at), what }
        }
        Ok(Line { sign: Word::Quiet, .. }) => Seen::Nothing,
        Ok(Line { sign: Word::Unknown, why, .. }) => {
            Seen::Unreadable(why.unwrap_or_else(|| "it says so itself".to_owned()))
        }
        Err(error) => Seen::Unreadable(format!("its line of JSON makes no sense: {error}")),
    })
}

/// Asks the command; `at` is the time of the answer.
pub async fn ask_command(command: &[String], subject: &Subject, timeout: Span, at: impl Fn() -> Timestamp) -> Seen {
    let Some((program, arguments)) = command.split_first() else {
        return Seen::Unreadable("no command is given".to_owned());
    };
    let mut asked = tokio::process::Command::new(program);
    asked
        .args(arguments)
        .env("LABGUARD_SESSION", &subject.session)
        .env("LABGUARD_URL", &subject.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    asked.process_group(0);
    let mut child = match asked.spawn() {
        Ok(child) => child,
        Err(error) => return Seen::Unreadable(format!("{program} cannot be run: {error}")),
    };
    let leader = child.id();
    let stdout = child.stdout.take();
    let mut run = Box::pin(async {
        let mut text = Vec::new();
        if let Some(mut stdout) = stdout {
            // A broken pipe is an answer that ends early; what came of it is judged.
            let _ = (&mut stdout).take(MOST).read_to_end(&mut text).await;
            // What else it says goes nowhere, so that it does not wait for a reader.
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        }
        (child.wait().await, text)
    });
    // Goes before the child does, so that its number is still its own.
    let mut group = Group(leader);
    let answer = tokio::time::timeout(timeout.as_duration(), &mut run).await;
    if answer.is_ok() {
        group.0 = None;
    }
    match answer {
        Err(_) => Seen::Unreadable(format!("{program} gave no answer within {timeout} and was killed")),
        Ok((Err(error), _)) => Seen::Unreadable(format!("{program} could not be waited for: {error}")),
        Ok((Ok(status), text)) => judged(program, status, &String::from_utf8_lossy(&text), at()),
    }
}

fn judged(program: &str, status: ExitStatus, text: &str, at: Timestamp) -> Seen {
    match status.code() {
        Some(0 | 1) if line(text, at).is_some() => line(text, at).unwrap_or(Seen::Nothing),
        Some(0) => Seen::Used { last: at, what: format!("{program} says so") },
        Some(1) => Seen::Nothing,
        Some(code) => Seen::Unreadable(format!("{program} ended with {code}")),
        None => Seen::Unreadable(format!("{program} was ended by a signal")),
    }
}

/// A command that was not waited for to its end ends with all it started.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let leader = self.0.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            if let Some(leader) = leader {
                // A group that is gone needs no signal.
                let _ = kill_process_group(leader, Signal::KILL);
            }
        }
    }
}

/// Asks the address; `at` is the time of the answer.
pub async fn ask_url(
    transport: &dyn Transport,
    url: &str,
    subject: &Subject,
    timeout: Span,
    at: impl Fn() -> Timestamp,
) -> Seen {
    let host = if subject.ip.contains(':') { format!("[{}]", subject.ip) } else { subject.ip.clone() };
    let url = url.replace("{session}", &subject.session).replace("{ip}", &host);
    let request = match Request::get(&url).header(http::header::ACCEPT, "application/json").body(Bytes::new()) {
        Ok(request) => request,
        Err(error) => return Seen::Unreadable(format!("{url} cannot be asked: {error}")),
    };
    match tokio::time::timeout(timeout.as_duration(), transport.send(request)).await {
        Err(_) => Seen::Unreadable(format!("{url} gave no answer within {timeout}")),
        Ok(Err(error)) => Seen::Unreadable(format!("{url} gave no answer: {}", with_causes(&error))),
        Ok(Ok(response)) => {
            let body = response.body();
            let text = String::from_utf8_lossy(&body[..body.len().min(MOST as usize)]);
            match response.status().as_u16() {
                200 => line(&text, at()).unwrap_or_else(|| Seen::Used { last: at(), what: format!("{url} says so") }),
                204 => Seen::Nothing,
                other => Seen::Unreadable(format!("{url} answered {other}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use http::Response;

    use super::*;
    use crate::transport::TransportError;

    fn now() -> Timestamp {
        Timestamp::from_millis(5_000)
    }

    fn subject() -> Subject {
        let (session, ip, url) = ("lab-1".into(), "192.0.2.1".into(), "http://192.0.2.1:5000".into());
        Subject { session, ip, url }
    }

    async fn sh(script: &str, timeout: Span) -> Seen {
        let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        ask_command(&command, &subject(), timeout, now).await
    }

    fn unknown(seen: &Seen, part: &str) {
        assert!(matches!(seen, Seen::Unreadable(why) if why.contains(part)), "{seen:?}");
    }

    #[tokio::test]
    async fn exit_codes_and_lines_of_json_say_whether_it_is_used() {
        let ten = Span::from_secs(10);
        let used = |what: &str| Seen::Used { last: now(), what: what.into() };
        assert_eq!(sh("exit 0", ten).await, used("sh says so"));
        assert_eq!(sh("exit 1", ten).await, Seen::Nothing);
        unknown(&sh("exit 7", ten).await, "ended with 7");
        unknown(&sh("kill -9 $$", ten).await, "ended by a signal");
        assert_eq!(sh(r#"echo '{"sign":"active","what":"3 notebooks"}'"#, ten).await, used("3 notebooks"));
        let last = r#"echo '{"sign":"active","last":"1970-01-01T00:00:02Z"}'"#;
        assert_eq!(sh(last, ten).await, Seen::Used { last: Timestamp::from_millis(2000), what: "in use".into() });
        assert_eq!(sh(r#"echo '{"sign":"quiet"}'"#, ten).await, Seen::Nothing);
        unknown(&sh(r#"echo '{"sign":"unknown","why":"no kernel"}'; exit 1"#, ten).await, "no kernel");
        unknown(&sh(r#"echo '{"sign":"busy"}'"#, ten).await, "makes no sense");
        let told = r#"echo "{\"sign\":\"active\",\"what\":\"$LABGUARD_SESSION $LABGUARD_URL\"}""#;
        assert_eq!(sh(told, ten).await, used("lab-1 http://192.0.2.1:5000"));
        unknown(&ask_command(&["no-such-program-here".into()], &subject(), ten, now).await, "cannot be run");
        unknown(&sh("yes | head -c 10000000; exit 3", ten).await, "ended with 3");
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let (go, mark) = (folder.path().join("go"), folder.path().join("mark"));
        let waits = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
        let script = format!("({waits}; echo late > {}) & sleep 30", mark.display());
        let began = tokio::time::Instant::now();
        unknown(&sh(&script, Span::from_millis(200)).await, "gave no answer within 200ms and was killed");
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "the command was waited for");
        // Whatever of it still lives may go on from here.
        std::fs::write(&go, "").unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert!(!mark.exists(), "what it started went on");
    }

    /// Answers, after a delay.
    #[derive(Debug)]
    struct Says(u16, &'static str, u64);

    impl Transport for Says {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            assert_eq!(request.uri(), "http://hub/lab-1?ip=192.0.2.1");
            Box::pin(async {
                tokio::time::sleep(std::time::Duration::from_secs(self.2)).await;
                Ok(Response::builder().status(self.0).body(Bytes::from_static(self.1.as_bytes())).unwrap())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_answers_by_status_or_by_a_line_of_json() {
        let ask = async |says: Says| {
            ask_url(&says, "http://hub/{session}?ip={ip}", &subject(), Span::from_secs(3), now).await
        };
        assert!(matches!(ask(Says(200, "ok", 0)).await, Seen::Used { .. }));
        assert_eq!(ask(Says(204, "", 0)).await, Seen::Nothing);
        assert_eq!(ask(Says(200, "{\"sign\":\"quiet\"}\n", 0)).await, Seen::Nothing);
        unknown(&ask(Says(500, "", 0)).await, "answered 500");
        unknown(&ask(Says(200, "", 4)).await, "within 3s");
    }
}
