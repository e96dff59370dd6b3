//! The router and its server: which route is whose, and the limits around all of them.
//!
//! Guarantees: the `Host` guard stands before everything; `/v1` stands behind the token; bodies are at most
//! 64 KiB; an answer begins within [`ANSWER_WITHIN`] (where the cloud is asked: [`CLOUD_WITHIN`]) or is a problem. A shutdown
//! gives open answers a moment, and event streams no longer than that.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    auth::{Auth, guard_host, require_token},
    budgets, costs, dashboard, events, house, ledger, openapi,
    problem::{Problem, ProblemCode},
    sessions,
};
use crate::reconcile::handle::Handle;

/// Makes the Prometheus text of `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The largest body taken.
const LARGEST_BODY: usize = 64 * 1024;
/// How soon an answer begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How soon the answer begins where the cloud is asked for it. A sweep's removal is not waited for.
const CLOUD_WITHIN: Duration = Duration::from_secs(300);
/// How long open answers and streams may go on after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(3);

/// What the routes share.
#[derive(Clone)]
pub(super) struct Shared {
    /// The engine's door.
    pub handle: Handle,
    /// `/metrics`.
    pub metrics_text: MetricsText,
}

/// Every route, behind its guards.
pub fn router(handle: Handle, metrics_text: MetricsText, auth: Auth) -> Router {
    let shared = Shared { handle, metrics_text };
    let auth = Arc::new(auth);
    let guarded = Router::new()
        .route("/sessions", get(sessions::list).post(sessions::open))
        .route("/sessions/{session}", get(sessions::read).delete(sessions::end))
        .route("/sessions/{session}/events", get(events::follow))
        .route("/sessions/{session}/stop", post(sessions::stop))
        .route("/sessions/{session}/resume", post(sessions::resume))
        .route("/sessions/{session}/touch", post(sessions::touch))
        .route("/sessions/{session}/leases/{lease}", put(sessions::lease).delete(sessions::release))
        .route("/sessions/{session}/extend", post(sessions::extend))
        .route("/sessions/{session}/receipt", get(ledger::receipt))
        .route("/sessions/{session}/journal", get(ledger::journal))
        .route("/history", get(ledger::history))
        .route("/cost", get(costs::cost))
        .route("/cost/charges", get(costs::charges))
        .route("/plan/{policy}", get(ledger::plan))
        .route("/budgets", get(budgets::list))
        .layer(from_fn(|request, next| within(ANSWER_WITHIN, request, next)));
    let slow = Router::new()
        .route("/orphans", get(ledger::orphans))
        .route("/sweep", get(ledger::sweeping).post(ledger::sweep))
        .route("/sweep/events", get(events::follow_sweep))
        .route("/sessions/{session}/reconcile", post(costs::reconcile))
        .layer(from_fn(|request, next| within(CLOUD_WITHIN, request, next)));
    let versioned = guarded
        .merge(slow)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(auth.clone(), require_token));
    Router::new()
        .route("/healthz", get(house::live))
        .route("/readyz", get(house::ready))
        .route("/metrics", get(house::metrics))
        .route("/openapi.json", get(openapi::document))
        .merge(dashboard::routes())
        .nest("/v1", versioned)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(auth, guard_host))
        .with_state(shared)
}

/// Serves until `stop`; then no new requests are taken, open ones get a moment.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let asked = stop.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { asked.cancelled().await });
    tokio::select! {
        outcome = async { server.await } => outcome,
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

async fn within(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("no answer within {} s; `labguard status` shows what is going on", limit.as_secs());
            Problem::new(ProblemCode::Timeout, detail).into_response()
        }
    }
}

async fn no_such_route(request: Request) -> Problem {
    let detail = format!("nothing is served at {}; GET /openapi.json lists what is", request.uri().path());
    Problem::new(ProblemCode::NoSuchRoute, detail)
}

async fn no_such_method(request: Request) -> Problem {
    let detail = format!("{} is not possible at {}", request.method(), request.uri().path());
    Problem::new(ProblemCode::MethodNotAllowed, detail)
}
