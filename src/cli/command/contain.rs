//! `labguard __contain`: the process that the sandbox starts for a container. Not for people.

use std::ffi::OsString;

use clap::Args;

use super::super::ExitCode;
use crate::sandbox::runtime::contain_main;

/// Arguments of `__contain`.
#[derive(Debug, Args)]
pub struct Contain {
    /// As the sandbox gives them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

impl Contain {
    /// Becomes the container's process; returns only when that fails.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let error = contain_main(self.arguments.iter().cloned());
        anstream::eprintln!("labguard __contain: {error}");
        ExitCode::Internal
    }
}
