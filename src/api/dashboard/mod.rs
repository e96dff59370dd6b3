//! A page that lists sessions, what is known of each, and the budgets they share, for a browser on this machine.
//!
//! Guarantees: the page holds no data and no secret; it asks the API with a token that the user pastes (kept
//! in the tab only) or gives in the address's fragment, which browsers never send. No outside assets; a
//! strict content policy; whatever the API says is shown as text, never as markup.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

use super::server::Shared;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("page.html")) }))
        .route("/dashboard.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("page.js")) }))
        .route("/dashboard.css", get(|| async { asset("text/css; charset=utf-8", include_str!("page.css")) }))
}

fn asset(media: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, media),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text)
}
