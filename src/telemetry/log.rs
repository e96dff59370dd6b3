//! The log: human lines on a terminal, JSON otherwise; always to standard error, always scrubbed.
//!
//! Guarantees: every line passes [`scrub`](super::redact::scrub) on its way out; the level can be changed
//! while the daemon runs. It must never write to standard output: that is for data.

use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use super::redact::scrub;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Human when standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Whether lines are for people, on standard error as it is now.
    #[must_use]
    pub fn is_human(self) -> bool {
        match self {
            Format::Auto => io::stderr().is_terminal(),
            Format::Human => true,
            Format::Json => false,
        }
    }
}

/// What the log shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// `error`, `warn`, `info`, `debug` or `trace` for labguard itself (others at `warn`), or whole filter
    /// directives such as `labguard::journal=trace,warn`.
    pub level: String,
    /// How lines look.
    pub format: Format,
    /// Whether human lines have colours.
    pub colours: bool,
}

/// Why the log could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a level, nor filter directives.
    #[error(
        "{text:?} is no log level; expected error, warn, info, debug, trace or directives such as labguard::journal=debug"
    )]
    Level {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another log is there already.
    #[error("the log is set up already")]
    Twice(#[source] TryInitError),
    /// The log is gone.
    #[error("the log is gone, so its level cannot be changed")]
    Gone(#[source] reload::Error),
}

/// Changes the level of a running log.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl LogControl {
    /// Sets another level, in the words of [`LogOptions::level`].
    ///
    /// # Errors
    /// [`LogError::Level`] when it is none; then nothing changes. [`LogError::Gone`] when there is no log.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        self.filter.reload(filter(level)?).map_err(LogError::Gone)
    }
}

/// Sets the process's log up. Once.
///
/// # Errors
/// [`LogError::Level`] for a level that is none, [`LogError::Twice`] when there is a log already.
pub fn init(options: &LogOptions) -> Result<LogControl, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&options.level)?);
    let lines = lines(options.format.is_human(), options.colours, || Scrubbing { inner: io::stderr() });
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(LogError::Twice)?;
    Ok(LogControl { filter: handle })
}

/// A bare level is for labguard; what it is built on speaks only in trouble.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let level = level.trim();
    let bare = level.parse::<tracing::level_filters::LevelFilter>().is_ok() && !level.is_empty();
    let directives = if bare { format!("warn,labguard={level}") } else { level.to_owned() };
    EnvFilter::try_new(directives).map_err(|source| LogError::Level { text: level.to_owned(), source })
}

fn lines<S, W>(human: bool, colours: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    if human {
        fmt::layer().with_writer(writer).with_ansi(colours).with_target(false).boxed()
    } else {
        fmt::layer()
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    }
}

/// Scrubs what is written through it. The formatter hands over one whole line at a time.
#[derive(Debug)]
struct Scrubbing<W> {
    inner: W,
}

impl<W: Write> Write for Scrubbing<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(scrub(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(human: bool, colours: bool, level: &str, speak: impl FnOnce(&LogControl)) -> String {
        let page = Page::default();
        let writer = page.clone();
        let (filter, handle) = reload::Layer::new(filter(level).unwrap());
        let lines = lines(human, colours, move || Scrubbing { inner: writer.clone() });
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        tracing::subscriber::with_default(subscriber, || speak(&LogControl { filter: handle }));
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_scrubbed_in_both_formats_whatever_field_the_secret_is_in() {
        for (human, colours) in [(true, false), (true, true), (false, false)] {
            let text = logged(human, colours, "info", |_| {
                let span = tracing::info_span!("call", authorization = "Bearer abc123def456");
                let _in = span.enter();
                tracing::info!(
                    password = "hunter2",
                    token = "hunter2",
                    session = "admission-7k2m9q",
                    "token_count=3, sent aws_secret_access_key=abc"
                );
            });
            assert!(!text.contains("hunter2") && !text.contains("abc"), "{text}");
            assert!(text.contains("admission-7k2m9q") && text.contains("***"), "{text}");
            if !human {
                let line: serde_json::Value = serde_json::from_str(text.trim()).expect(&text);
                assert_eq!(line["session"], "admission-7k2m9q");
            }
        }
    }

    #[test]
    fn the_level_is_for_labguard_and_can_be_changed_while_running() {
        let text = logged(true, false, "info", |control| {
            tracing::debug!("one");
            tracing::info!(target: "hyper", "two");
            control.set("debug").unwrap();
            tracing::debug!("three");
            assert!(control.set("labguard=loud").is_err());
            tracing::debug!("four");
        });
        let heard: Vec<&str> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(heard, ["three", "four"]);
    }
}
