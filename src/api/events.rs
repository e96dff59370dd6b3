//! Server-sent events: a session's status, or a sweep's report, as it changes.
//!
//! Guarantees: the present state comes first; a slow reader misses intermediate states, never the latest; the stream ends
//! after the last, which is the status that closes the session, or the report of a sweep that is over.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use tokio::sync::watch;

use super::{problem::Problem, schema, server::Shared};
use crate::reconcile::{handle::SweepReport, status::SessionStatus};

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
    let shown = |status: &SessionStatus| {
        let event = Event::default().event("status").id(status.at.as_millis().to_string());
        event.json_data(status).ok().map(|event| (event, status.closed_at.is_some()))
    };
    Ok(streamed(receiver, shown))
}

/// A sweep's report as it changes: events named `sweep`, each a whole report as JSON.
#[utoipa::path(get, path = "/v1/sweep/events", tag = "accounts",
    responses((status = 200, description = "Events named `sweep`; the stream ends when the sweep is over",
            body = schema::SweepReport, content_type = "text/event-stream"),
        (status = 409, description = "No sweep has removed anything in this daemon's run", body = Problem)))]
pub(super) async fn follow_sweep(
    State(shared): State<Shared>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let shown = |report: &SweepReport| {
        Event::default().event("sweep").json_data(report).ok().map(|event| (event, report.is_over()))
    };
    Ok(streamed(super::ledger::last_sweep(&shared)?, shown))
}

/// Every state as `shown` writes it, to the one that it calls the last.
fn streamed<T: Send + Sync + 'static>(
    receiver: watch::Receiver<Arc<T>>,
    shown: fn(&T) -> Option<(Event, bool)>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(Next::Present(receiver), move |state| next(state, shown));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

enum Next<T> {
    Present(watch::Receiver<Arc<T>>),
    Change(watch::Receiver<Arc<T>>),
    End,
}

async fn next<T>(
    state: Next<T>,
    shown: fn(&T) -> Option<(Event, bool)>,
) -> Option<(Result<Event, Infallible>, Next<T>)> {
    let mut receiver = match state {
        Next::Present(receiver) => receiver,
        Next::Change(mut receiver) => {
            receiver.changed().await.ok()?;
            receiver
        }
        Next::End => return None,
    };
    let present = receiver.borrow_and_update().clone();
    let (event, last) = shown(&present)?;
    let rest = if last { Next::End } else { Next::Change(receiver) };
    Some((Ok(event), rest))
}
