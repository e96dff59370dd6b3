//! Why a command did not do what was asked, and the exit code of each reason.

use std::path::PathBuf;

use super::exit_code::ExitCode;
use crate::{
    api::{AuthError, Problem, ProblemCode},
    config::Mistakes,
    daemon::rates::RefreshError,
    domain::model::{Fault, FaultClass},
    rates::RatesError,
    reconcile::handle::CommandError,
};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody listens there.
    #[error("no labguard daemon at {url} ({why}); start one with `labguard run`")]
    NoDaemon {
        /// The address.
        url: String,
        /// Why, shortly.
        why: &'static str,
    },
    /// A daemon answers, and its loop does not go round.
    #[error("the labguard daemon at {url} stands still: its sessions are not guarded; restart it, its log has more")]
    StandsStill {
        /// The address.
        url: String,
    },
    /// A daemon is there and does not answer.
    #[error("the labguard daemon at {url} does not answer in time; see its log, and restart it if it stays so")]
    Late {
        /// The address.
        url: String,
    },
    /// The daemon has another token than the one it was shown.
    #[error("the daemon at {url} refuses the token of {}: it is another user's, or keeps its state elsewhere; give the daemon's folder with --state-dir", file.display())]
    WrongToken {
        /// The address.
        url: String,
        /// Where the token is from.
        file: PathBuf,
    },
    /// The daemon's token file is not there or not usable.
    #[error("the daemon at {url} cannot be asked: {why}; give the daemon's folder with --state-dir")]
    NoToken {
        /// The address.
        url: String,
        /// What is wrong with the file.
        why: String,
        /// The cause.
        #[source]
        source: AuthError,
    },
    /// The daemon said no.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// The engine of this very process said no (demo).
    #[error("{0}")]
    Command(CommandError),
    /// Something answered that is not this daemon.
    #[error("what answers at {url} does not speak labguard's API ({why})")]
    Foreign {
        /// The address.
        url: String,
        /// What was wrong.
        why: String,
    },
    /// The connection broke.
    #[error("the connection to {url} broke off")]
    Broken {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The configuration has mistakes.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// Something that was set cannot be.
    #[error("{0}")]
    Configuration(String),
    /// An image could not be read or pushed.
    #[error("{0}")]
    Image(Fault),
    /// Prices could not be taken or read.
    #[error(transparent)]
    Rates(RatesError),
    /// AWS's Price List could not be asked.
    #[error(transparent)]
    Refresh(RefreshError),
    /// No price is known of a region.
    #[error("no price is known in {region}; there are prices for {known}")]
    NoPrices {
        /// Which.
        region: String,
        /// Regions that there are prices of.
        known: String,
    },
    /// Something on this machine failed.
    #[error("cannot {what}")]
    Local {
        /// What was tried: `write the completions`.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The daemon could not be started in this process.
    #[error("the daemon cannot start: {message}")]
    Start {
        /// Why, with its causes.
        message: String,
        /// What the shell shall see.
        code: ExitCode,
    },
    /// The prediction service does not run.
    #[error("the prediction service does not run")]
    Predictor(#[source] crate::predictor::PredictorError),
    /// `--json` with a command that has no such form.
    #[error("{0}, which has no JSON form; leave --json out")]
    NoJson(&'static str),
    /// Ctrl-C; the message says what goes on.
    #[error("{0}")]
    Interrupted(String),
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            CliError::NoDaemon { .. }
            | CliError::StandsStill { .. }
            | CliError::NoToken { .. }
            | CliError::WrongToken { .. }
            | CliError::Foreign { .. }
            | CliError::Broken { .. } => ExitCode::NoDaemon,
            CliError::Problem(problem) => match problem.code {
                ProblemCode::UnknownPolicy | ProblemCode::UnknownSession | ProblemCode::Ambiguous => ExitCode::NotFound,
                ProblemCode::AlreadyLive | ProblemCode::Refused => ExitCode::Refused,
                ProblemCode::Cloud => ExitCode::AwsRefused,
                ProblemCode::Unauthorized | ProblemCode::ForbiddenHost => ExitCode::NoDaemon,
                // It answered: there is a daemon.
                ProblemCode::Timeout
                | ProblemCode::Journal
                | ProblemCode::NoSuchRoute
                | ProblemCode::MethodNotAllowed
                | ProblemCode::Malformed
                | ProblemCode::UnsupportedMediaType
                | ProblemCode::TooLarge => ExitCode::Internal,
            },
            CliError::Command(error) => match error {
                CommandError::UnknownPolicy { .. }
                | CommandError::UnknownSession(_)
                | CommandError::Ambiguous { .. } => ExitCode::NotFound,
                CommandError::AlreadyLive { .. } | CommandError::Refused(_) => ExitCode::Refused,
                CommandError::Journal(_) => ExitCode::Internal,
                CommandError::Cloud(_) => ExitCode::AwsRefused,
            },
            CliError::Image(fault) => match fault.class {
                FaultClass::NotFound => ExitCode::NotFound,
                FaultClass::Rejected => ExitCode::Refused,
                _ => ExitCode::AwsRefused,
            },
            CliError::Rates(error) | CliError::Refresh(RefreshError::Rates(error)) => of_rates(error),
            CliError::Refresh(RefreshError::Cloud(_)) => ExitCode::AwsRefused,
            CliError::Refresh(RefreshError::Sandbox) => ExitCode::Refused,
            CliError::NoPrices { .. } => ExitCode::NotFound,
            CliError::Mistakes(_) | CliError::Configuration(_) => ExitCode::Configuration,
            CliError::Late { .. } | CliError::Local { .. } | CliError::File { .. } | CliError::Predictor(_) => {
                ExitCode::Internal
            }
            CliError::Start { code, .. } => *code,
            CliError::NoJson(_) => ExitCode::Usage,
            CliError::Interrupted(_) => ExitCode::Interrupted,
        }
    }

    /// What kind of error, for programs; stable. What the daemon refuses has the code of its API's problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            CliError::NoDaemon { .. } => "no_daemon",
            CliError::StandsStill { .. } => "stands_still",
            CliError::NoToken { .. } => "no_token",
            CliError::Late { .. } => "timeout",
            CliError::WrongToken { .. } => "unauthorized",
            CliError::Problem(problem) => problem.code.name(),
            CliError::Command(error) => Problem::from(error.clone()).code.name(),
            CliError::Foreign { .. } => "foreign",
            CliError::Broken { .. } => "broken",
            CliError::Mistakes(_) | CliError::Configuration(_) => "configuration",
            CliError::Image(_) => "image",
            CliError::Rates(_) | CliError::Refresh(_) => "rates",
            CliError::NoPrices { .. } => "no_prices",
            CliError::Local { .. } => "local",
            CliError::File { .. } => "file",
            CliError::Start { .. } => "start",
            CliError::Predictor(_) => "predictor",
            CliError::NoJson(_) => "no_json",
            CliError::Interrupted(_) => "interrupted",
        }
    }

    /// What to do next, where it is always the same.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            CliError::NoDaemon { .. } => Some("start one with `labguard run`"),
            CliError::StandsStill { .. } => Some("restart it, its log has more"),
            CliError::NoToken { .. } | CliError::WrongToken { .. } => Some("give the daemon's folder with --state-dir"),
            CliError::Late { .. } => Some("see its log, and restart it if it stays so"),
            CliError::Mistakes(_) => Some("mend what is listed; `labguard config check` looks again"),
            CliError::NoPrices { .. } => {
                Some("give prices in [rates.REGION], or take AWS's with `labguard rates import`")
            }
            CliError::NoJson(_) => Some("leave --json out"),
            _ => None,
        }
    }

    /// The error as data: what goes to stderr under `--json`.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        let mut error = serde_json::json!({
            "code": self.code(), "message": self.whole(), "advice": self.advice(),
            "exit_code": self.exit_code().number(),
        });
        if let CliError::Mistakes(mistakes) = self {
            error["mistakes"] = serde_json::json!(mistakes.0);
        }
        serde_json::json!({ "error": error })
    }

    /// The message with its causes, for a person: `what: why: why that`.
    #[must_use]
    pub fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text
    }
}

const fn of_rates(error: &RatesError) -> ExitCode {
    match error {
        RatesError::Unreadable { .. }
        | RatesError::Cut { .. }
        | RatesError::Damaged { .. }
        | RatesError::Foreign { .. }
        | RatesError::Currency { .. }
        | RatesError::Nothing { .. } => ExitCode::Refused,
        RatesError::Unreachable { .. } => ExitCode::AwsRefused,
        RatesError::Kept { .. } | RatesError::Unwritable { .. } => ExitCode::Internal,
    }
}

impl From<CommandError> for CliError {
    fn from(error: CommandError) -> Self {
        CliError::Command(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_answers_late_is_not_a_missing_one() {
        let late = CliError::Problem(Problem::new(ProblemCode::Timeout, "no answer within 30 s"));
        assert_eq!(late.exit_code(), ExitCode::Internal);
        let foreign = CliError::Problem(Problem::new(ProblemCode::ForbiddenHost, "not served"));
        assert_eq!(foreign.exit_code(), ExitCode::NoDaemon);
    }
}
