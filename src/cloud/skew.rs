//! How far AWS's clock and ours are apart, by the `Date` of each answer (RFC 9110 §6.6.1; aws-facts §10).
//!
//! Where ours is wrong, instants that AWS acts on are told by AWS's clock (schedules), and those that it tells are taken in by
//! ours (log lines, metrics): what is ours stays by our clock everywhere else. Requests are signed right all the same: the
//! SDK corrects that by itself.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::date_time::{DateTime, Format};

use crate::{clock::Clock, domain::model::Apart};

/// What the answers' dates say.
#[derive(Clone, Debug)]
pub(crate) struct Skew {
    ours: Clock,
    /// By how many milliseconds AWS's clock is ahead of ours.
    ahead: Arc<Mutex<Option<i64>>>,
}

impl Skew {
    pub(crate) fn by(ours: Clock) -> Self {
        Self { ours, ahead: Arc::default() }
    }

    /// Takes in the date of an answer that has just come.
    pub(crate) fn note(&self, answer: &HttpResponse) {
        let date = answer.headers().get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let Some(theirs) = date.and_then(|date| date.to_millis().ok()) else { return };
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(theirs - self.ours.now().as_millis());
    }

    /// By how many milliseconds AWS's clock is ahead of ours (less than nothing: behind), by its last answer; good to
    /// about a second, since its dates have no parts of one.
    pub(crate) fn ahead(&self) -> Option<i64> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, where it matters.
    pub(crate) fn apart(&self) -> Apart {
        Apart::by(self.ahead())
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::domain::model::Timestamp;

    fn answer(date: Option<&str>) -> HttpResponse {
        let mut answer = http::Response::builder().status(200);
        if let Some(date) = date {
            answer = answer.header("Date", date);
        }
        HttpResponse::try_from(answer.body(SdkBody::empty()).unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_date_that_can_be_read_counts() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let skew = Skew::by(Clock::simulated(now));
        assert_eq!(skew.ahead(), None);
        skew.note(&answer(None));
        skew.note(&answer(Some("tomorrow")));
        assert_eq!(skew.ahead(), None);
        skew.note(&answer(Some("Wed, 25 Nov 2026 12:10:00 GMT")));
        assert_eq!(skew.ahead(), Some(600_000));
        skew.note(&answer(Some("Wed, 25 Nov 2026 11:59:58 GMT")));
        assert_eq!(skew.ahead(), Some(-2_000));
    }
}
