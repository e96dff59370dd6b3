//! The one classifier of AWS's refusals (aws-facts §1.4, §11).
//!
//! AWS's code and message are the only evidence, matched code first, text second; both are kept unchanged
//! in the [`Fault`]. Must never swallow a refusal or call something done that AWS did not say is done.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

use crate::domain::model::{Fault, FaultClass, with_causes};

/// A refused call: the fault, and AWS's typed error where a caller needs one of its members.
#[derive(Debug)]
pub(crate) struct Refusal<E> {
    /// What it means.
    pub(crate) fault: Fault,
    /// AWS's own, when the service answered.
    pub(crate) error: Option<E>,
}

impl<E> From<Refusal<E>> for Fault {
    fn from(refusal: Refusal<E>) -> Fault {
        refusal.fault
    }
}

/// What an error code, a message and an HTTP status mean. `status` 0: no answer came.
#[must_use]
pub fn classify(code: &str, message: &str, status: u16) -> FaultClass {
    let code = code.rsplit('#').next().unwrap_or(code);
    let text = message.to_lowercase();
    let says = |part: &str| text.contains(part);
    if code == "InvalidGroup.NotFound" {
        return FaultClass::NotFound;
    }
    if let Some(class) = by_text(&says) {
        return class;
    }
    match code {
        "LimitExceededException" | "LimitExceeded" => FaultClass::Quota,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "EC2ThrottledException"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceededException" => FaultClass::Throttled,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "RequestExpired"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | Fault::NO_CREDENTIALS
        | Fault::CREDENTIALS_UNREAD
        | "TokenRefreshRequired" => FaultClass::Expired,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "NotAuthorizedException"
        | "Blocked"
        | "BlockedException"
        | "PendingVerification"
        | "OptInRequired"
        | "CannotDelete"
        | "KmsException"
        | "DENIED"
        | "UNAUTHORIZED" => FaultClass::Denied,
        "DependencyViolation"
        | "InvalidGroup.InUse"
        | "UpdateInProgressException"
        | "DeleteConflict"
        | "DeleteConflictException"
        | "RepositoryNotEmptyException" => FaultClass::Dependency,
        "ConflictException" | "EntityAlreadyExists" | "ImageTagAlreadyExistsException" | "TAG_INVALID" => {
            FaultClass::Conflict
        }
        "OperationAbortedException"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "ServerException"
        | "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceFailure"
        | "Unavailable"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "Timeout"
        | "Connection"
        | Fault::UNREACHED => FaultClass::Transient,
        "NoSuchEntity" | "NoSuchEntityException" | "NAME_UNKNOWN" | "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN" | "MISSING" => {
            FaultClass::NotFound
        }
        _ => by_shape(code, status),
    }
}

/// Meanings that AWS puts into the message only.
fn by_text(says: &dyn Fn(&str) -> bool) -> Option<FaultClass> {
    if says("account is currently blocked") {
        return Some(FaultClass::Denied);
    }
    if says("capacity is unavailable") || says("resource:eni") || says("insufficientfreeaddresses") {
        return Some(FaultClass::Capacity);
    }
    let quota = ["limit on the number of vcpus", "limit on the number of tasks", "configuration is above your limit"];
    if quota.iter().any(|text| says(text)) {
        return Some(FaultClass::Quota);
    }
    if says("inconsistent with arguments") {
        return Some(FaultClass::Conflict);
    }
    // Propagation: right after the role, the security group or the service-linked role was made.
    let later = [
        "service linked role",
        "unable to assume the role",
        "deployments are active",
        "must be inactive",
        "role is not valid",
        "while draining",
        "scheduler to assume the role",
    ];
    if later.iter().any(|text| says(text)) || (says("security group") && says("does not exist")) {
        return Some(FaultClass::Dependency);
    }
    if says("task was not found") || says("unable to describe task definition") || says("cluster was inactive") {
        return Some(FaultClass::NotFound);
    }
    says("rate exceeded").then_some(FaultClass::Throttled)
}

/// Codes that follow a pattern, then the status.
fn by_shape(code: &str, status: u16) -> FaultClass {
    if code.starts_with("ClusterContains") {
        FaultClass::Dependency
    } else if code.contains("AlreadyExists") || code.ends_with(".Duplicate") {
        FaultClass::Conflict
    } else if code.ends_with("NotFoundException") || code.ends_with("NotFound") {
        FaultClass::NotFound
    } else if code.ends_with("LimitExceeded")
        || code.contains("QuotaExceeded")
        || code.ends_with("LimitExceededException")
    {
        FaultClass::Quota
    } else if code.starts_with("Insufficient") && code.contains("Capacity") {
        FaultClass::Capacity
    } else if status >= 500 || status == 0 {
        FaultClass::Transient
    } else if status == 429 {
        FaultClass::Throttled
    } else {
        FaultClass::Rejected
    }
}

