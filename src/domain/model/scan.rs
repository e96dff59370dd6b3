//! What a scan of an image for known vulnerabilities says, and what was made of it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How bad a finding is, by ECR's words; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Not judged yet.
    Undefined,
    /// For information.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// As the configuration and people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Undefined => "undefined",
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word of ECR's that is no severity: counts as not judged.
impl FromStr for Severity {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [
            Severity::Informational,
            Severity::Low,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
            Severity::Undefined,
        ];
        Ok(known.into_iter().find(|it| it.name().eq_ignore_ascii_case(text)).unwrap_or(Severity::Undefined))
    }
}

/// Where a scan is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanStatus {
    /// Not begun, or under way: ECR's word for it.
    Waiting(String),
    /// Done.
    Complete,
    /// There will be no result: ECR's word and reason.
    Failed(String),
}

/// What a fresh read showed of a scan (aws-facts §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReading {
    /// Where it is.
    pub status: ScanStatus,
    /// Findings by severity.
    pub counts: BTreeMap<Severity, u32>,
    /// The worst findings by name, worst first; not all.
    pub worst: Vec<(Severity, String)>,
}

/// What was made of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanVerdict {
    /// Nothing as bad as the policy refuses.
    Passed,
    /// Something is; or there was no result and the policy refuses then.
    Refused,
    /// There was no result, and the policy runs it all the same.
    Unscanned,
}
