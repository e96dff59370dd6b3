//! The map of this house.
//!
//! labguard runs lab sessions on AWS Fargate: from a container image to a public address, watched, priced while it
//! runs, and taken away to the last piece. Five promises settle every question, in this order: nothing else is
//! touched; nothing is left; no surprise on the bill; it holds when labguard dies; it says what it does.
//!
//! # How data flows
//!
//! ```text
//! files, environment, flags ─► config ─► Policy ─┐
//! AWS or sandbox ─► cloud ─► observe ─► Observation ─┼─► domain::decide ─► Plan ─► executor ─► cloud
//! container ─► probe, activity ─► watcher ─┘         │      (pure)                  │ intent before,
//! journal ─► Record ─────────────────────────────────┘                              ▼ outcome after each call
//!    ▲                                                                           journal
//!    └── events, by one total function, live and in replay ───────────────────────┘
//! status ─► api ─► cli · telemetry ─► Prometheus, CloudWatch, log
//! ```
//!
//! One loop per session ([`reconcile`]): look, decide, act, again. Commands are made durable as desired state and
//! wake the loop; wake-ups carry no data.
//!
//! # Rooms
//!
//! Layers import only what stands above them here; `tests/architecture/layers.rs` is the table, with reasons.
//!
//! 1. [`domain`]`::model`: the words as types; event × record → record.
//! 2. [`domain`]`::policy` what is allowed; `::meter` time × size × price; `::decide` what to do next. Pure.
//!    - [`clock`]: the only place that reads the time of day; [`transport`]: the way to a session's container.
//! 3. Boundaries, which do not know each other:
//!    - [`journal`]: SQLite, append-only, the only truth we own.
//!    - [`cloud`]: the one adapter to AWS's protocol, whatever endpoint answers.
//!    - [`image`]: where the image comes from, and how it gets into a registry.
//!    - [`probe`], [`activity`]: health questions, and signs of use.
//!    - [`rates`]: AWS's own prices, from its price files and its Price List.
//!    - [`telemetry`]: metrics by one catalogue, the log, and what keeps secrets out of both.
//! 4. [`reconcile`]: the engine.
//! 5. What asks the engine through `reconcile::handle`: [`api`] over HTTP, [`cli`] for people, [`schedule`] by cron.
//! 6. [`config`]: every mistake at once, or settings that passed every check; [`daemon`]: wiring.
//!
//! Apart, as if they were not ours: [`sandbox`], AWS on loopback, and [`predictor`], an application to deploy; and
//! [`sentinel`], the guard inside a task, which is a program of its own, too.
//!
//! `domain`, `cloud`, `image`, `sandbox`, `predictor` and `sentinel` are crates of their own, so that no compiler needs more than 2 GB: their
//! folders have a `Cargo.toml` and a `lib.rs`. `clock` and `transport`, which they share, are one in `src/boundary`. The files
//! stand where all do, and `crate::domain::…` reads the same in each.
//!
//! # Where to put a change
//!
//! - Another reason to end a session: `Cause` in `domain::model`, its rule in `domain::decide`.
//! - Another AWS resource: `ResourceKind` and `Spec`, its order in `domain::decide`, its calls in [`cloud`], its price
//!   in `domain::meter`, its behaviour in [`sandbox`], its rights in `deploy/iam`.
//! - Another key: `config/default.toml` first (it is the reference), then its shape in [`config`].
//! - Another command: a file in `cli::command`, and what it asks in `reconcile::handle`.
//! - Another metric: `telemetry::catalogue`.
//! - A truth about AWS: [`sandbox`] first, with a test that fails; then [`cloud`].
//!
//! The longer map is docs/architecture.md; why things are so, docs/decisions.

pub mod activity;
pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod journal;
pub mod probe;
pub mod rates;
pub mod reconcile;
pub mod schedule;
pub mod telemetry;

// Crates of their own, for the compiler's sake; their files stand beside the others.
pub use labguard_boundary::{clock, transport};
pub use labguard_cloud::cloud;
pub use labguard_domain::domain;
pub use labguard_image::image;
pub use labguard_predictor::predictor;
pub use labguard_sandbox::sandbox;
pub use labguard_sentinel::sentinel;
