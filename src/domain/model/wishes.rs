//! What people and programs asked for, kept in the record for as long as it stands.
//!
//! A wish changes nothing by itself: what becomes of it is for `domain::decide` to say.

use serde::{Deserialize, Serialize};

use super::{
    event::{Extension, Request},
    money::Money,
    phase::Stage,
    record::Record,
    time::{Span, Timestamp},
};

/// What has been asked for and not yet become an [`Ending`](super::Ending) or a resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Desired {
    /// End, and why.
    pub end: Option<String>,
    /// Stop, and why.
    pub stop: Option<String>,
    /// Resume.
    pub resume: bool,
}

/// By how much soft limits were moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Extensions {
    /// More lifetime.
    pub lifetime: Span,
    /// More budget.
    pub budget: Money,
    /// Not idle before then.
    pub idle_until: Option<Timestamp>,
}

/// A program's word that it uses the session while it runs, good until it expires or is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who or what holds it.
    pub by: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// For how long each renewal is good.
    pub ttl: Span,
    /// When it lapses unless it is renewed.
    pub expires_at: Timestamp,
}

impl Lease {
    /// When it lapses at the latest, seen from `now`: a clock that was set back does not make it last longer.
    #[must_use]
    pub fn lapses(&self, now: Timestamp) -> Timestamp {
        self.expires_at.min(now + self.ttl)
    }
}

impl Record {
    /// Takes a wish in.
    pub(super) fn requested(&mut self, at: Timestamp, request: &Request) {
        match request {
            Request::End { reason } => self.desired.end = Some(reason.clone()),
            Request::Stop { reason } => {
                self.desired.stop = Some(reason.clone());
                self.desired.resume = false;
            }
            Request::Resume => {
                // Only what is stopped, or on its way to it, can be resumed; a late wish must not undo a later stop.
                self.desired.resume = self.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Stop);
                self.desired.stop = None;
            }
            Request::Touch { by } => self.active(at, "touch", by),
            Request::Lease { lease, by, ttl } => {
                self.leases.retain(|id, known| id == lease || known.expires_at > at);
                let opened_at = self.leases.get(lease).map_or(at, |known| known.opened_at);
                let held = Lease { by: by.clone(), opened_at, renewed_at: at, ttl: *ttl, expires_at: at + *ttl };
                self.leases.insert(lease.clone(), held);
                self.active(at, "lease", by);
            }
            Request::Release { lease } => {
                if let Some(held) = self.leases.remove(lease) {
                    self.active(at.min(held.expires_at), "lease", &held.by);
                }
            }
            Request::Extend(Extension::Lifetime { by }) => {
                self.extensions.lifetime = self.extensions.lifetime + *by;
            }
            Request::Extend(Extension::Budget { by }) => self.extensions.budget += *by,
            Request::Extend(Extension::Idle { by }) => {
                self.extensions.idle_until = self.extensions.idle_until.max(Some(at + *by));
            }
        }
    }
}
