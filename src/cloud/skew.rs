//! How far AWS's clock and ours are apart, by the `Date` of each answer (RFC 9110 §6.6.1; aws-facts §10).
//!
//! Where ours is wrong, instants that AWS acts on are told by AWS's clock (schedules), and those that it tells are taken in by
//! ours (log lines, metrics): what is ours stays by our clock everywhere else. Requests are signed right all the same: the
//! SDK corrects that by itself.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::date_time::{DateTime, Format};

use crate::{
    clock::Clock,
    domain::model::{SAME_CLOCK, Span, Timestamp},
};

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

    /// By how much AWS's clock is ahead of ours where it matters, in milliseconds.
    pub(crate) fn apart(&self) -> Apart {
        Apart(self.ahead().filter(|ahead| ahead.unsigned_abs() >= SAME_CLOCK).unwrap_or_default())
    }
}

/// By how many milliseconds AWS's clock is ahead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apart(i64);

impl Apart {
    /// An instant of ours by AWS's clock.
    pub(crate) fn theirs(self, ours: Timestamp) -> Timestamp {
        Timestamp::from_millis(ours.as_millis().saturating_add(self.0))
    }

    /// An instant of AWS's by our clock.
    pub(crate) fn ours(self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_millis(theirs.as_millis().saturating_sub(self.0))
    }

    /// The same in whole minutes: what is told by the minute stays so.
    pub(crate) fn in_minutes(self) -> Self {
        let minute = i64::try_from(Span::from_mins(1).as_millis()).unwrap_or(i64::MAX);
        Self((self.0 + self.0.signum() * minute / 2) / minute * minute)
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn instants_go_over_and_back_and_the_way_of_an_answer_counts_as_nothing() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let skew = Skew::by(Clock::simulated(now));
        assert_eq!(skew.apart(), Apart(0));
        skew.note(&answer(Some("Wed, 25 Nov 2026 11:59:57 GMT")));
        assert_eq!(skew.apart(), Apart(0));
        skew.note(&answer(Some("Wed, 25 Nov 2026 11:50:10 GMT")));
        let apart = skew.apart();
        assert_eq!(apart.theirs(now).to_string(), "2026-11-25T11:50:10Z");
        assert_eq!(apart.ours(apart.theirs(now)), now);
        assert_eq!(apart.in_minutes(), Apart(-600_000));
        assert_eq!((Apart(89_999).in_minutes(), Apart(-90_000).in_minutes()), (Apart(60_000), Apart(-120_000)));
    }
}
