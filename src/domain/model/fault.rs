//! What went wrong in the cloud, classified once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class chooses what happens next (aws-facts §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The thing is not there. For a removal: done.
    NotFound,
    /// Too many calls; later.
    Throttled,
    /// No right to do it.
    Denied,
    /// It exists and is not ours, or the same token with other parameters.
    Conflict,
    /// Something else must go (or come) first; later.
    Dependency,
    /// An account limit.
    Quota,
    /// The zone has no room now; another subnet, later.
    Capacity,
    /// The service or the network failed; later.
    Transient,
    /// The request is wrong and will stay wrong.
    Rejected,
    /// The credentials are expired or invalid.
    Expired,
}

impl FaultClass {
    /// Every class.
    pub const ALL: [FaultClass; 10] = [
        FaultClass::NotFound,
        FaultClass::Throttled,
        FaultClass::Denied,
        FaultClass::Conflict,
        FaultClass::Dependency,
        FaultClass::Quota,
        FaultClass::Capacity,
        FaultClass::Transient,
        FaultClass::Rejected,
        FaultClass::Expired,
    ];

    /// As written in metrics labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FaultClass::NotFound => "not_found",
            FaultClass::Throttled => "throttled",
            FaultClass::Denied => "denied",
            FaultClass::Conflict => "conflict",
            FaultClass::Dependency => "dependency",
            FaultClass::Quota => "quota",
            FaultClass::Capacity => "capacity",
            FaultClass::Transient => "transient",
            FaultClass::Rejected => "rejected",
            FaultClass::Expired => "expired",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            FaultClass::Throttled | FaultClass::Dependency | FaultClass::Capacity | FaultClass::Transient => true,
            FaultClass::NotFound
            | FaultClass::Denied
            | FaultClass::Conflict
            | FaultClass::Quota
            | FaultClass::Rejected
            | FaultClass::Expired => false,
        }
    }
}

/// One refused or failed call. AWS's own code, message and request id are always kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it means.
    pub class: FaultClass,
    /// `ecs:RunTask` and the like.
    pub operation: String,
    /// AWS's error code, or our own for failures before an answer (`Timeout`, `Connection`).
    pub code: String,
    /// AWS's message, unchanged.
    pub message: String,
    /// AWS's request id, when an answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What a person can do about it, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether labguard found it itself: then no service has answered that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

impl Fault {
    /// Our code for a call that was not made since there are no credentials at all.
    pub const NO_CREDENTIALS: &'static str = "NoCredentials";

    /// Our code for a call that was not made since the source of the credentials, such as a login or a program, gave none.
    pub const CREDENTIALS_UNREAD: &'static str = "CredentialsUnread";

    /// Our code for a call none of whose tries came as far as a connection: nothing of it was sent.
    pub const UNREACHED: &'static str = "Unreached";

    /// Whether nothing of the call was sent, at any try: then nothing can have come of it.
    #[must_use]
    pub fn was_never_sent(&self) -> bool {
        self.own && self.code == Self::UNREACHED
    }

    /// Whether no answer came that could be used: the service, or the way to it, is out of order.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.own && self.class == FaultClass::Transient
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.own {
            write!(f, "{} ({} in {})", self.message, self.code, self.operation)?;
        } else {
            write!(f, "{} answered {}: {}", self.operation, self.code, self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// An error with its causes, as each says itself: `failed to connect: connection refused`.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut said: Vec<String> = causes.map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_service_said_is_told_as_its_answer() {
        let theirs = Fault {
            class: FaultClass::Rejected,
            operation: "ecs:RunTask".to_owned(),
            code: "ClientException".to_owned(),
            message: "no such thing".to_owned(),
            request_id: None,
            advice: Some("try another".to_owned()),
            own: false,
        };
        assert_eq!(theirs.to_string(), "ecs:RunTask answered ClientException: no such thing; try another");
        let ours = Fault { own: true, operation: "image:Ensure".to_owned(), code: "Workspace".to_owned(), ..theirs };
        assert_eq!(ours.to_string(), "no such thing (Workspace in image:Ensure); try another");
        let kept = serde_json::to_string(&ours).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&kept).unwrap(), ours);
    }

    #[test]
    fn a_fault_of_an_older_journal_is_a_service_s() {
        let kept = r#"{"class":"denied","operation":"o","code":"c","message":"m"}"#;
        assert!(!serde_json::from_str::<Fault>(kept).unwrap().own);
    }
}
