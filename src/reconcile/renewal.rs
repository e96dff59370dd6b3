//! Renews the lease of a task's sentinel, so that the task lives while labguard does, and not much longer.
//!
//! Guarantees: never promises beyond the instant that the last plan gave; asks so often that three renewals in a row
//! may fail before the lease ends, however long that is. Must never end a task: how renewals go is written down, and the
//! slot is woken when that has changed for good (at most once in a quarter of a lease), so that the loop tells of it.

use std::sync::{Arc, Mutex, atomic::Ordering};

use super::{
    engine::{Engine, lock},
    lanes::Watched,
};
use crate::{
    activity::sentinel::{self, Question, ReadError, RenewError, Signer, Use, Wish},
    domain::{
        model::{RenewalReading, SentinelLease, SessionId, Span, with_causes},
        policy::{Policy, Sentinel},
    },
};

/// Renewals in the length of a lease.
const TIMES: u64 = 4;

/// Between two renewals, at the most: an extension of the session has reached its sentinel by then.
const LONGEST: Span = Span::from_secs(60);

/// Who renews, and what the plan allows.
pub struct Renewals {
    signer: Signer,
    question: Question,
    lease: Span,
    allowed: Arc<Mutex<Option<SentinelLease>>>,
}

/// How far the renewals of one task have come.
#[derive(Debug, Default)]
pub struct Course {
    serial: u64,
    /// The connections that an earlier labguard has told of; they go on counting.
    earlier: Option<u64>,
    silent: bool,
    /// What was left of the lease by the last answer.
    left: Option<Span>,
    /// How they went when the slot was last woken for that.
    told: Option<bool>,
}

impl Course {
    /// Whether no answer is no news: the task does not run yet, and its sentinel has never answered.
    pub fn is_early(&self, watched: &Watched) -> bool {
        self.left.is_none() && !*watched.runs.borrow()
    }
}

impl Renewals {
    /// For a task whose policy has a sentinel that labguard may reach.
    pub fn of(
        engine: &Engine,
        session: &SessionId,
        policy: &Policy,
        allowed: Arc<Mutex<Option<SentinelLease>>>,
    ) -> Option<Self> {
        let fuse = &policy.fuse;
        if fuse.sentinel != Sentinel::Own || fuse.sources.is_empty() {
            return None;
        }
        let question = Question { port: fuse.port, timeout: policy.health.timeout };
        match engine.signer(session) {
            Ok(signer) => Some(Self { signer, question, lease: fuse.lease, allowed }),
            Err(error) => {
                tracing::error!(%error, "the task's lease cannot be renewed; it ends with it");
                None
            }
        }
    }

    /// The time between two renewals; shorter where its counts are read more often, and where its lease is: towards the
    /// end of a session that may still be extended, or with one that the sentinel cut.
    pub fn every(&self, reads: Option<Span>, course: &Course) -> Span {
        let lease = course.left.map_or(self.lease, |left| left.min(self.lease));
        let every = Span::from_millis(lease.as_millis() / TIMES).clamp(Span::from_secs(1), LONGEST);
        reads.map_or(every, |reads| every.min(reads))
    }

    /// Renews once: what the sentinel has counted, or why it could not be renewed; nothing before the first plan.
    pub async fn renew(&self, watched: &Watched, course: &mut Course) -> Option<Result<Use, String>> {
        let allowed = (*lock(&self.allowed))?;
        let renewed = self.ask(watched, allowed, course).await;
        match &renewed {
            Ok(_) if std::mem::take(&mut course.silent) => {
                tracing::info!(session.id = %watched.session, "the sentinel answers again; its lease is renewed");
            }
            Ok(_) => {}
            Err(error) => {
                if !std::mem::replace(&mut course.silent, true) {
                    tracing::debug!(session.id = %watched.session, %error, "the lease was not renewed; tried again soon");
                }
            }
        }
        Some(renewed.map_err(|error| with_causes(&error)))
    }

    /// Writes down how one went; wakes the slot when what is told of them may change.
    pub fn write_down(&self, watched: &Watched, course: &mut Course, went: &Result<Use, String>) {
        let at = watched.clock.now();
        let verdict = {
            let mut reading = lock(&watched.reading);
            let renewals = reading.renewals.get_or_insert_with(|| RenewalReading::new(watched.target.task, at));
            match went {
                Ok(told) => renewals.accepted(at, Span::from_millis(told.lease_left_ms)),
                Err(why) => renewals.failed(at, why.clone()),
            }
            renewals.verdict(self.lease, at)
        };
        if let Some(verdict) = verdict
            && course.told.replace(verdict) != Some(verdict)
        {
            watched.wake();
        }
    }

    async fn ask(&self, watched: &Watched, allowed: SentinelLease, course: &mut Course) -> Result<Use, RenewError> {
        let now = watched.clock.now();
        let day = u64::try_from(now.as_millis()).unwrap_or(0);
        let (transport, ip) = (&*watched.transport, watched.target.ip.as_str());
        let earlier = match course.earlier {
            Some(earlier) => earlier,
            None => {
                let serial = day.max(course.serial);
                let told = sentinel::read(transport, ip, &self.question, &self.signer, serial).await;
                if let Err(ReadError::Refused { last_serial: Some(last), .. }) = &told {
                    course.serial = course.serial.max(*last);
                }
                let told = told?;
                course.serial = course.serial.max(told.serial);
                *course.earlier.insert(told.probes)
            }
        };
        course.serial = day.max(course.serial + 1);
        let wish = Wish {
            serial: course.serial,
            lease: self.lease.min(allowed.until.since(now)).max(Span::from_secs(1)),
            idle: allowed.idle,
            probes: earlier + watched.connections.load(Ordering::Relaxed),
        };
        let renewed = sentinel::renew(transport, ip, &self.question, &self.signer, &wish).await;
        if let Err(RenewError::Stale { last_serial }) = &renewed {
            // Our clock was set back: the next one is above the last.
            course.serial = course.serial.max(*last_serial);
        }
        let usage = renewed?.usage;
        course.left = Some(Span::from_millis(usage.lease_left_ms));
        Ok(usage)
    }
}
