//! Reading requests so that every mistake is a problem document.
//!
//! Guarantees: a non-empty body must say that it is JSON (a plain HTML form of another site cannot); an empty
//! body reads as `{}`; the message names the member that is wrong.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header, request::Parts},
    response::IntoResponse as _,
};
use serde::de::DeserializeOwned;

use super::problem::{Problem, ProblemCode};

/// A JSON body.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.into_response().status();
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(ProblemCode::TooLarge, "the API takes bodies of at most 64 KiB")
            } else {
                Problem::new(ProblemCode::Malformed, "the body ended before it was complete")
            }
        })?;
        if bytes.is_empty() {
            return serde_json::from_str("{}").map(Body).map_err(|error| malformed(&error));
        }
        if !is_json {
            return Err(Problem::new(
                ProblemCode::UnsupportedMediaType,
                "send the body with `Content-Type: application/json`",
            ));
        }
        serde_json::from_slice(&bytes).map(Body).map_err(|error| malformed(&error))
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemCode::Malformed, format!("the body is not what this route expects: {error}"))
}

/// A query string.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Asked(value)).map_err(|rejection| {
            Problem::new(ProblemCode::Malformed, format!("the query is not what this route expects: {rejection}"))
        })
    }
}
