//! `labguard completions`: for the user's shell.

use clap::Args;
use clap_complete::Shell;

use super::super::{Cli, CliError, Context, ExitCode};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  labguard completions bash > ~/.local/share/bash-completion/completions/labguard")]
pub struct Completions {
    /// Which shell.
    pub shell: Shell,
}

impl Completions {
    /// Prints them.
    ///
    /// # Errors
    /// With `--json`, and when stdout cannot be written.
    pub fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        if context.output.json {
            return Err(CliError::NoJson("completions are a script for the shell"));
        }
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::tree(), "labguard", &mut script);
        context.output.print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::Ok)
    }
}
