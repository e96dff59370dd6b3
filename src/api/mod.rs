//! The local HTTP API: how the command line, scripts, scrapers and a browser reach the daemon.
//!
//! Guarantees: everything under `/v1` needs the bearer token; a `Host` header that is neither loopback nor
//! listed is refused (DNS rebinding); every error is a problem document (RFC 9457). It holds no state of its
//! own and decides nothing: each route is one call of [`crate::reconcile::handle::Control`].

pub mod auth;
mod budgets;
pub mod dashboard;
mod events;
mod extract;
mod house;
mod ledger;
pub mod openapi;
pub mod problem;
pub mod schema;
mod server;
mod sessions;
pub mod wire;

pub use auth::{Auth, AuthError, check_listen, ensure_token, read_token};
pub use problem::{Problem, ProblemCode};
pub use server::{MetricsText, router, serve};

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod routes_tests;
