//! Containers: what a task's container is when there is no Fargate under it.
//!
//! Two answers to one trait: [`Processes`] starts the image's executable as a real process on a loopback address of its
//! own; [`Simulated`] plays the reference prediction service in memory, scripted, under paused time.
//!
//! Guarantees: no call of the trait blocks (they are made under the sandbox's lock); what happens to a container is
//! told by [`Containers::poll`] as events. Must never leave a process behind.

pub mod contain;
mod guard;
pub mod processes;
pub mod simulated;
mod unpack;

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    domain::model::{Span, Timestamp},
    transport::TransportError,
};

pub use contain::contain_main;
pub use processes::Processes;
pub use simulated::{Behaviour, Simulated};

/// Which container: one task's, by its name in the definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerKey {
    /// Task id (32 hexadecimal digits).
    pub task: String,
    /// Container name.
    pub name: String,
}

/// One layer of an image, as the registry stores it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Media type: tar, or tar with gzip.
    pub media_type: String,
    /// The bytes.
    pub data: Arc<Bytes>,
}

/// A pulled image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of its manifest.
    pub digest: String,
    /// Its OCI configuration document.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Which container.
    pub key: ContainerKey,
    /// The image as the task definition names it.
    pub reference: String,
    /// The pulled image; none when the runtime [knows](Containers::knows) it.
    pub image: Option<Image>,
    /// Replaces the image's entry point.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Environment of the task definition and the overrides, over the image's.
    pub environment: BTreeMap<String, String>,
    /// Docker labels of the task definition.
    pub labels: BTreeMap<String, String>,
    /// Working directory inside the image.
    pub working_directory: Option<String>,
    /// The task's own loopback address, its "public IP".
    pub address: Ipv4Addr,
    /// The port it is asked to listen on: 5000 where it is mapped or nothing is, else the first mapped.
    pub port: u16,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It runs.
    Started,
    /// It could not be started: ECS's `reason`.
    FailedToStart(String),
    /// A line of its output.
    Output(String),
    /// It ended.
    Exited {
        /// Exit code; 128 + signal when killed by one.
        code: i32,
        /// ECS's container `reason`, such as `OutOfMemoryError: …`.
        reason: Option<String>,
    },
}

/// One happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Which container.
    pub key: ContainerKey,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What a container has used since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Used {
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Bytes received and sent; none where they cannot be told from others'.
    pub network: Option<(u64, u64)>,
}

impl Used {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let network = match (self.network, other.network) {
            (Some(one), Some(other)) => Some((one.0 + other.0, one.1 + other.1)),
            (one, other) => one.or(other),
        };
        Self { cpu_ms: self.cpu_ms + other.cpu_ms, network }
    }
}

/// Runs containers.
pub trait Containers: Send + Sync + fmt::Debug {
    /// Whether `reference` runs here without being in the registry.
    fn knows(&self, reference: &str) -> bool;
    /// A loopback address for a new task, not in use by another.
    fn address(&self) -> Ipv4Addr;
    /// Begins to start a container; [`Happening::Started`] or [`Happening::FailedToStart`] follows.
    fn start(&self, spec: ContainerSpec, now: Timestamp);
    /// SIGTERM now, SIGKILL after `timeout`; [`Happening::Exited`] follows.
    fn stop(&self, key: &ContainerKey, now: Timestamp, timeout: Span);
    /// The instant of the next happening that is known beforehand (none for real processes).
    fn next_due(&self) -> Option<Timestamp>;
    /// What has happened by `now`, in order.
    fn poll(&self, now: Timestamp) -> Vec<ContainerEvent>;
    /// What a running container has used so far; none where it does not run.
    fn used(&self, key: &ContainerKey) -> Option<Used>;
    /// Whether happenings come from outside, so that somebody must poll when no request does.
    fn needs_ticker(&self) -> bool;
    /// Sends a request to the container that listens at the URI's host and port.
    fn send(
        &self,
        now: Timestamp,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
    /// Ends all containers; returns when none is left.
    fn shutdown(&self);
}
