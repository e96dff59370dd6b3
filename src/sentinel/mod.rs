//! The sentinel: a guard inside the task, as a small program of its own.
//!
//! It stands beside the application in the same network namespace, as an essential container. It counts connections by
//! the kernel's own counters, tells them to whoever holds the session's key, and ends the task by ending itself: at the
//! hard deadline, when its lease is not renewed, or when nobody uses the application. docs/sentinel.md has the whole.
//!
//! - [`core`](core/index.html), [`fuse`], [`watch`]: the rules, without sockets, clocks or files. labguard's sandbox drives
//!   these under paused time: [`core::Core::handle`] with a request, [`clocks::Clocks`], and counts of its own.
//! - [`namespace`], [`sampler`], [`task`]: what the kernel and ECS say.
//! - [`http`], [`serve`]: one small request a connection, a few threads.
//!
//! Guarantees: `std` and ring alone; no panic; bounded memory, threads and time whatever is sent to it; settings that are
//! missing or garbled end it at once. It must never hold a secret: it has the public key only.
//!
//! Two programs hold it: `labguard-sentinel`, which is nothing else, and `labguard sentinel`.

pub mod clocks;
pub mod core;
pub mod fuse;
pub mod http;
pub mod namespace;
pub mod sampler;
pub mod serve;
pub mod settings;
pub mod task;
pub mod watch;

use std::io::Write as _;

use crate::domain::model::sentinel as words;

/// Runs the program: guards with no argument, asks a running one with `healthy`. Returns the exit code.
#[must_use]
pub fn main(arguments: &[String], get: impl Fn(&str) -> Option<String>) -> u8 {
    match arguments {
        [] => guard(get),
        [word] if word == "healthy" => u8::from(!serve::healthy(get(words::LISTEN).as_deref())),
        _ => {
            say("expected no argument, or `healthy`; settings come from the environment (LABGUARD_SENTINEL_…)");
            words::EXIT_SETTINGS
        }
    }
}

fn guard(get: impl Fn(&str) -> Option<String>) -> u8 {
    match settings::Settings::read(get) {
        Ok(settings) => match serve::run(settings) {
            Ok(end) => {
                say(&format!("ends the task: {}", end.word()));
                end.code()
            }
            Err(why) => {
                say(&why);
                words::EXIT_LISTEN
            }
        },
        Err(garbled) => {
            say(&format!("guards nothing and ends the task: {garbled}"));
            words::EXIT_SETTINGS
        }
    }
}

/// One line to standard error; where nobody listens there, it goes on.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "labguard-sentinel: {line}");
}
