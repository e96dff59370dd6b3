//! When a registry's refusal is worth another try, and when that is: by class, with doubling waits.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};

/// Tries of one thing, the first included.
const TRIES: u32 = 6;

/// The first wait; each next one is twice as long.
const FIRST: Duration = Duration::from_millis(500);

/// Longest wait, whatever the registry says.
const LONGEST: Duration = Duration::from_secs(120);

/// The tries of one thing.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failed: u32,
    /// Whether a new login was got for it.
    pub(super) logged_in: bool,
}

impl Tries {
    /// After a failure: how long to wait for the next try; none when it was the last.
    pub(super) fn again(&mut self, asked_to_wait: Option<Duration>) -> Option<Duration> {
        self.failed += 1;
        let doubled = FIRST * 2_u32.pow(self.failed.min(10) - 1);
        (self.failed < TRIES).then(|| asked_to_wait.unwrap_or_default().max(doubled).min(LONGEST))
    }

    /// Tries that failed so far.
    pub(super) fn made(&self) -> u32 {
        self.failed
    }
}

/// Whether an answer may be another one later.
pub(super) fn may_pass(answer: &Response<Bytes>) -> bool {
    let status = answer.status();
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// `Retry-After` in seconds.
pub(super) fn asked_to_wait(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_heed_the_registry_and_end() {
        let mut tries = Tries::default();
        let waits: Vec<u64> = std::iter::from_fn(|| tries.again(None)).map(|wait| wait.as_millis() as u64).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000]);
        let mut tries = Tries::default();
        assert_eq!(tries.again(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(tries.again(Some(Duration::from_secs(9999))), Some(LONGEST));
    }
}
