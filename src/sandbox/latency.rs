//! How long the sandbox takes over things: one number per wait that AWS imposes.
//!
//! Guarantees: plain data; three profiles. The AWS-like one follows the field figures gathered in the project's AWS
//! notes. Never reads a clock.

use crate::domain::model::Span;

/// Durations of the waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Each API call, before it is handled.
    pub call: Span,
    /// DescribeTasks and ListTasks do not see a new task for this long.
    pub visibility: Span,
    /// Task state PROVISIONING.
    pub provisioning: Span,
    /// Task state PENDING.
    pub pending: Span,
    /// Task state ACTIVATING (image pull); billing begins with it.
    pub activating: Span,
    /// How much longer a container takes that starts after another: its image is pulled while that one runs.
    pub dependent: Span,
    /// Task state DEACTIVATING.
    pub deactivating: Span,
    /// Task state STOPPING, at the least; containers may take longer.
    pub stopping: Span,
    /// Task state DEPROVISIONING.
    pub deprovisioning: Span,
    /// How long the network interface outlives STOPPED, and holds its security groups.
    pub interface_linger: Span,
    /// From CreateRole until ECS can assume it.
    pub role_propagation: Span,
    /// From a lost task to the service scheduler's replacement.
    pub service_reaction: Span,
    /// A deleted task definition that no task refers to stays DELETE_IN_PROGRESS for this long.
    pub definition_deletion: Span,
    /// From a push until its scan is complete.
    pub scanning: Span,
    /// From the end of a minute until Container Insights' figures of it show (aws-facts §7: minutes, not documented).
    pub insights: Span,
    /// Whether AWS's token buckets limit the calls.
    pub throttled: bool,
}

impl Latency {
    /// No wait at all, no throttling.
    #[must_use]
    pub fn zero() -> Self {
        Self {
            call: Span::ZERO,
            visibility: Span::ZERO,
            provisioning: Span::ZERO,
            pending: Span::ZERO,
            activating: Span::ZERO,
            dependent: Span::ZERO,
            deactivating: Span::ZERO,
            stopping: Span::ZERO,
            deprovisioning: Span::ZERO,
            interface_linger: Span::ZERO,
            role_propagation: Span::ZERO,
            service_reaction: Span::ZERO,
            definition_deletion: Span::ZERO,
            scanning: Span::ZERO,
            insights: Span::ZERO,
            throttled: false,
        }
    }

    /// For demonstrations: about 2.5 s to RUNNING, 2 s to STOPPED, every awkward window short but there.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            call: Span::from_millis(10),
            visibility: Span::from_millis(300),
            provisioning: Span::from_millis(800),
            pending: Span::from_millis(500),
            activating: Span::from_millis(1_200),
            dependent: Span::ZERO,
            deactivating: Span::from_millis(200),
            stopping: Span::from_millis(300),
            deprovisioning: Span::from_millis(1_000),
            interface_linger: Span::from_millis(1_500),
            role_propagation: Span::from_millis(1_500),
            service_reaction: Span::from_millis(1_000),
            definition_deletion: Span::from_secs(2),
            scanning: Span::from_millis(1500),
            insights: Span::from_secs(45),
            throttled: true,
        }
    }

    /// As AWS is seen to behave.
    #[must_use]
    pub fn aws_like() -> Self {
        Self {
            call: Span::from_millis(120),
            visibility: Span::from_secs(2),
            provisioning: Span::from_secs(12),
            pending: Span::from_secs(8),
            activating: Span::from_secs(20),
            dependent: Span::ZERO,
            deactivating: Span::from_secs(2),
            stopping: Span::from_secs(3),
            deprovisioning: Span::from_secs(20),
            interface_linger: Span::from_secs(45),
            role_propagation: Span::from_secs(12),
            service_reaction: Span::from_secs(10),
            definition_deletion: Span::from_mins(1),
            scanning: Span::from_secs(20),
            insights: Span::from_secs(150),
            throttled: true,
        }
    }

    /// The profile called `zero`, `fast` or `aws`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "zero" => Some(Self::zero()),
            "fast" => Some(Self::fast()),
            "aws" => Some(Self::aws_like()),
            _ => None,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::fast()
    }
}
