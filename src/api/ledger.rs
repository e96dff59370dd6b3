//! Routes that read accounts: receipts, journals, estimates, and what was left behind.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use tokio::sync::watch;

use super::{
    extract::{Asked, Body},
    problem::Problem,
    schema,
    server::Shared,
    wire::{HistoryQuery, Sweep},
};
use crate::{
    domain::model::{Entry, Estimate, Receipt},
    reconcile::handle::{CommandError, SweepReport},
};

/// The receipt of a closed session.
#[utoipa::path(get, path = "/v1/sessions/{session}/receipt", tag = "accounts",
    params(("session" = String, Path, description = "Id, or the name: then the newest of that name")),
    responses((status = 200, description = "Receipt", body = schema::Receipt),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "It is not closed yet", body = Problem)))]
pub(super) async fn receipt(
    State(shared): State<Shared>,
    Path(session): Path<String>,
) -> Result<Json<Receipt>, Problem> {
    Ok(Json(shared.handle.receipt(session).await?))
}

/// A session's journal, from its first entry.
#[utoipa::path(get, path = "/v1/sessions/{session}/journal", tag = "accounts",
    params(("session" = String, Path, description = "Id, or the name")),
    responses((status = 200, description = "Entries", body = Vec<schema::Entry>),
        (status = 404, description = "No such session", body = Problem)))]
pub(super) async fn journal(
    State(shared): State<Shared>,
    Path(session): Path<String>,
) -> Result<Json<Vec<Entry>>, Problem> {
    Ok(Json(shared.handle.entries(session).await?))
}

/// Receipts of closed sessions, newest first.
#[utoipa::path(get, path = "/v1/history", tag = "accounts", params(HistoryQuery),
    responses((status = 200, description = "Receipts", body = Vec<schema::Receipt>),
        (status = 400, description = "Not a number", body = Problem)))]
pub(super) async fn history(
    State(shared): State<Shared>,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<Vec<Receipt>>, Problem> {
    Ok(Json(shared.handle.history(query.limit.min(HistoryQuery::LARGEST)).await?))
}

/// What a session of a policy would make and cost.
#[utoipa::path(get, path = "/v1/plan/{policy}", tag = "accounts",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, description = "Estimate", body = schema::Estimate),
        (status = 404, description = "No such policy", body = Problem)))]
pub(super) async fn plan(State(shared): State<Shared>, Path(policy): Path<String>) -> Result<Json<Estimate>, Problem> {
    Ok(Json(shared.handle.plan(&policy)?))
}

/// What bears labguard's tag and belongs to no live session of this daemon.
#[utoipa::path(get, path = "/v1/orphans", tag = "accounts",
    responses((status = 200, description = "What was found, not touched", body = schema::SweepReport),
        (status = 502, description = "The cloud could not be asked", body = Problem)))]
pub(super) async fn orphans(State(shared): State<Shared>) -> Result<Json<SweepReport>, Problem> {
    Ok(Json(shared.handle.orphans(Vec::new()).await?))
}

/// Lists it or, where asked, begins to remove it. A removal goes on in the daemon; another one joins it.
#[utoipa::path(post, path = "/v1/sweep", tag = "accounts", request_body = Option<Sweep>,
    responses((status = 200, description = "What was found; or the removal that went on already, which may be another one: see `asked`",
            body = schema::SweepReport),
        (status = 202, description = "A removal has begun; GET /v1/sweep/events follows it", body = schema::SweepReport),
        (status = 409, description = "A named session is live here, or the daemon is shutting down", body = Problem),
        (status = 502, description = "The cloud could not be asked", body = Problem)))]
pub(super) async fn sweep(
    State(shared): State<Shared>,
    Body(body): Body<Sweep>,
) -> Result<(StatusCode, Json<SweepReport>), Problem> {
    if !body.remove {
        return Ok((StatusCode::OK, Json(shared.handle.orphans(body.sessions).await?)));
    }
    let job = shared.handle.sweep(body.sessions)?;
    let status = if job.joined { StatusCode::OK } else { StatusCode::ACCEPTED };
    let report = SweepReport::clone(&job.report.borrow());
    Ok((status, Json(report)))
}

/// The removal that goes on, or the last one of this daemon's run.
#[utoipa::path(get, path = "/v1/sweep", tag = "accounts",
    responses((status = 200, description = "Its report", body = schema::SweepReport),
        (status = 409, description = "No sweep has removed anything in this daemon's run", body = Problem)))]
pub(super) async fn sweeping(State(shared): State<Shared>) -> Result<Json<SweepReport>, Problem> {
    let report = last_sweep(&shared)?;
    let report = SweepReport::clone(&report.borrow());
    Ok(Json(report))
}

pub(super) fn last_sweep(shared: &Shared) -> Result<watch::Receiver<Arc<SweepReport>>, CommandError> {
    let none = "no sweep has removed anything since this daemon started; `labguard sweep` shows what there is";
    shared.handle.sweeping().ok_or_else(|| CommandError::Refused(none.to_owned()))
}
