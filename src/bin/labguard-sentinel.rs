//! The sentinel as a program of its own: the guard, and nothing else of labguard.
//!
//! It takes the sentinel's files in by path instead of linking the library, so that none of the library's dependencies
//! is in it: `std` and ring alone. `deploy/sentinel` builds it in seconds; docs/sentinel.md says how.

#[path = "../domain/model/sentinel.rs"]
#[expect(dead_code, reason = "the signing side's words are labguard's")]
mod words;

#[path = "../domain/model/range.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "labguard reads addresses out of texts, too"))]
mod range;

#[path = "../sentinel/mod.rs"]
mod sentinel;

/// Where the sentinel's files look for its words.
mod domain {
    /// As in the library.
    pub mod model {
        pub(crate) use crate::{range, words as sentinel};
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    sentinel::main(&arguments, |name| {
        // What is no text is garbled, not missing.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
    .into()
}