/// What a person can do about it; `None` where AWS's words are enough.
#[must_use]
pub fn advice(class: FaultClass, operation: &str, code: &str, message: &str) -> Option<String> {
    let text = message.to_lowercase();
    let advice = match class {
        FaultClass::Denied if text.contains("currently blocked") || code.starts_with("Blocked") => {
            "AWS has blocked this account for Fargate (new and suspended accounts are): open a case with AWS Support".into()
        }
        FaultClass::Denied if code == "PendingVerification" => {
            "AWS is still verifying this account: try again after its e-mail".into()
        }
        FaultClass::Denied if code == "OptInRequired" => {
            "the account has not enabled this service: enable it in the AWS console".into()
        }
        FaultClass::Denied if text.contains("service control policy") => {
            "an organisation's service control policy forbids it: ask the organisation's administrator".into()
        }
        FaultClass::Denied => {
            let action = denied_action(message).unwrap_or(operation);
            let role = if action.starts_with("iam:") && action.contains("Role") {
                "; where roles may not be made or passed, as in a lab account, name one that is there as task.execution_role"
            } else {
                ""
            };
            format!(
                "the credentials have no right to {action}: add it to the user's or role's policy (deploy/iam has the least one needed){role}"
            )
        }
        FaultClass::Quota if text.contains("vcpu") || text.contains("number of tasks") || text.contains("above your limit") => {
            "the account's Fargate quota is used up: choose a smaller size, stop other tasks, or raise quota L-3032A538 (Spot: L-36FBB829) in Service Quotas".into()
        }
        FaultClass::Quota => "an account limit is reached: remove unused ones, or raise it in Service Quotas".into(),
        FaultClass::Capacity => "AWS has no Fargate room in that zone now: another subnet or a later try usually works".into(),
        FaultClass::Expired if code == Fault::NO_CREDENTIALS => {
            "no AWS credentials were found: set AWS_PROFILE, run `aws configure`, or use the sandbox".into()
        }
        FaultClass::Expired if code == Fault::CREDENTIALS_UNREAD => {
            "log in again (`aws sso login`), or mend the profile or program that gives the AWS credentials (labguard reads them again by itself)".into()
        }
        FaultClass::Expired => "the AWS credentials are expired or invalid: refresh them (labguard reads them again by itself)".into(),
        FaultClass::Rejected if code == "VPCIdNotSpecified" => {
            "the account has no default VPC: run `aws ec2 create-default-vpc`, or name a VPC and subnets in the policy".into()
        }
        FaultClass::Rejected if text.contains("no fargate configuration exists") => {
            "that pair of CPU and memory is not a Fargate size: `labguard config check` names the legal ones".into()
        }
        FaultClass::Dependency if text.contains("scheduler to assume the role") => {
            "a new role takes AWS up to two minutes; a given one must trust scheduler.amazonaws.com for the session's schedule group".into()
        }
        FaultClass::Dependency if text.contains("service linked role") => {
            "AWS is making its ECS role in this account: the next try works, usually within two minutes".into()
        }
        _ if text.contains("cannotpullcontainer") || text.contains("unable to pull") => {
            "the image cannot be pulled: check that it exists, fits the architecture, and that the subnet reaches the registry".into()
        }
        _ => return None,
    };
    Some(advice)
}

/// What was not allowed, as AWS's message says it (`… is not authorized to perform: iam:PassRole on resource: …`): it need
/// not be the call that was made.
fn denied_action(message: &str) -> Option<&str> {
    let (_, said) = message.split_once("to perform: ")?;
    let action = said.split([' ', ',']).next()?.trim_end_matches('.');
    action.contains(':').then_some(action)
}

/// A fault of AWS's own words.
#[must_use]
pub fn fault(operation: &str, code: &str, message: &str, status: u16, request_id: Option<&str>) -> Fault {
    let class = classify(code, message, status);
    Fault {
        class,
        operation: operation.to_owned(),
        code: code.rsplit('#').next().unwrap_or(code).to_owned(),
        message: message.to_owned(),
        request_id: request_id.map(ToOwned::to_owned),
        advice: advice(class, operation, code, message),
        // No answer came: what it says is our own finding.
        own: status == 0,
    }
}

/// A fault that labguard itself finds.
#[must_use]
pub fn own(class: FaultClass, operation: &str, code: &str, message: impl Into<String>, advice: Option<&str>) -> Fault {
    Fault {
        class,
        operation: operation.to_owned(),
        code: code.to_owned(),
        message: message.into(),
        request_id: None,
        advice: advice.map(ToOwned::to_owned),
        own: true,
    }
}

