//! The sandbox over TCP.
//!
//! Guarantees: serves HTTP/1.1 until `stop`; a fault that loses an answer closes the connection without one. Bodies
//! are read whole, at most 2 GiB. Never listens by itself: the caller binds.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{NoAnswer, Sandbox};

const LARGEST_BODY: usize = 2 << 30;

async fn one(sandbox: Sandbox, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, NoAnswer> {
    if let Some(answer) = about_itself(&sandbox, request.uri().path()) {
        return Ok(answer.map(Full::new));
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(NoAnswer(format!("the request's body broke off: {error}"))),
    };
    sandbox.answer(http::Request::from_parts(parts, body)).await.map(|response| response.map(Full::new))
}

/// What AWS has not: the sandbox's own account of itself, for tests and curious people.
///
/// `/_labguard/leftovers` lists everything beyond the account's initial state, `/_labguard/calls` counts the calls.
fn about_itself(sandbox: &Sandbox, path: &str) -> Option<http::Response<Bytes>> {
    let body = match path.strip_prefix("/_labguard/")? {
        "leftovers" => serde_json::to_vec(&sandbox.leftovers()),
        "calls" => serde_json::to_vec(&sandbox.calls()),
        "health" => Ok(b"{\"healthy\":true}".to_vec()),
        _ => return None,
    };
    let response = http::Response::builder().header(http::header::CONTENT_TYPE, "application/json");
    response.body(Bytes::from(body.ok()?)).ok()
}

/// Serves until `stop`; then open connections get their running answers and are closed.
pub(super) async fn serve(sandbox: Sandbox, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (sandbox, stop) = (sandbox.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| one(sandbox.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), connection).await;
                }
            }
        });
    }
    connections.close();
    connections.wait().await;
    Ok(())
}
