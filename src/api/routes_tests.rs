//! The API as its clients meet it: every route, every guard, asked over tower with a fake engine behind it.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt as _;

use super::{Auth, fake, fake::Fake, openapi, router};
use crate::{domain::model::Phase, reconcile::handle::CommandError};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn served() -> (Arc<Fake>, Router) {
    let engine = Fake::new();
    let auth = Auth { token: TOKEN.to_owned().into(), allowed_hosts: vec!["lab.example".into()] };
    let router = router(engine.clone(), Arc::new(|| "labguard_up 1\n# EOF\n".to_owned()), auth);
    (engine, router)
}

fn request(method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7373");
    request = request.header("authorization", format!("Bearer {TOKEN}"));
    match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn value(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn every_command_reaches_the_engine_as_it_was_asked() {
    let (engine, router) = served();
    let session = "/v1/sessions/admission";
    for (method, path, body, status, asked) in [
        (Method::POST, "/v1/sessions".to_owned(), Some(json!({"policy": "admission"})), 201, "up admission"),
        (
            Method::DELETE,
            session.to_owned(),
            Some(json!({"reason": "done"})),
            202,
            r#"admission {"request":"end","reason":"done"}"#,
        ),
        (
            Method::DELETE,
            session.to_owned(),
            None,
            202,
            r#"admission {"request":"end","reason":"asked through the API"}"#,
        ),
        (
            Method::POST,
            format!("{session}/stop"),
            None,
            202,
            r#"admission {"request":"stop","reason":"asked through the API"}"#,
        ),
        (Method::POST, format!("{session}/resume"), None, 202, r#"admission {"request":"resume"}"#),
        (
            Method::POST,
            format!("{session}/touch"),
            Some(json!({"by": "ada"})),
            202,
            r#"admission {"request":"touch","by":"ada"}"#,
        ),
        (
            Method::PUT,
            format!("{session}/leases/77-1"),
            Some(json!({"by": "train.py", "ttl": "2m"})),
            202,
            r#"admission {"request":"lease","lease":"77-1","by":"train.py","ttl":"2m"}"#,
        ),
        (
            Method::PUT,
            format!("{session}/leases/77-1"),
            None,
            202,
            r#"admission {"request":"lease","lease":"77-1","by":"a client of the API","ttl":"5m"}"#,
        ),
        (
            Method::DELETE,
            format!("{session}/leases/77-1"),
            None,
            202,
            r#"admission {"request":"release","lease":"77-1"}"#,
        ),
        (
            Method::POST,
            format!("{session}/extend"),
            Some(json!({"limit": "lifetime", "by": "30m"})),
            202,
            r#"admission {"request":"extend","limit":"lifetime","by":"30m"}"#,
        ),
        (
            Method::POST,
            format!("{session}/extend"),
            Some(json!({"limit": "budget", "by": "0.50 USD"})),
            202,
            r#"admission {"request":"extend","limit":"budget","by":"0.50 USD"}"#,
        ),
        (Method::POST, "/v1/sweep".to_owned(), Some(json!({"remove": true})), 202, "sweep "),
        (Method::POST, "/v1/sweep".to_owned(), Some(json!({"remove": true, "sessions": ["a", "b"]})), 202, "sweep a b"),
        (Method::POST, "/v1/sweep".to_owned(), Some(json!({"sessions": ["a"]})), 200, "orphans a"),
        (Method::GET, "/v1/orphans".to_owned(), None, 200, "orphans "),
        (Method::GET, "/v1/sweep".to_owned(), None, 200, "sweeping"),
        (Method::GET, "/v1/sweep/events".to_owned(), None, 200, "sweeping"),
        (Method::GET, "/v1/history?limit=7".to_owned(), None, 200, "history 7"),
        (Method::GET, "/v1/history".to_owned(), None, 200, "history 20"),
        (
            Method::GET,
            "/v1/cost?by=owner&bucket=hour&zone=Europe/Berlin".to_owned(),
            None,
            200,
            "cost by owner hour Europe/Berlin",
        ),
        (Method::GET, "/v1/cost".to_owned(), None, 200, "cost by session day UTC"),
        (Method::POST, format!("{session}/reconcile"), Some(json!({"yes": true})), 200, "reconcile admission true"),
        (
            Method::GET,
            "/v1/cost/charges?session=admission&since=2026-11-01T00:00:00Z&format=focus".to_owned(),
            None,
            200,
            r#"charges {"session":"admission","since":"2026-11-01T00:00:00Z","until":null}"#,
        ),
        (Method::GET, "/v1/plan/admission".to_owned(), None, 200, "plan admission"),
        (Method::GET, "/v1/budgets".to_owned(), None, 200, "budgets"),
        (Method::GET, format!("{session}/receipt"), None, 200, "receipt admission"),
        (Method::GET, format!("{session}/journal"), None, 200, "journal admission"),
    ] {
        let response = ask(&router, request(method.clone(), &path, body)).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(engine.asked().last().map(String::as_str), Some(asked), "{method} {path}");
    }
}

#[tokio::test]
async fn charges_are_json_or_csv_as_asked_and_say_which() {
    let (_, router) = served();
    for (format, kind, begins) in [
        ("json", "application/json", "[{\"session\":\"admission-7k2m9q\""),
        ("csv", "text/csv; charset=utf-8", "session,policy,owner,"),
        ("focus", "text/csv; charset=utf-8", "AvailabilityZone,BilledCost,BillingAccountId,"),
    ] {
        let path = format!("/v1/cost/charges?format={format}");
        let response = ask(&router, request(Method::GET, &path, None)).await;
        assert_eq!(response.headers()["content-type"], kind);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8(body.to_vec()).unwrap().starts_with(begins), "{format}");
    }
}

#[tokio::test]
async fn an_opened_session_is_answered_with_its_place() {
    let (_, router) = served();
    let response = ask(&router, request(Method::POST, "/v1/sessions", Some(json!({"policy": "admission"})))).await;
    assert_eq!(response.headers()["location"], "/v1/sessions/admission-7k2m9q");
    assert_eq!(value(response).await, json!({"session": "admission-7k2m9q"}));
}

#[tokio::test]
async fn nothing_under_v1_answers_without_the_right_token() {
    let (engine, router) = served();
    for wrong in [None, Some("Bearer wrong"), Some("Basic abc"), Some(TOKEN)] {
        for path in ["/v1/sessions", "/v1/history", "/v1/nothing"] {
            let mut asked = request(Method::GET, path, None);
            asked.headers_mut().remove("authorization");
            if let Some(wrong) = wrong {
                asked.headers_mut().insert("authorization", wrong.parse().unwrap());
            }
            let response = ask(&router, asked).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
            assert!(response.headers().contains_key("www-authenticate"));
            assert_eq!(value(response).await["code"], "unauthorized");
        }
    }
    assert!(engine.asked().is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_is_turned_away_by_its_host_name() {
    let (_, router) = served();
    for (host, status) in [("evil.example", 421), ("lab.example:7373", 200), ("[::1]:7373", 200)] {
        for path in ["/healthz", "/v1/sessions", "/metrics"] {
            let mut asked = request(Method::GET, path, None);
            asked.headers_mut().insert("host", host.parse().unwrap());
            assert_eq!(ask(&router, asked).await.status(), status, "{host} {path}");
        }
    }
    let mut twice = request(Method::GET, "/healthz", None);
    twice.headers_mut().append("host", "evil.example".parse().unwrap());
    assert_eq!(ask(&router, twice).await.status(), 400);
}

#[tokio::test]
async fn every_mistake_is_a_problem_document() {
    let (engine, router) = served();
    let form = Request::builder()
        .method(Method::POST)
        .uri("/v1/sessions")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "text/plain")
        .body(Body::from(r#"{"policy":"admission"}"#))
        .unwrap();
    let huge = json!({"policy": "x".repeat(100_000)});
    for (asked, status, code) in [
        (request(Method::GET, "/v1/sessions/nope", None), 404, "unknown_session"),
        (request(Method::POST, "/v1/sessions", Some(json!({"policy": "admision"}))), 404, "unknown_policy"),
        (request(Method::POST, "/v1/sessions", Some(json!({"polcy": "admission"}))), 400, "malformed"),
        (request(Method::POST, "/v1/sessions", None), 400, "malformed"),
        (request(Method::POST, "/v1/sessions", Some(huge)), 413, "too_large"),
        (form, 415, "unsupported_media_type"),
        (request(Method::GET, "/v1/history?limit=many", None), 400, "malformed"),
        (request(Method::GET, "/v1/cost?by=colour", None), 400, "malformed"),
        (request(Method::GET, "/v1/cost?zone=Mars/Base", None), 400, "malformed"),
        (request(Method::GET, "/v1/cost/charges?session=nope", None), 404, "unknown_session"),
        (request(Method::GET, "/v1/nothing", None), 404, "no_such_route"),
        (request(Method::GET, "/nothing", None), 404, "no_such_route"),
        (request(Method::PUT, "/v1/sessions", None), 405, "method_not_allowed"),
    ] {
        let about = format!("{} {}", asked.method(), asked.uri());
        let response = ask(&router, asked).await;
        assert_eq!(response.status(), status, "{about}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{about}");
        let problem = value(response).await;
        assert_eq!(problem["code"], code, "{about}");
        assert_eq!(problem["status"], status, "{about}");
    }
    assert!(engine.asked().is_empty());
}

#[tokio::test]
async fn what_the_engine_refuses_has_its_own_status() {
    let (engine, router) = served();
    for (error, status) in [
        (CommandError::AlreadyLive { session: fake::id(), what: "cluster", name: "c".into() }, 409),
        (CommandError::Refused("it has ended".into()), 409),
        (CommandError::Ambiguous { name: "a".into(), count: 2, ids: "a-1, a-2".into() }, 409),
        (CommandError::Journal("disk full".into()), 503),
        (CommandError::Cloud("no credentials".into()), 502),
    ] {
        *engine.refuse.lock().unwrap() = Some(error.clone());
        let response = ask(&router, request(Method::POST, "/v1/sessions/admission/resume", None)).await;
        assert_eq!(response.status(), status, "{error}");
        assert_eq!(value(response).await["detail"], error.to_string());
    }
}

#[tokio::test]
async fn events_begin_with_the_present_and_end_with_the_session() {
    let (engine, router) = served();
    let response = ask(&router, request(Method::GET, "/v1/sessions/admission/events", None)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let reading = tokio::spawn(response.into_body().collect());
    tokio::task::yield_now().await;
    let mut closed = fake::running();
    closed.phase = Phase::Ended;
    closed.closed_at = Some(fake::noon());
    engine.status.send_replace(Arc::new(closed));
    let text = String::from_utf8(reading.await.unwrap().unwrap().to_bytes().to_vec()).unwrap();
    assert!(text.starts_with("event: status\n"), "{text}");
    assert!(text.contains(r#""phase":"Ended""#), "{text}");
}

#[tokio::test]
async fn the_daemons_own_routes_and_the_page_need_no_token_and_hold_no_data() {
    let (_, router) = served();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/dashboard.js", "/dashboard.css"] {
        let mut asked = request(Method::GET, path, None);
        asked.headers_mut().remove("authorization");
        let response = ask(&router, asked).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains(TOKEN) && !text.contains("admission-7k2m9q\",\"name"), "{path}");
        assert!(!text.contains("innerHTML") && !text.contains("src=\"http"), "{path}");
    }
}

#[tokio::test]
async fn every_path_of_the_document_is_served() {
    let (_, router) = served();
    let document = serde_json::to_value(openapi::specification()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 22);
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let real = path.replace("{session}", "admission").replace("{policy}", "admission");
            let real = real.replace("{lease}", "77-1");
            let body = real.ends_with("/extend").then(|| json!({"limit": "idle", "by": "1h"}));
            let body = if method == Method::POST && real == "/v1/sessions" {
                Some(json!({"policy": "admission"}))
            } else {
                body
            };
            let response = ask(&router, request(method.clone(), &real, body)).await;
            assert!(response.status().is_success(), "{method} {real}: {}", response.status());
        }
    }
}

#[tokio::test]
async fn the_described_shapes_are_the_ones_that_are_sent() {
    let document = serde_json::to_value(openapi::specification()).unwrap();
    let described = |name: &str| {
        let schema = &document["components"]["schemas"][name]["properties"];
        let mut keys: Vec<String> = schema.as_object().unwrap_or_else(|| panic!("{name}")).keys().cloned().collect();
        keys.sort();
        keys
    };
    let sent = |value: Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let budget = serde_json::to_value(fake::budget()).unwrap();
    assert_eq!(described("ThresholdStatus"), sent(budget["thresholds"][0].clone()));
    assert_eq!(described("BudgetStatus"), sent(budget));
    let at = "2026-11-22T14:00:00Z";
    let status = serde_json::to_value(fake::running()).unwrap();
    let receipt = serde_json::to_value(fake::receipt()).unwrap();
    assert_eq!(described("Identity"), sent(status["identity"].clone()));
    assert_eq!(described("Forecast"), sent(status["forecast"].clone()));
    assert_eq!(described("HealthStatus"), sent(status["health"].clone()));
    assert_eq!(described("LastActivity"), sent(status["last_activity"].clone()));
    assert_eq!(described("LeaseStatus"), sent(status["leases"][0].clone()));
    let signs = json!([
        { "source": "url", "sign": "active", "since": at, "last": at, "what": "", "read_at": at, "latency": "0s", "interval": "1m" },
        { "source": "logs", "sign": "unknown", "since": at, "why": "", "read_at": at, "latency": "0s", "interval": "1m" },
    ]);
    let signs: Vec<crate::domain::model::SourceReading> = serde_json::from_value(signs).unwrap();
    let mut members: Vec<String> =
        serde_json::to_value(signs).unwrap().as_array().unwrap().iter().flat_map(|sign| sent(sign.clone())).collect();
    members.sort();
    members.dedup();
    assert_eq!(described("SourceReading"), members);
    assert_eq!(described("Limit"), sent(status["limits"][0].clone()));
    assert_eq!(described("Net"), sent(status["nets"][0].clone()));
    assert_eq!(described("ResourceStatus"), sent(status["resources"][0].clone()));
    let image = json!({ "stage": "pushing", "detail": "", "layers": [
        { "digest": "", "size": 1, "sent": 0, "state": "already_there" }
    ], "since": "2026-11-22T14:00:00Z" });
    let image = serde_json::from_value::<crate::domain::model::ImageProgress>(image).unwrap();
    let image = serde_json::to_value(image).unwrap();
    assert_eq!(described("LayerProgress"), sent(image["layers"][0].clone()));
    assert_eq!(described("ImageProgress"), sent(image));
    assert_eq!(described("ReceiptResource"), sent(receipt["resources"][0].clone()));
    assert_eq!(described("Units"), sent(receipt["lines"][0]["units"].clone()));
    assert_eq!(described("CostLine"), sent(receipt["lines"][0].clone()));
    assert_eq!(described("SessionStatus"), sent(status));
    assert_eq!(described("Receipt"), sent(receipt));
    let mut sweep = fake::swept(true, Vec::new());
    let refused = json!({ "what": "", "why": "", "next": "", "matters": true });
    sweep.not_searched.push(serde_json::from_value(refused).unwrap());
    let sweep = serde_json::to_value(sweep).unwrap();
    assert_eq!(described("Orphan"), sent(sweep["sessions"][0]["things"][0].clone()));
    assert_eq!(described("Swept"), sent(sweep["sessions"][0].clone()));
    assert_eq!(described("NotSearched"), sent(sweep["not_searched"][0].clone()));
    assert_eq!(described("SweepAsked"), sent(sweep["asked"].clone()));
    assert_eq!(described("SweepReport"), sent(sweep));
    let cost = serde_json::to_value(fake::report(&Default::default())).unwrap();
    assert_eq!(described("Share"), sent(cost["shares"][0].clone()));
    assert_eq!(described("Slice"), sent(cost["slices"][0].clone()));
    assert_eq!(described("CostReport"), sent(cost));
    assert_eq!(described("Charge"), sent(serde_json::to_value(fake::charge()).unwrap()));
    assert_eq!(described("Estimate"), sent(serde_json::to_value(fake::estimate()).unwrap()));
}

#[test]
fn the_page_reads_only_what_the_api_sends() {
    let mut sent = std::collections::BTreeSet::new();
    let mut gather = vec![
        serde_json::to_value(fake::running()).unwrap(),
        serde_json::to_value(fake::budget()).unwrap(),
        // What one sign has and another has not.
        json!({ "what": "", "why": "", "last": "" }),
    ];
    while let Some(value) = gather.pop() {
        match value {
            Value::Object(members) => {
                sent.extend(members.keys().cloned());
                gather.extend(members.into_iter().map(|(_, member)| member));
            }
            Value::Array(items) => gather.extend(items),
            _ => {}
        }
    }
    let page = include_str!("dashboard/page.js");
    let mut read = std::collections::BTreeSet::new();
    for thing in ["session.", "one.", "step.", "next."] {
        for (place, _) in page.match_indices(thing) {
            let inside =
                page[..place].ends_with(|before: char| before.is_alphanumeric() || before == '.' || before == '_');
            let member: String = page[place + thing.len()..]
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                .collect();
            if !inside && !member.is_empty() {
                read.insert(member);
            }
        }
    }
    for needed in ["sources", "since", "why", "nets", "state", "detail", "acts_at", "limits", "moved_by", "next_at"] {
        assert!(read.contains(needed), "the page does not show {needed}: {read:?}");
    }
    let unknown: Vec<_> = read.difference(&sent).collect();
    assert!(unknown.is_empty(), "the page reads what nobody sends: {unknown:?}");
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!page.contains(markup), "{markup}: what the API says is text, never markup");
    }
}
