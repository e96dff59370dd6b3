//! Activity: signs of use by a person or program other than labguard itself.
//!
//! One file a source: [`requests`] reads the application's own metrics page, [`lines`] its log, [`check`] asks the operator,
//! [`sentinel`] asks the guard inside the task and renews its lease, [`turnstile`] makes use of what that has counted;
//! [`insights`] and [`load_balancer`] read what CloudWatch knows, whose [`minutes`] come late or never. Each turns an answer
//! into what was [`Seen`](fold::Seen); [`fold`] makes the source's sign of that, the same way for all.
//! Heartbeats (`labguard touch`) and leases are journalled and come through the record, not through here.
//!
//! Guarantees: what is not known is said to be [`Unknown`](crate::domain::model::Sign::Unknown), never guessed;
//! `Quiet` is only said of a time that was really watched. It must never decide that a session is idle: that is policy,
//! and how sources are put together is [`combine`](crate::domain::decide::combine).

pub mod check;
pub mod exposition;
pub mod fold;
pub mod insights;
pub mod lines;
pub mod load_balancer;
pub mod minutes;
pub mod requests;
pub mod sentinel;
pub mod turnstile;