/// One entry of `failures[]` under HTTP 200, as a fault.
#[must_use]
pub fn of_failure(operation: &str, reason: Option<&str>, detail: Option<&str>) -> Fault {
    let reason = reason.unwrap_or("Failure");
    let message = match detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_owned(),
    };
    // Reasons are sometimes a word (MISSING) and sometimes a sentence.
    let code = if reason.contains(' ') { "Failure" } else { reason };
    fault(operation, code, &message, 200, None)
}

/// What an SDK error means. `was_sent`: whether a try of the call came as far as a connection.
pub(crate) fn of_sdk<E>(operation: &str, error: SdkError<E, HttpResponse>, was_sent: bool) -> Refusal<E>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let request_id = error.request_id().map(ToOwned::to_owned);
    let request_id = request_id.as_deref();
    let fault = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let meta = service.err().meta();
            // EC2 and IAM give the request id in the body.
            let request_id = request_id.or_else(|| meta.request_id());
            let shown = format!("HTTP status {status}");
            let code = meta.code().unwrap_or("Unknown");
            fault(operation, code, meta.message().unwrap_or(&shown), status, request_id)
        }
        SdkError::DispatchFailure(failure) if !was_sent && (failure.is_io() || failure.is_timeout()) => {
            fault(operation, Fault::UNREACHED, &with_causes(&error), 0, None)
        }
        SdkError::TimeoutError(_) => fault(operation, "Timeout", "no answer within the time-out", 0, None),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            fault(operation, "Timeout", &with_causes(&error), 0, None)
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            fault(operation, "Connection", &with_causes(&error), 0, None)
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let message = format!("HTTP status {status} with a body that is not this protocol's");
            fault(operation, "UnusableAnswer", &message, if status < 400 { 500 } else { status }, request_id)
        }
        other => {
            let text = with_causes(other);
            let identity = text.to_lowercase().contains("credential") || text.contains("identity");
            match other {
                _ if has_no_source(other) => fault(operation, Fault::NO_CREDENTIALS, &text, 0, None),
                _ if identity => fault(operation, Fault::CREDENTIALS_UNREAD, &text, 0, None),
                SdkError::ConstructionFailure(_) => own(FaultClass::Rejected, operation, "Construction", text, None),
                _ => fault(operation, "Connection", &text, 0, None),
            }
        }
    };
    Refusal { fault, error: error.into_service_error_if_any() }
}

/// Whether no source of credentials had any. One that has them and cannot give them now may give them later.
fn has_no_source(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| matches!(error.downcast_ref(), Some(CredentialsError::CredentialsNotLoaded(_))))
}

/// The typed error, if the service answered.
trait IntoServiceErrorIfAny<E> {
    fn into_service_error_if_any(self) -> Option<E>;
}

