//! Errors on the wire: problem documents as RFC 9457 has them, and the one map from refusal to status.
//!
//! Guarantees: the maps are exhaustive matches, so a new [`CommandError`] does not compile until it has a
//! status; a problem never carries a token or another secret.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::reconcile::handle::CommandError;

/// What kind of problem; stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// No policy of that name.
    UnknownPolicy,
    /// No session of that id or name.
    UnknownSession,
    /// A name that several live sessions bear.
    Ambiguous,
    /// One of that policy is live and its resource names are fixed.
    AlreadyLive,
    /// It makes no sense in the session's present phase.
    Refused,
    /// The journal cannot be written; nothing was done.
    Journal,
    /// The cloud could not be asked.
    Cloud,
    /// No bearer token, or a wrong one.
    Unauthorized,
    /// The `Host` header names neither loopback nor an allowed host.
    ForbiddenHost,
    /// No such route.
    NoSuchRoute,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// The request's body or query cannot be read as what the route expects.
    Malformed,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The body is larger than the API takes.
    TooLarge,
    /// The engine did not answer in time.
    Timeout,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [ProblemCode; 15] = [
        ProblemCode::UnknownPolicy,
        ProblemCode::UnknownSession,
        ProblemCode::Ambiguous,
        ProblemCode::AlreadyLive,
        ProblemCode::Refused,
        ProblemCode::Journal,
        ProblemCode::Cloud,
        ProblemCode::Unauthorized,
        ProblemCode::ForbiddenHost,
        ProblemCode::NoSuchRoute,
        ProblemCode::MethodNotAllowed,
        ProblemCode::Malformed,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::TooLarge,
        ProblemCode::Timeout,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            ProblemCode::UnknownPolicy | ProblemCode::UnknownSession | ProblemCode::NoSuchRoute => {
                StatusCode::NOT_FOUND
            }
            ProblemCode::Ambiguous | ProblemCode::AlreadyLive | ProblemCode::Refused => StatusCode::CONFLICT,
            ProblemCode::Journal => StatusCode::SERVICE_UNAVAILABLE,
            ProblemCode::Cloud => StatusCode::BAD_GATEWAY,
            ProblemCode::Unauthorized => StatusCode::UNAUTHORIZED,
            ProblemCode::ForbiddenHost => StatusCode::MISDIRECTED_REQUEST,
            ProblemCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ProblemCode::Malformed => StatusCode::BAD_REQUEST,
            ProblemCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ProblemCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The short text that is the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            ProblemCode::UnknownPolicy => "No such policy",
            ProblemCode::UnknownSession => "No such session",
            ProblemCode::Ambiguous => "Several sessions have this name",
            ProblemCode::AlreadyLive => "A live session has a resource of that name",
            ProblemCode::Refused => "Refused in the session's present phase",
            ProblemCode::Journal => "The journal cannot be written",
            ProblemCode::Cloud => "The cloud could not be asked",
            ProblemCode::Unauthorized => "The bearer token is missing or wrong",
            ProblemCode::ForbiddenHost => "This host name is not served",
            ProblemCode::NoSuchRoute => "No such route",
            ProblemCode::MethodNotAllowed => "Method not allowed",
            ProblemCode::Malformed => "The request cannot be read",
            ProblemCode::UnsupportedMediaType => "The body must be application/json",
            ProblemCode::TooLarge => "The body is too large",
            ProblemCode::Timeout => "The engine did not answer in time",
        }
    }

    /// The code as it stands in the document and in its `type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ProblemCode::UnknownPolicy => "unknown_policy",
            ProblemCode::UnknownSession => "unknown_session",
            ProblemCode::Ambiguous => "ambiguous",
            ProblemCode::AlreadyLive => "already_live",
            ProblemCode::Refused => "refused",
            ProblemCode::Journal => "journal",
            ProblemCode::Cloud => "cloud",
            ProblemCode::Unauthorized => "unauthorized",
            ProblemCode::ForbiddenHost => "forbidden_host",
            ProblemCode::NoSuchRoute => "no_such_route",
            ProblemCode::MethodNotAllowed => "method_not_allowed",
            ProblemCode::Malformed => "malformed",
            ProblemCode::UnsupportedMediaType => "unsupported_media_type",
            ProblemCode::TooLarge => "too_large",
            ProblemCode::Timeout => "timeout",
        }
    }
}

/// A problem document (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:labguard:problem:<code>`.
    #[serde(rename = "type")]
    pub uri: String,
    /// The same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what, why, and what to do next.
    pub detail: String,
    /// For programs.
    pub code: ProblemCode,
}

impl Problem {
    /// A problem of that kind with its own words.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            uri: format!("urn:labguard:problem:{}", code.name()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::UnknownPolicy { .. } => ProblemCode::UnknownPolicy,
            CommandError::UnknownSession(_) => ProblemCode::UnknownSession,
            CommandError::Ambiguous { .. } => ProblemCode::Ambiguous,
            CommandError::AlreadyLive { .. } => ProblemCode::AlreadyLive,
            CommandError::Refused(_) => ProblemCode::Refused,
            CommandError::Journal(_) => ProblemCode::Journal,
            CommandError::Cloud(_) => ProblemCode::Cloud,
        };
        Problem::new(code, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"labguard\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_every_code_is_the_one_that_serde_writes() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name(), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_problem_document_has_the_members_of_rfc_9457() {
        let problem = Problem::from(CommandError::UnknownSession("nope".into()));
        let value = serde_json::to_value(&problem).unwrap();
        assert_eq!(value["type"], "urn:labguard:problem:unknown_session");
        assert_eq!(value["status"], 404);
        assert_eq!(value["code"], "unknown_session");
        assert!(value["detail"].as_str().unwrap().contains("\"nope\""));
    }
}
