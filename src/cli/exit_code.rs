//! The exit codes, stable and documented (docs/exit-codes.md is made from here and kept in step by a test).
//!
//! Guarantees: one enum, matched exhaustively; a code never changes its meaning.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitCode {
    /// It did what was asked.
    Ok,
    /// The session failed.
    SessionFailed,
    /// The command line is wrong.
    Usage,
    /// The configuration has mistakes.
    Configuration,
    /// The daemon cannot be reached.
    NoDaemon,
    /// No such session or policy, or several of that name.
    NotFound,
    /// Refused in the present state.
    Refused,
    /// Something is left behind, or stuck.
    LeftBehind,
    /// AWS refused, or could not be asked.
    AwsRefused,
    /// labguard itself failed.
    Internal,
    /// Interrupted by a signal.
    Interrupted,
}

impl ExitCode {
    /// Every code.
    pub const ALL: [ExitCode; 11] = [
        ExitCode::Ok,
        ExitCode::SessionFailed,
        ExitCode::Usage,
        ExitCode::Configuration,
        ExitCode::NoDaemon,
        ExitCode::NotFound,
        ExitCode::Refused,
        ExitCode::LeftBehind,
        ExitCode::AwsRefused,
        ExitCode::Internal,
        ExitCode::Interrupted,
    ];

    /// The number the shell sees.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            ExitCode::Ok => 0,
            ExitCode::SessionFailed => 1,
            ExitCode::Usage => 2,
            ExitCode::Configuration => 3,
            ExitCode::NoDaemon => 4,
            ExitCode::NotFound => 5,
            ExitCode::Refused => 6,
            ExitCode::LeftBehind => 7,
            ExitCode::AwsRefused => 8,
            ExitCode::Internal => 9,
            ExitCode::Interrupted => 130,
        }
    }

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            ExitCode::Ok => "done as asked; a session that ended by a rule (idle, budget, time) ended well",
            ExitCode::SessionFailed => {
                "the session failed: could not be deployed, never became healthy, kept crashing, or lost its task"
            }
            ExitCode::Usage => "the command line is wrong; the message names the argument",
            ExitCode::Configuration => "the configuration has mistakes; all of them are listed with file and key",
            ExitCode::NoDaemon => {
                "no daemon answers at the address, it refuses the token, it stands still, or it ended before a sweep had found anything"
            }
            ExitCode::NotFound => "no session or policy of that name, or several",
            ExitCode::Refused => "refused in the present state: already live, already ended, beyond a hard limit",
            ExitCode::LeftBehind => {
                "something is still there, or may be: a session is stuck, its receipt is not proven clean, or a sweep found or left something"
            }
            ExitCode::AwsRefused => "AWS refused or could not be asked: credentials, rights, quota, network",
            ExitCode::Internal => "labguard itself failed: journal, output, no answer in time, or a bug",
            ExitCode::Interrupted => "interrupted by Ctrl-C or a signal; the message says what goes on",
        }
    }

    /// docs/exit-codes.md.
    #[must_use]
    pub fn document() -> String {
        let mut text = String::from(
            "# Exit codes\n\nStable: a code never changes its meaning. Made from `src/cli/exit_code.rs`; a test keeps it in step.\n\n\
             | code | meaning |\n|---:|---|\n",
        );
        for code in Self::ALL {
            text.push_str(&format!("| {} | {} |\n", code.number(), code.meaning()));
        }
        text.push_str(
            "\nWith `--json` an error is one object, on the last line of stderr; warnings stay lines of text before it. A wrong command\n\
             line (2) is told in text, and so is how something ended that has its document on stdout (`up`, `sweep`) or that has no\n\
             JSON form (`with-lease`):\n\n\
             ```json\n\
             {\"error\":{\"code\":\"no_daemon\",\"message\":\"no labguard daemon at …\",\"advice\":\"start one with `labguard run`\",\"exit_code\":4}}\n\
             ```\n\n\
             `code` is stable; what the daemon refuses has the code of its API's problem (`GET /openapi.json`). `advice` is null where\n\
             the message alone says what to do. Mistakes of the configuration are listed in `mistakes`, each with `source`, `file`,\n\
             `line`, `key`, `value`, `expected` and `nearest`; `labguard config check --json` prints the same list to stdout.\n",
        );
        text
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_meanings_share_a_number() {
        let numbers: BTreeSet<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers.len(), ExitCode::ALL.len());
    }

    #[test]
    fn the_document_is_in_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exit-codes.md");
        if std::env::var_os("LABGUARD_WRITE_DOCS").is_some() {
            std::fs::write(path, ExitCode::document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == ExitCode::document(),
            "docs/exit-codes.md is not what it should be:\n{}",
            ExitCode::document()
        );
    }
}
