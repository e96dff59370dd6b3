//! Routes about the daemon itself: alive, ready, metrics. They need no token and tell no secret.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::{server::Shared, wire::Ready};

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "daemon", security(()),
    responses((status = 200, description = "The process answers", body = String, content_type = "text/plain")))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The engine runs: the journal is open, recovery has begun, commands are taken, and the loop goes round.
#[utoipa::path(get, path = "/readyz", tag = "daemon", security(()),
    responses((status = 200, description = "Commands are taken", body = Ready),
        (status = 503, description = "The loop stands still: sessions are not guarded", body = Ready)))]
pub(super) async fn ready(State(shared): State<Shared>) -> (StatusCode, Json<Ready>) {
    let sessions = shared.handle.list();
    let alarms = sessions
        .iter()
        .filter(|status| status.closed_at.is_none())
        .filter_map(|status| status.alarm.as_ref().map(|alarm| format!("{}: {alarm}", status.id)))
        .collect();
    let ready = shared.handle.lives();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, sessions: sessions.len(), alarms }))
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "daemon", security(()),
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media)], (shared.metrics_text)())
}
