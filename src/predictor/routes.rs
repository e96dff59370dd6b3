//! The service's HTTP surface.
//!
//! Guarantees: errors are JSON and say what would have been right; a body is at most 64 KiB and must arrive within ten
//! seconds. Never answers 200 to a prediction it could not make.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::{Applicant, metrics, metrics::Metrics, model};

const LARGEST_BODY: usize = 64 << 10;
const LONGEST_UPLOAD: Duration = Duration::from_secs(10);
const PAGE: &str = include_str!("page.html");
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The service as a router, with counters of its own.
pub fn router() -> Router {
    let metrics = Metrics::default();
    Router::new()
        .route("/", get(page))
        .route("/ping", get(|| async { "pong" }))
        .route("/predict", post(predict))
        .route("/metrics", get(exposition))
        .fallback(no_such_page)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(metrics.clone(), metrics::count))
        .with_state(metrics)
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Html(PAGE)).into_response()
}

async fn exposition(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.exposition())
}

async fn predict(request: Request) -> Response {
    if !is_json(request.headers()) {
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON; send it with Content-Type: application/json",
        );
    }
    let body = match tokio::time::timeout(LONGEST_UPLOAD, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {LARGEST_BODY} bytes"));
        }
        Ok(Err(_)) => return refused(StatusCode::BAD_REQUEST, "the body broke off"),
        Err(_) => {
            let message = format!("the body did not arrive within {} seconds", LONGEST_UPLOAD.as_secs());
            return refused(StatusCode::REQUEST_TIMEOUT, &message);
        }
    };
    let value: Value = match serde_json::from_slice(&body) {
        Ok(value) => value,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("the body is not valid JSON: {error}")),
    };
    match Applicant::from_json(&value) {
        Ok(applicant) => Json(json!({ "chance_of_admit": model::chance_of_admit(&applicant) })).into_response(),
        Err(errors) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "errors": errors }))).into_response(),
    }
}

async fn no_such_page(uri: Uri) -> Response {
    let message = format!("there is nothing at {}; there are /, /ping, /predict and /metrics", uri.path());
    refused(StatusCode::NOT_FOUND, &message)
}

/// The `Allow` header is the router's.
async fn wrong_method(uri: Uri) -> Response {
    let message = format!("{} is not asked in this way; the Allow header names the ways", uri.path());
    refused(StatusCode::METHOD_NOT_ALLOWED, &message)
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// `application/json` or anything `+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    const EXERCISE: &str = r#"{"gre_score": 300, "toefl_score": 100, "university_rating": 4, "sop": 3, "lor": 4,
                               "cgpa": 8.90, "research": "Yes"}"#;

    async fn ask(router: &Router, request: http::Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    fn get_as(path: &str, agent: &str) -> http::Request<Body> {
        http::Request::get(path).header("user-agent", agent).body(Body::empty()).unwrap()
    }

    fn post_as(kind: &str, body: impl Into<Body>) -> http::Request<Body> {
        http::Request::post("/predict").header("content-type", kind).body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn the_exercise_is_answered() {
        let (status, _, body) = ask(&router(), post_as("application/json; charset=utf-8", EXERCISE)).await;
        assert_eq!(status, StatusCode::OK);
        let chance = serde_json::from_str::<Value>(&body).unwrap()["chance_of_admit"].as_f64().unwrap();
        assert!((chance - 0.7335).abs() <= 0.0005, "{chance}");
    }

    #[tokio::test]
    async fn bad_fields_are_all_named_with_422() {
        let (status, _, body) = ask(&router(), post_as("application/json", r#"{"gre_score": 1, "cgpaa": 2}"#)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["errors"].as_array().unwrap().len(), 8);
        assert_eq!(
            body["errors"][0],
            json!({"field": "gre_score", "value": 1, "expected": "a whole number from 260 to 340"})
        );
        assert_eq!(body["errors"][7]["expected"], "no such field; did you mean cgpa?");
    }

    #[tokio::test]
    async fn what_is_not_a_small_json_document_is_refused_each_in_its_way() {
        let router = router();
        for (request, expected) in [
            (post_as("application/x-www-form-urlencoded", "gre_score=300"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (http::Request::post("/predict").body(Body::from(EXERCISE)).unwrap(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (post_as("application/json", "{\"gre_score\": "), StatusCode::BAD_REQUEST),
            (post_as("application/json", " ".repeat(LARGEST_BODY + 1)), StatusCode::PAYLOAD_TOO_LARGE),
            (post_as("application/json", "[".repeat(10_000)), StatusCode::BAD_REQUEST),
            (get_as("/predict", "curl"), StatusCode::METHOD_NOT_ALLOWED),
            (get_as("/nothing", "curl"), StatusCode::NOT_FOUND),
        ] {
            let (status, headers, body) = ask(&router, request).await;
            assert_eq!(status, expected, "{body}");
            assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
            if status == StatusCode::METHOD_NOT_ALLOWED {
                assert_eq!(headers["allow"], "POST");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let (status, ..) = ask(&router(), post_as("application/json", stalled)).await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn the_page_and_the_ping_are_there() {
        let router = router();
        let (status, headers, page) = ask(&router, get_as("/", "Mozilla/5.0")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
        for field in ["gre_score", "toefl_score", "university_rating", "sop", "lor", "cgpa", "research"] {
            assert!(page.contains(&format!("for=\"{field}\"")), "no label for {field}");
            assert!(page.contains(&format!("name=\"{field}\"")), "no input named {field}");
        }
        assert!(page.contains("<noscript>") && page.contains("lang=\"en\""));
        let (status, _, body) = ask(&router, get_as("/ping", "curl")).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "pong"));
    }

    #[tokio::test]
    async fn probes_are_counted_apart_from_use() {
        let router = router();
        ask(&router, get_as("/ping", "labguard-probe/0.1.0")).await;
        ask(&router, get_as("/ping", "labguard-probe/0.1.0")).await;
        ask(&router, get_as("/ping", "Mozilla/5.0 labguard-probe")).await;
        ask(&router, post_as("application/json", EXERCISE)).await;
        ask(&router, get_as("/wp-login.php", "scanner")).await;
        let (_, headers, text) = ask(&router, get_as("/metrics", "labguard-probe/0.1.0")).await;
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        for line in [
            r#"http_requests_total{method="GET",path="/ping",status="200",client="labguard-probe"} 2"#,
            r#"http_requests_total{method="GET",path="/ping",status="200",client="user"} 1"#,
            r#"http_requests_total{method="POST",path="/predict",status="200",client="user"} 1"#,
            r#"http_requests_total{method="GET",path="other",status="404",client="user"} 1"#,
            r#"http_requests_in_flight{client="labguard-probe"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }

    #[tokio::test]
    async fn two_routers_do_not_share_their_counts() {
        ask(&router(), get_as("/ping", "curl")).await;
        let (_, _, text) = ask(&router(), get_as("/metrics", "curl")).await;
        assert!(!text.contains("/ping"));
    }
}
