//! The OpenAPI document, made from the routes' own annotations.
//!
//! A test walks it and asks every path of the router, so that no route is missing and none is invented.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{budgets, costs, events, house, ledger, problem, schema, sessions, wire};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "labguard",
        description = "Lab sessions on AWS Fargate: open, watch, extend, end, account for. \
            Times are RFC 3339 in UTC, spans are texts such as `20m`, money is an exact text such as `0.012345678 USD`. \
            Every error is a problem document (RFC 9457).",
    ),
    paths(
        house::live, house::ready, house::metrics,
        sessions::list, sessions::open, sessions::read, sessions::end, sessions::stop, sessions::resume,
        sessions::touch, sessions::lease, sessions::release, sessions::extend, events::follow,
        ledger::receipt, ledger::journal, ledger::history, ledger::plan, ledger::orphans, ledger::sweep, ledger::sweeping, events::follow_sweep,
        budgets::list,
        costs::cost, costs::charges, costs::reconcile,
    ),
    components(schemas(
        problem::Problem, problem::ProblemCode, wire::OpenSession, wire::Accepted, wire::Reason, wire::Touch, wire::OpenLease,
        wire::Sweep, wire::Reconcile, wire::Ready, schema::SessionStatus, schema::Forecast, schema::Identity, schema::HealthStatus, schema::ImageProgress, schema::LayerProgress,
        schema::LastActivity, schema::SourceReading, schema::LeaseStatus, schema::Limit, schema::ResourceStatus, schema::Blocker, schema::Receipt,
        schema::ReceiptResource, schema::CostLine, schema::Estimate, schema::Net, schema::Entry, schema::Orphan, schema::Swept, schema::SweepReport, schema::SweepAsked, schema::NotSearched,
        schema::Extension, schema::BudgetStatus, schema::ThresholdStatus, schema::CostReport, schema::Share, schema::Slice, schema::Charge,
    )),
    tags(
        (name = "sessions", description = "Live sessions and commands"),
        (name = "accounts", description = "Receipts, journals, estimates, orphans"),
        (name = "daemon", description = "The daemon itself; no token needed"),
    ),
    modifiers(&BearerToken),
    security(("token" = [])),
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token from the daemon's token file (owner-only)."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document as a value.
#[must_use]
pub fn specification() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `GET /openapi.json`.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(specification())
}
