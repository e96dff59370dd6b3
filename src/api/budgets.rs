//! The route that reads shared budgets: how far each is spent, what happens next, and whose sessions are in it.

use axum::{Json, extract::State};

use super::{problem::Problem, schema, server::Shared};
use crate::reconcile::status::BudgetStatus;

/// Every budget that sessions share, by name and whose it is.
#[utoipa::path(get, path = "/v1/budgets", tag = "accounts",
    responses((status = 200, description = "Shared budgets as they stand", body = Vec<schema::BudgetStatus>),
        (status = 401, description = "No or wrong token", body = Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<Vec<BudgetStatus>> {
    Json(shared.handle.budgets().await)
}
