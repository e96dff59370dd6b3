//! Routes on money: what sessions cost together, and their lines of cost for other programs.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse as _, Response},
};

use super::{
    export,
    extract::{Asked, Body},
    focus,
    problem::{Problem, ProblemCode},
    schema,
    server::Shared,
    wire::{ChargesQuery, CostQuery, ExportFormat, Reconcile},
};
use crate::domain::model::{CostReport, Receipt};

/// What sessions cost, by session, owner, group or item, and over time.
#[utoipa::path(get, path = "/v1/cost", tag = "accounts", params(CostQuery),
    responses((status = 200, description = "Report", body = schema::CostReport),
        (status = 400, description = "Not a time, cut, bucket or zone", body = Problem),
        (status = 409, description = "Too many stretches, or none", body = Problem)))]
pub(super) async fn cost(
    State(shared): State<Shared>,
    Asked(query): Asked<CostQuery>,
) -> Result<Json<CostReport>, Problem> {
    Ok(Json(shared.handle.cost(query.into()).await?))
}

/// Lines of cost, cut at the end of each month (UTC): as JSON, as CSV, or as CSV with the columns of FOCUS 1.2.
#[utoipa::path(get, path = "/v1/cost/charges", tag = "accounts", params(ChargesQuery),
    responses((status = 200, description = "Charges", content(
            (Vec<schema::Charge> = "application/json"), (String = "text/csv"))),
        (status = 400, description = "Not a time or format", body = Problem),
        (status = 404, description = "No such session", body = Problem)))]
pub(super) async fn charges(
    State(shared): State<Shared>,
    Asked(query): Asked<ChargesQuery>,
) -> Result<Response, Problem> {
    let format = query.format;
    let charges = shared.handle.charges(query.into()).await?;
    let written = match format {
        ExportFormat::Json => return Ok(Json(charges).into_response()),
        ExportFormat::Csv => export::csv(&charges),
        ExportFormat::Focus => focus::csv(&charges),
    };
    let text = written.map_err(|error| {
        Problem::new(ProblemCode::Refused, format!("the charges cannot be written as CSV: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}

/// Asks AWS's Cost Explorer what a closed session cost; the answer is kept, and shown beside labguard's own count.
#[utoipa::path(post, path = "/v1/sessions/{session}/reconcile", tag = "accounts", request_body = Option<Reconcile>,
    params(("session" = String, Path, description = "Id, or the name: then the newest of that name")),
    responses((status = 200, description = "The receipt, with AWS's account", body = schema::Receipt),
        (status = 404, description = "No such session", body = Problem),
        (status = 409, description = "Not agreed to, not closed, or AWS has no data yet", body = Problem),
        (status = 502, description = "AWS refused", body = Problem)))]
pub(super) async fn reconcile(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    Body(body): Body<Reconcile>,
) -> Result<Json<Receipt>, Problem> {
    Ok(Json(shared.handle.reconcile(session, body.yes).await?))
}
