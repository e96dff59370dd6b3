//! The sentinel in a network namespace of its own, with a real application and real clients across a wire.
//!
//! Two namespaces and a pair of devices between them: in one the application and the sentinel, as in a task; in the other
//! the clients and labguard. The application counts what it accepts, and the sentinel must say the same number; and where
//! some of the clients are strangers, how many of them it met, be they inside the task.
//!
//! Has its own `main`, because this program is also both sides of the wire. Needs `unshare` and `ip`; where the machine
//! does not let a test make namespaces it says so and passes, as the tests that need a Docker engine do.

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: network namespaces are Linux's");
}

#[cfg(target_os = "linux")]
#[path = "sentinel_namespace/application.rs"]
mod application;
#[cfg(target_os = "linux")]
#[path = "sentinel_namespace/inside.rs"]
mod inside;
#[cfg(target_os = "linux")]
#[path = "sentinel_namespace/outside.rs"]
mod outside;
#[cfg(target_os = "linux")]
#[path = "sentinel_namespace/strangers.rs"]
mod strangers;

#[cfg(target_os = "linux")]
fn main() {
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "__task" => application::serve(),
        "__outside" => outside::main(),
        "__strangers" => strangers::main(),
        "__inside" => inside::main(),
        "--list" => println!("what_the_sentinel_counts_is_what_the_application_accepted: test"),
        _ => outside::enter(),
    }
}
