//! Where a session is, and why it ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a session is between `up` and its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted and journalled; nothing asked of the cloud yet.
    Pending,
    /// Its resources are being made.
    Provisioning,
    /// The task is asked for; not yet answering on its health port.
    Starting,
    /// Announced and watched.
    Running,
    /// Compute is being stopped or is stopped; the rest is kept, and it can be resumed.
    Stopping,
    /// Everything is being removed and the removal verified.
    TearingDown,
    /// Two clean passes of fresh reads; the receipt is written.
    Ended,
    /// Something cannot be removed; it is named, and tried again.
    Stuck,
}

impl Phase {
    /// Every phase, in the order a session passes them.
    pub const ALL: [Phase; 8] = [
        Phase::Pending,
        Phase::Provisioning,
        Phase::Starting,
        Phase::Running,
        Phase::Stopping,
        Phase::TearingDown,
        Phase::Ended,
        Phase::Stuck,
    ];

    /// As the words of ARCHITECTURE.md §2 write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Provisioning => "Provisioning",
            Phase::Starting => "Starting",
            Phase::Running => "Running",
            Phase::Stopping => "Stopping",
            Phase::TearingDown => "TearingDown",
            Phase::Ended => "Ended",
            Phase::Stuck => "Stuck",
        }
    }

    /// Whether new cloud resources may still be made.
    #[must_use]
    pub const fn is_building(self) -> bool {
        matches!(self, Phase::Pending | Phase::Provisioning | Phase::Starting | Phase::Running)
    }

    /// Whether everything is being taken away.
    #[must_use]
    pub const fn is_dismantling(self) -> bool {
        matches!(self, Phase::TearingDown | Phase::Stuck)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a session ends, mildest first: a worse cause overrides, a milder one never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nobody used it for the idle timeout.
    Idle,
    /// Its cron window closed.
    HoursClosed,
    /// An operator said so.
    Operator,
    /// The daemon is shutting down and the policy ends sessions then.
    DaemonShutdown,
    /// Its fixed end time came.
    EndTime,
    /// Its maximum lifetime is over.
    Lifetime,
    /// The task was lost, and the policy does not replace it, or not once more.
    TaskLost,
    /// It never answered its health check within the start grace.
    NeverHealthy,
    /// It was restarted as often as the policy allows.
    CrashLoop,
    /// It could not be deployed.
    DeployFailed,
    /// Spend plus what teardown will still cost reached the budget.
    Budget,
    /// The credentials are about to expire; afterwards nothing could be removed.
    CredentialsExpiring,
}

impl Cause {
    /// Every cause, mildest first.
    pub const ALL: [Cause; 12] = [
        Cause::Idle,
        Cause::HoursClosed,
        Cause::Operator,
        Cause::DaemonShutdown,
        Cause::EndTime,
        Cause::Lifetime,
        Cause::TaskLost,
        Cause::NeverHealthy,
        Cause::CrashLoop,
        Cause::DeployFailed,
        Cause::Budget,
        Cause::CredentialsExpiring,
    ];

    /// For people: completes "ended: …".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Cause::Idle => "idle timeout",
            Cause::HoursClosed => "outside its hours",
            Cause::Operator => "told to end",
            Cause::DaemonShutdown => "the daemon shut down",
            Cause::EndTime => "its end time came",
            Cause::Lifetime => "maximum lifetime",
            Cause::TaskLost => "its task was lost",
            Cause::NeverHealthy => "never became healthy",
            Cause::CrashLoop => "kept crashing",
            Cause::DeployFailed => "could not be deployed",
            Cause::Budget => "budget reached",
            Cause::CredentialsExpiring => "credentials about to expire",
        }
    }

    /// Whether the session failed rather than ran its course (decides `up --wait`'s and `demo`'s exit code).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Cause::Idle
            | Cause::HoursClosed
            | Cause::Operator
            | Cause::DaemonShutdown
            | Cause::EndTime
            | Cause::Lifetime
            | Cause::Budget
            | Cause::CredentialsExpiring => false,
            Cause::TaskLost | Cause::NeverHealthy | Cause::CrashLoop | Cause::DeployFailed => true,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.describe())
    }
}

/// How far an ending goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Tasks gone, the rest kept; can be resumed.
    Stop,
    /// Everything removed and verified.
    Teardown,
}
