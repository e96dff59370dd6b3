//! Routes on live sessions: list, open, read, and the commands.
//!
//! A command is durable when it is answered; none waits for the cloud. Sessions are named by id, or by
//! policy name where only one of that name is live.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};

use serde::{Serialize, Serializer};

use super::{
    extract::Body,
    problem::Problem,
    schema,
    server::Shared,
    wire::{Accepted, OpenLease, OpenSession, Reason, Touch},
};
use crate::{
    domain::model::{Extension, Request, SessionId},
    reconcile::status::SessionStatus,
};

/// A shared status, written without copying it.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Shown(#[serde(serialize_with = "pointed_at")] Arc<SessionStatus>);

fn pointed_at<S: Serializer>(status: &Arc<SessionStatus>, serializer: S) -> Result<S::Ok, S::Error> {
    SessionStatus::serialize(status, serializer)
}

/// Every live session and those closed since the daemon started, oldest first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    responses((status = 200, description = "Sessions", body = Vec<schema::SessionStatus>),
        (status = 401, description = "No or wrong token", body = Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<Vec<Shown>> {
    Json(shared.handle.list().into_iter().map(Shown).collect())
}

/// Opens a session of a policy.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = OpenSession,
    responses((status = 201, description = "Accepted and journalled", body = Accepted,
            headers(("Location" = String, description = "Where its status is"))),
        (status = 404, description = "No such policy", body = Problem),
        (status = 409, description = "One is live and its names are fixed", body = Problem),
        (status = 503, description = "The journal cannot be written", body = Problem)))]
pub(super) async fn open(
    State(shared): State<Shared>,
    Body(body): Body<OpenSession>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Accepted>), Problem> {
    let session = shared.handle.up(body.policy).await?;
    let location = [(header::LOCATION, format!("/v1/sessions/{session}"))];
    Ok((StatusCode::CREATED, location, accepted(&session)))
}

/// One session's status.
#[utoipa::path(get, path = "/v1/sessions/{session}", tag = "sessions",
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 200, description = "Status", body = schema::SessionStatus),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Several of that name", body = Problem)))]
pub(super) async fn read(State(shared): State<Shared>, Path(session): Path<String>) -> Result<Json<Shown>, Problem> {
    Ok(Json(Shown(shared.handle.get(&session)?)))
}

/// Ends a session: everything it made is removed, and the removal verified.
#[utoipa::path(delete, path = "/v1/sessions/{session}", tag = "sessions", request_body = Option<Reason>,
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 202, description = "Journalled; follow its events", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn end(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    Body(body): Body<Reason>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let reason = body.reason.unwrap_or_else(|| "asked through the API".to_owned());
    ask(&shared, session, Request::End { reason }).await
}

/// Stops a session's tasks and keeps the rest.
#[utoipa::path(post, path = "/v1/sessions/{session}/stop", tag = "sessions", request_body = Option<Reason>,
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 202, description = "Journalled; follow its events", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn stop(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    Body(body): Body<Reason>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let reason = body.reason.unwrap_or_else(|| "asked through the API".to_owned());
    ask(&shared, session, Request::Stop { reason }).await
}

/// Runs a stopped session's task again.
#[utoipa::path(post, path = "/v1/sessions/{session}/resume", tag = "sessions",
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 202, description = "Journalled; follow its events", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(session): Path<String>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    ask(&shared, session, Request::Resume).await
}

/// A heartbeat: somebody or something uses the session.
#[utoipa::path(post, path = "/v1/sessions/{session}/touch", tag = "sessions", request_body = Option<Touch>,
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 202, description = "Journalled", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn touch(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    Body(body): Body<Touch>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let by = body.by.unwrap_or_else(|| "a client of the API".to_owned());
    ask(&shared, session, Request::Touch { by }).await
}

/// Opens or renews a lease: the session is in use until the lease lapses or is given back.
#[utoipa::path(put, path = "/v1/sessions/{session}/leases/{lease}", tag = "sessions", request_body = Option<OpenLease>,
    params(("session" = String, Path, description = "Id, or the name where only one is live"),
        ("lease" = String, Path, description = "The lease's id, chosen by its holder: 1 to 64 bytes")),
    responses((status = 202, description = "Journalled", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn lease(
    State(shared): State<Shared>,
    Path((session, lease)): Path<(String, String)>,
    Body(body): Body<OpenLease>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let by = body.by.unwrap_or_else(|| "a client of the API".to_owned());
    ask(&shared, session, Request::Lease { lease, by, ttl: body.ttl }).await
}

/// Gives a lease back: the session was in use until now. One that is not there, or has lapsed, is no mistake.
#[utoipa::path(delete, path = "/v1/sessions/{session}/leases/{lease}", tag = "sessions",
    params(("session" = String, Path, description = "Id, or the name where only one is live"),
        ("lease" = String, Path, description = "The lease's id")),
    responses((status = 202, description = "Journalled", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Refused, or several of that name", body = Problem)))]
pub(super) async fn release(
    State(shared): State<Shared>,
    Path((session, lease)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    ask(&shared, session, Request::Release { lease }).await
}

/// Moves a soft limit, inside its hard one.
#[utoipa::path(post, path = "/v1/sessions/{session}/extend", tag = "sessions", request_body = schema::Extension,
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 202, description = "Journalled", body = Accepted),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Beyond the hard limit, or several of that name", body = Problem)))]
pub(super) async fn extend(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    Body(extension): Body<Extension>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    ask(&shared, session, Request::Extend(extension)).await
}

async fn ask(shared: &Shared, session: String, request: Request) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let session = shared.handle.request(session, request).await?;
    Ok((StatusCode::ACCEPTED, accepted(&session)))
}

fn accepted(session: &SessionId) -> Json<Accepted> {
    Json(Accepted { session: session.to_string() })
}
