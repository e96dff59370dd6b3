//! How the command line speaks: data on stdout, talk on stderr.
//!
//! Guarantees: with `--json` stdout holds JSON only; colours and icons appear on terminals only (and never
//! under `NO_COLOR` or `--color never`); a reader that hangs up early is no error.

pub mod budgets;
pub mod chart;
pub mod columns;
pub mod cost;
pub mod estimate;
pub mod frame;
pub mod image;
pub mod journal;
pub mod json;
pub mod layers;
pub mod moment;
pub mod narrator;
pub mod rates;
pub mod receipt;
pub mod sessions;
pub mod sweep;

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

use self::moment::Zone;
use super::{error::CliError, tree::ColorChoice};

/// What may be drawn on one of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// A person looks at it.
    pub terminal: bool,
    /// Colours are welcome.
    pub color: bool,
}

/// What a line of talk is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// Something was done.
    Done,
    /// Something goes on.
    Going,
    /// A person should know.
    Warn,
    /// It failed.
    Fail,
}

/// Good news.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Bad news.
pub const BAD: Style = AnsiColor::Red.on_default();
/// To be noticed.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// Headings and names.
pub const BOLD: Style = Style::new().bold();

impl Look {
    /// For files, pipes and tests.
    pub const PLAIN: Look = Look { terminal: false, color: false };

    /// The text in that style, where colours are welcome.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A line of talk with its icon; plain words where nobody looks.
    #[must_use]
    pub fn line(self, icon: Icon, text: &str) -> String {
        if !self.terminal {
            return match icon {
                Icon::Done | Icon::Going => text.to_owned(),
                Icon::Warn => format!("warning: {text}"),
                Icon::Fail => format!("error: {text}"),
            };
        }
        let (sign, style) = match icon {
            Icon::Done => ("✓", GOOD),
            Icon::Going => ("•", DIM),
            Icon::Warn => ("!", NOTICE),
            Icon::Fail => ("✗", BAD),
        };
        format!("{} {text}", self.paint(style, sign))
    }
}

/// The two streams.
#[derive(Clone, Debug)]
pub struct Output {
    /// Only JSON on stdout.
    pub json: bool,
    /// No talk but warnings and errors.
    pub quiet: bool,
    /// What stdout may show.
    pub data: Look,
    /// What stderr may show.
    pub talk: Look,
    /// The zone times are shown in.
    pub zone: Zone,
}

impl Output {
    /// For the streams of this process.
    #[must_use]
    pub fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let look = |terminal: bool| Look {
            terminal,
            color: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => terminal && !forbidden,
            },
        };
        Self {
            json,
            quiet,
            data: look(io::stdout().is_terminal()),
            talk: look(io::stderr().is_terminal()),
            zone: Zone::local(),
        }
    }

    /// Data, with a line end.
    ///
    /// # Errors
    /// When stdout cannot be written, other than because its reader went away.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        self.print_on(text).map(drop)
    }

    /// The same of what goes on: whether anybody reads it.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn print_on(&self, text: &str) -> Result<bool, CliError> {
        let mut stdout = io::stdout().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        match write!(stdout, "{text}{ended}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::Local { what: "write to standard output".into(), source: error })
            }
            written => Ok(written.is_ok()),
        }
    }

    /// A whole JSON document as data.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn print_json<T: serde::Serialize + ?Sized>(&self, value: &T) -> Result<(), CliError> {
        self.print(&json::document(value)?)
    }

    /// One JSON document on one line, for streams.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn print_json_line<T: serde::Serialize + ?Sized>(&self, value: &T) -> Result<(), CliError> {
        self.print(&json::line(value)?)
    }

    /// A line of talk as it is, without an icon.
    pub fn say_bare(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Why a command did not do what was asked: under `--json` one object on a line of its own, the last of stderr.
    pub fn fail(&self, error: &CliError) {
        if self.json {
            let _ = writeln!(io::stderr().lock(), "{}", error.document());
        } else {
            self.say(Icon::Fail, &error.whole());
        }
    }

    /// A line of talk. Quiet keeps warnings and errors.
    pub fn say(&self, icon: Icon, text: &str) {
        if !self.quiet || matches!(icon, Icon::Warn | Icon::Fail) {
            let _ = writeln!(io::stderr().lock(), "{}", self.talk.line(icon, text));
        }
    }
}
