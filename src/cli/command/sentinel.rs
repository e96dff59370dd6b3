//! `labguard sentinel`: the guard inside a task, from labguard's own executable. Not for people: settings come from the
//! environment, and labguard writes those (docs/sentinel.md).

use clap::Args;

use crate::sentinel;

/// Arguments of `sentinel`.
#[derive(Debug, Args)]
pub struct Sentinel {
    /// Nothing, to guard; `healthy`, to ask the one that runs.
    pub arguments: Vec<String>,
}

impl Sentinel {
    /// Guards until the end, and exits with the sentinel's own codes: 64 settings, 69 cannot listen, 80 deadline, 81 lease, 82 idle.
    pub fn run(&self) -> ! {
        let code = sentinel::main(&self.arguments, |name| {
            // What is no text is garbled, not missing.
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        });
        std::process::exit(code.into())
    }
}
