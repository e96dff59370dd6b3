//! When a failed call is tried again, and when it is given up: the fault's class chooses (aws-facts §11).
//!
//! Guarantee: a create is given up in bounded time, a removal never.

use crate::domain::model::{Fault, FaultClass, ResourceKind, Span, Timestamp};

/// How long a create may go on failing with what may pass by itself.
pub const PATIENCE: Span = Span::from_mins(5);

/// Tries for capacity before it is given up; each takes another subnet.
pub const CAPACITY_TRIES: u32 = 10;

/// Looks for credentials before a create is given up where there are none: they come by somebody's doing, not by waiting.
const NOBODY_TRIES: u32 = 3;

/// Doubling waits from 1 s.
fn doubling(failures: u32, most: Span) -> Span {
    let wait = Span::from_secs(1).saturating_mul(1_u64 << failures.saturating_sub(1).min(20));
    wait.min(most)
}

/// The wait after that many failures in a row of a create, a question or a restart's run.
#[must_use]
pub fn create_wait(failures: u32) -> Span {
    doubling(failures, Span::from_secs(30))
}

/// The wait after that many failures in a row of stopping what is paid for by the second: short, however often it
/// was refused.
#[must_use]
pub fn stop_wait(failures: u32) -> Span {
    doubling(failures, Span::from_secs(10))
}

/// The wait after that many failures in a row of a removal. What waits for something else to go is asked
/// often for the first twenty minutes: it is the critical path of a teardown.
#[must_use]
pub fn removal_wait(failures: u32, class: FaultClass) -> Span {
    match class {
        FaultClass::Dependency | FaultClass::Conflict if failures < 80 => doubling(failures, Span::from_secs(15)),
        FaultClass::Denied | FaultClass::Rejected | FaultClass::Expired => {
            doubling(failures.saturating_add(3), Span::from_mins(5))
        }
        _ => doubling(failures, Span::from_mins(5)),
    }
}

/// Why a create (or a question, with `kind` absent) is given up for good, if it is.
#[must_use]
pub fn given_up(
    kind: Option<ResourceKind>,
    fault: &Fault,
    failures: u32,
    since: Timestamp,
    now: Timestamp,
) -> Option<String> {
    let long = now.since(since) >= PATIENCE;
    let nobody = fault.class == FaultClass::Expired && fault.code == Fault::NO_CREDENTIALS;
    let lost = match fault.class {
        FaultClass::Denied | FaultClass::Rejected | FaultClass::Conflict | FaultClass::Quota => true,
        // An image or a default VPC that is not there does not appear by waiting.
        FaultClass::NotFound => long || matches!(kind, None | Some(ResourceKind::Image)),
        FaultClass::Capacity => failures >= CAPACITY_TRIES,
        FaultClass::Expired if nobody => failures >= NOBODY_TRIES,
        FaultClass::Throttled | FaultClass::Dependency | FaultClass::Transient | FaultClass::Expired => long,
    };
    lost.then(|| explain(fault).to_owned())
}

/// AWS says it by a code, or in the text of a code that says nothing (aws-facts §1.4).
fn is_blocked(fault: &Fault) -> bool {
    fault.code.starts_with("Blocked") || fault.message.to_lowercase().contains("currently blocked")
}

/// A class in a person's words; completes "… could not be made: ".
#[must_use]
pub fn explain(fault: &Fault) -> &'static str {
    match fault.class {
        FaultClass::Rejected if fault.own => "it cannot be done as it is asked for",
        FaultClass::Transient if fault.own => "it kept failing",
        FaultClass::Expired if fault.code == Fault::NO_CREDENTIALS => "there are no AWS credentials",
        FaultClass::Expired if fault.code == Fault::CREDENTIALS_UNREAD => "the AWS credentials cannot be read",
        FaultClass::NotFound => "something it needs does not exist",
        FaultClass::Throttled => "AWS kept asking us to slow down",
        FaultClass::Denied if is_blocked(fault) => "AWS has blocked this account",
        FaultClass::Denied if fault.code == "PendingVerification" => "AWS is still verifying this account",
        FaultClass::Denied if fault.code == "OptInRequired" => "this account has not enabled the service",
        FaultClass::Denied => "these credentials lack the right to do it",
        FaultClass::Conflict => "something of that name is there and is not this session's",
        FaultClass::Dependency => "something it depends on did not get ready in time",
        FaultClass::Quota => "an account limit stands in the way",
        FaultClass::Capacity => "AWS has no capacity for it in any of the subnets",
        FaultClass::Transient => "AWS or the network kept failing",
        FaultClass::Rejected => "AWS refuses the request as it is",
        FaultClass::Expired => "the credentials are expired or invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: FaultClass) -> Fault {
        Fault {
            class,
            operation: "ecs:RunTask".into(),
            code: "X".into(),
            message: "m".into(),
            request_id: None,
            advice: None,
            own: false,
        }
    }

    #[test]
    fn every_class_is_given_up_in_bounded_time() {
        let start = Timestamp::from_millis(0);
        for class in FaultClass::ALL {
            let verdict = given_up(Some(ResourceKind::Task), &fault(class), CAPACITY_TRIES, start, start + PATIENCE);
            assert!(verdict.is_some(), "{class:?}");
        }
    }

    #[test]
    fn where_there_are_no_credentials_nothing_is_waited_for() {
        let start = Timestamp::from_millis(0);
        let nobody = Fault { code: Fault::NO_CREDENTIALS.into(), own: true, ..fault(FaultClass::Expired) };
        assert_eq!(given_up(None, &nobody, NOBODY_TRIES - 1, start, start), None);
        let said = given_up(None, &nobody, NOBODY_TRIES, start, start);
        assert_eq!(said.as_deref(), Some("there are no AWS credentials"));
    }

    #[test]
    fn what_may_pass_is_not_given_up_at_once_and_what_cannot_is() {
        let start = Timestamp::from_millis(0);
        for class in FaultClass::ALL {
            let verdict = given_up(Some(ResourceKind::Cluster), &fault(class), 1, start, start);
            let patient = class.may_pass() || matches!(class, FaultClass::NotFound | FaultClass::Expired);
            assert_eq!(verdict.is_none(), patient, "{class:?}");
        }
    }

    #[test]
    fn an_account_that_is_blocked_or_not_ready_is_not_taken_for_a_right_that_is_missing() {
        for (code, message, said) in [
            ("BlockedException", "m", "AWS has blocked this account"),
            ("Blocked", "m", "AWS has blocked this account"),
            ("ClientException", "Your account is currently blocked. Send an e-mail …", "AWS has blocked this account"),
            ("PendingVerification", "m", "AWS is still verifying this account"),
            ("OptInRequired", "m", "this account has not enabled the service"),
            ("AccessDeniedException", "m", "these credentials lack the right to do it"),
        ] {
            let fault = Fault { code: code.into(), message: message.into(), ..fault(FaultClass::Denied) };
            assert_eq!(explain(&fault), said, "{code}: {message}");
        }
    }

    #[test]
    fn waits_double_and_are_capped() {
        assert_eq!(create_wait(1), Span::from_secs(1));
        assert_eq!(create_wait(4), Span::from_secs(8));
        assert_eq!(create_wait(u32::MAX), Span::from_secs(30));
        assert_eq!(stop_wait(u32::MAX), Span::from_secs(10));
        assert_eq!(removal_wait(u32::MAX, FaultClass::Transient), Span::from_mins(5));
        assert_eq!(removal_wait(10, FaultClass::Dependency), Span::from_secs(15));
    }
}
