//! The thin wrapper between the sandbox and a container's program.
//!
//! Guarantees: the program dies with the thread that started it, even when the sandbox is killed with SIGKILL. Runs as
//! the hidden subcommand `__contain PARENT -- PROGRAM ARG…` and turns into the program. Must never start it when the
//! sandbox is already gone.

use std::{
    ffi::OsString,
    io::{Error, ErrorKind},
};

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "__contain";

/// Becomes the program; returns only when that failed. `args` are those after [`SUBCOMMAND`].
pub fn contain_main(args: impl IntoIterator<Item = OsString>) -> Error {
    let mut args = args.into_iter();
    let parent = args.next().and_then(|text| text.to_str().and_then(|text| text.parse::<i32>().ok()));
    let (Some(parent), Some(dashes), Some(program)) = (parent, args.next(), args.next()) else {
        return Error::new(ErrorKind::InvalidInput, "expected: __contain PARENT -- PROGRAM [ARG...]");
    };
    if dashes != "--" {
        return Error::new(ErrorKind::InvalidInput, "expected -- before the program");
    }
    become_program(parent, program, args.collect())
}

#[cfg(target_os = "linux")]
fn become_program(parent: i32, program: OsString, args: Vec<OsString>) -> Error {
    use std::os::unix::process::CommandExt;

    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return error.into();
    }
    let actual = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if actual != Some(parent) {
        return Error::other("the sandbox that started this container is gone");
    }
    std::process::Command::new(program).args(args).exec()
}

#[cfg(not(target_os = "linux"))]
fn become_program(_parent: i32, _program: OsString, _args: Vec<OsString>) -> Error {
    Error::new(ErrorKind::Unsupported, "real containers need Linux: no other system ends them with the sandbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_started_for_a_parent_that_is_gone_or_without_a_program() {
        let run = |args: &[&str]| contain_main(args.iter().map(OsString::from)).kind();
        assert_eq!(run(&[]), ErrorKind::InvalidInput);
        assert_eq!(run(&["12", "true"]), ErrorKind::InvalidInput);
        assert_eq!(run(&["12", "x", "true"]), ErrorKind::InvalidInput);
    }
}