impl<E> IntoServiceErrorIfAny<E> for SdkError<E, HttpResponse> {
    fn into_service_error_if_any(self) -> Option<E> {
        match self {
            SdkError::ServiceError(service) => Some(service.into_err()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FaultClass as C;

    #[test]
    fn a_call_without_credentials_says_so_in_words_and_tells_none_from_those_that_cannot_be_read() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to load the token")]
        struct Inner;
        type Sent = SdkError<aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError, HttpResponse>;
        for (error, code, says) in [
            (CredentialsError::not_loaded(Inner), "NoCredentials", "was not enabled"),
            (
                CredentialsError::provider_error(Inner),
                "CredentialsUnread",
                "an error occurred while loading credentials",
            ),
        ] {
            let error: Sent = SdkError::construction_failure(error);
            let fault = of_sdk("sts:GetCallerIdentity", error, true).fault;
            assert_eq!((fault.class, fault.code.as_str()), (C::Expired, code));
            assert!(fault.message.contains(says), "{}", fault.message);
            assert!(fault.message.ends_with(": failed to load the token"), "{}", fault.message);
        }
    }

    #[test]
    fn every_text_of_the_facts_gets_its_class() {
        for (code, message, status, class) in [
            ("Failure", "Capacity is unavailable at this time. Please try again later", 200, C::Capacity),
            ("Failure", "You’ve reached the limit on the number of vCPUs you can run concurrently", 200, C::Quota),
            ("Failure", "You’ve reached the limit on the number of tasks you can run concurrently", 200, C::Quota),
            ("Failure", "The requested CPU/MEMORY configuration is above your limit", 200, C::Quota),
            ("ClientException", "Your account is currently blocked. Send an e-mail …", 400, C::Denied),
            ("BlockedException", "blocked", 400, C::Denied),
            ("RESOURCE:ENI", "RESOURCE:ENI", 200, C::Capacity),
            ("MISSING", "MISSING", 200, C::NotFound),
            ("ClientException", "No Fargate configuration exists for given values.", 400, C::Rejected),
            ("InvalidParameterException", "The security group 'sg-1' does not exist", 400, C::Dependency),
            ("ThrottlingException", "Rate exceeded", 400, C::Throttled),
            ("RequestLimitExceeded", "Request limit exceeded.", 503, C::Throttled),
            ("LimitExceededException", "too many repositories", 400, C::Quota),
            ("SecurityGroupLimitExceeded", "", 400, C::Quota),
            ("InvalidParameterException", "The referenced task was not found.", 400, C::NotFound),
            ("ClusterNotFoundException", "The referenced cluster was inactive.", 400, C::NotFound),
            (
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
                400,
                C::Dependency,
            ),
            ("ClusterContainsServicesException", "", 400, C::Dependency),
            ("UpdateInProgressException", "", 400, C::Dependency),
            (
                "InvalidParameterException",
                "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
                400,
                C::Dependency,
            ),
            (
                "InvalidParameterException",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                400,
                C::Conflict,
            ),
            (
                "ClientException",
                "ECS was unable to assume the role 'arn:x' that was provided for this task.",
                400,
                C::Dependency,
            ),
            (
                "InvalidParameterException",
                "The service cannot be stopped while deployments are active.",
                400,
                C::Dependency,
            ),
            (
                "ValidationException",
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
                400,
                C::Dependency,
            ),
            ("ServiceQuotaExceededException", "", 402, C::Quota),
            ("DependencyViolation", "resource sg-1 has a dependent object", 400, C::Dependency),
            ("InvalidGroup.NotFound", "The security group 'sg-1' does not exist", 400, C::NotFound),
            ("InvalidGroup.InUse", "", 400, C::Dependency),
            ("InvalidGroup.Duplicate", "", 400, C::Conflict),
            ("InvalidNetworkInterfaceID.NotFound", "", 400, C::NotFound),
            ("CannotDelete", "the specified group is the default", 400, C::Denied),
            ("RepositoryNotFoundException", "", 400, C::NotFound),
            ("RepositoryAlreadyExistsException", "", 400, C::Conflict),
            ("ResourceNotFoundException", "", 400, C::NotFound),
            ("ResourceAlreadyExistsException", "", 400, C::Conflict),
            ("OperationAbortedException", "", 400, C::Transient),
            ("ServiceUnavailableException", "", 503, C::Transient),
            ("ServerException", "", 500, C::Transient),
            ("Unheard", "", 502, C::Transient),
            ("Unheard", "", 400, C::Rejected),
            ("Timeout", "", 0, C::Transient),
            ("NoSuchEntity", "", 404, C::NotFound),
            ("DeleteConflict", "", 409, C::Dependency),
            ("EntityAlreadyExists", "", 409, C::Conflict),
            ("AccessDeniedException", "with an explicit deny in a service control policy", 400, C::Denied),
            ("UnauthorizedOperation", "", 403, C::Denied),
            ("ExpiredTokenException", "", 400, C::Expired),
            ("UnrecognizedClientException", "", 403, C::Expired),
            ("AuthFailure", "", 401, C::Expired),
            ("ServiceNotFoundException", "", 400, C::NotFound),
            ("com.amazonaws.ecs#ClusterNotFoundException", "", 400, C::NotFound),
        ] {
            assert_eq!(classify(code, message, status), class, "{code}: {message}");
        }
    }

    #[test]
    fn a_right_that_is_missing_is_the_one_that_aws_names() {
        let says = |operation: &str, message: &str| {
            fault(operation, "AccessDeniedException", message, 400, None).advice.expect("there is something to do")
        };
        let passing = "User: arn:aws:iam::1:user/a is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x because no policy allows it";
        let advice = says("ecs:RegisterTaskDefinition", passing);
        assert!(advice.starts_with("the credentials have no right to iam:PassRole: "), "{advice}");
        assert!(advice.contains("task.execution_role"), "{advice}");
        let cluster = says("ecs:CreateCluster", "User: u is not authorized to perform: ecs:CreateCluster.");
        assert!(
            cluster.contains("no right to ecs:CreateCluster:") && !cluster.contains("task.execution_role"),
            "{cluster}"
        );
        let silent = says("logs:CreateLogGroup", "Access denied");
        assert!(silent.contains("no right to logs:CreateLogGroup:"), "{silent}");
    }

    #[test]
    fn a_fault_keeps_code_message_and_request_and_says_what_to_do() {
        let fault = fault("ecs:RunTask", "x#BlockedException", "Your account is currently blocked.", 400, Some("r-1"));
        assert_eq!((fault.code.as_str(), fault.request_id.as_deref()), ("BlockedException", Some("r-1")));
        assert!(fault.advice.unwrap().contains("AWS Support"));
        let vcpu = of_failure("ecs:RunTask", Some("You’ve reached the limit on the number of vCPUs"), None);
        assert!(vcpu.advice.unwrap().contains("L-3032A538"));
    }
}
