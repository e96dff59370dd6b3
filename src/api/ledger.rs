//! Routes that read accounts: receipts, journals, estimates, and what was left behind.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{
    extract::{Asked, Body},
    problem::Problem,
    schema,
    server::Shared,
    wire::{HistoryQuery, Sweep},
};
use crate::{
    domain::model::{Entry, Estimate, Receipt},
    reconcile::handle::Orphan,
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

/// What bears labguard's tag and belongs to no live session.
#[utoipa::path(get, path = "/v1/orphans", tag = "accounts",
    responses((status = 200, description = "Orphans, not touched", body = Vec<schema::Orphan>),
        (status = 502, description = "The cloud could not be asked", body = Problem)))]
pub(super) async fn orphans(State(shared): State<Shared>) -> Result<Json<Vec<Orphan>>, Problem> {
    Ok(Json(shared.handle.sweep(false).await?))
}

/// Lists orphans and, where asked, removes them.
#[utoipa::path(post, path = "/v1/sweep", tag = "accounts", request_body = Option<Sweep>,
    responses((status = 200, description = "Orphans, each with its outcome", body = Vec<schema::Orphan>),
        (status = 502, description = "The cloud could not be asked", body = Problem)))]
pub(super) async fn sweep(State(shared): State<Shared>, Body(body): Body<Sweep>) -> Result<Json<Vec<Orphan>>, Problem> {
    Ok(Json(shared.handle.sweep(body.remove).await?))
}
