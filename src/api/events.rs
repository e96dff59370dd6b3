//! Server-sent events: a session's status as it changes.
//!
//! Guarantees: the present status comes first; a slow reader misses intermediate states, never the latest;
//! the stream ends after the status that closes the session.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use tokio::sync::watch;

use super::{problem::Problem, schema, server::Shared};
use crate::reconcile::status::SessionStatus;

/// How often a comment is sent while nothing changes, so that dead connections are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A session's status as it changes: events named `status`, each a whole status as JSON.
#[utoipa::path(get, path = "/v1/sessions/{session}/events", tag = "sessions",
    params(("session" = String, Path, description = "Id, or the name where only one is live")),
    responses((status = 200, description = "Events named `status`; the stream ends when the session is closed",
            body = schema::SessionStatus, content_type = "text/event-stream"),
        (status = 404, description = "No such session", body = Problem)))]
pub(super) async fn follow(
    State(shared): State<Shared>,
    Path(session): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let receiver = shared.handle.follow(&session)?;
    let events = stream::unfold(Next::Present(receiver), next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

enum Next {
    Present(watch::Receiver<Arc<SessionStatus>>),
    Change(watch::Receiver<Arc<SessionStatus>>),
    End,
}

async fn next(state: Next) -> Option<(Result<Event, Infallible>, Next)> {
    let mut receiver = match state {
        Next::Present(receiver) => receiver,
        Next::Change(mut receiver) => {
            receiver.changed().await.ok()?;
            receiver
        }
        Next::End => return None,
    };
    let status = receiver.borrow_and_update().clone();
    let event = Event::default().event("status").id(status.at.as_millis().to_string()).json_data(&*status).ok()?;
    let rest = if status.closed_at.is_some() { Next::End } else { Next::Change(receiver) };
    Some((Ok(event), rest))
}
