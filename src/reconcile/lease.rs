//! Renews the lease of a task's sentinel, so that the task lives while labguard does, and not much longer.
//!
//! Guarantees: never promises beyond the instant that the last plan gave; asks so often that three renewals in a row
//! may fail before the lease ends. Must never end a task: a sentinel that cannot be reached is told of, no more.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::sleep;

use super::engine::lock;
use crate::{
    activity::sentinel::{self, Question, RenewError, Signer, Wish},
    clock::Clock,
    domain::{
        model::{Lease, Span},
        policy::Policy,
    },
    transport::Transport,
};

/// Renewals in the length of a lease.
const TIMES: u64 = 4;

/// Between two renewals, at the most: an extension of the session has reached its sentinel by then.
const LONGEST: Span = Span::from_secs(60);

/// One task's renewals.
pub(super) struct LeaseKeeper {
    pub transport: Arc<dyn Transport>,
    pub clock: Clock,
    pub ip: String,
    pub policy: Arc<Policy>,
    pub signer: Signer,
    /// What the last plan allows.
    pub lease: Arc<Mutex<Option<Lease>>>,
    /// Connections that labguard began since it watches this task.
    pub connections: Arc<AtomicU64>,
}

impl LeaseKeeper {
    /// Renews until it is dropped.
    pub(super) async fn keep(self) {
        let fuse = &self.policy.fuse;
        let every = Span::from_millis(fuse.lease.as_millis() / TIMES).min(LONGEST);
        let question = Question { port: fuse.port, timeout: self.policy.health.timeout };
        let mut serial = 0;
        let mut earlier = None;
        let mut silent = false;
        loop {
            let allowed = *lock(&self.lease);
            let mut again = every;
            if let Some(allowed) = allowed {
                let renewed = self.renew(&question, allowed, &mut serial, &mut earlier).await;
                match renewed {
                    Ok(()) if std::mem::take(&mut silent) => {
                        tracing::info!(ip = %self.ip, "the sentinel answers again; its lease is renewed");
                    }
                    Ok(()) => {}
                    Err(error) => {
                        if !std::mem::replace(&mut silent, true) {
                            tracing::debug!(ip = %self.ip, %error, "the sentinel's lease was not renewed; tried again");
                        }
                        again = Span::from_secs(5).min(every);
                    }
                }
            } else {
                again = Span::from_secs(1);
            }
            sleep(again.as_duration()).await;
        }
    }

    async fn renew(
        &self,
        question: &Question,
        allowed: Lease,
        serial: &mut u64,
        earlier: &mut Option<u64>,
    ) -> Result<(), RenewError> {
        let now = self.clock.now();
        let day = u64::try_from(now.as_millis()).unwrap_or(0);
        // What an earlier labguard has told of its own connections goes on counting.
        let base = match *earlier {
            Some(base) => base,
            None => {
                let usage = sentinel::read(&*self.transport, &self.ip, question, &self.signer, day.max(*serial)).await;
                let told = match usage {
                    Ok(usage) => usage,
                    Err(error) => return Err(self.behind(serial, error)),
                };
                *serial = (*serial).max(told.serial);
                *earlier.insert(told.probes)
            }
        };
        *serial = day.max(*serial + 1);
        let lease = self.policy.fuse.lease.min(allowed.until.since(now)).max(Span::from_secs(1));
        let probes = base + self.connections.load(Ordering::Relaxed);
        let wish = Wish { serial: *serial, lease, idle: allowed.idle, probes };
        match sentinel::renew(&*self.transport, &self.ip, question, &self.signer, &wish).await {
            Ok(_) => Ok(()),
            Err(RenewError::Stale { last_serial }) => {
                // Our clock was set back: the next one is above the last.
                *serial = (*serial).max(last_serial);
                Err(RenewError::Stale { last_serial })
            }
            Err(error) => Err(error),
        }
    }

    /// A read that was refused for its serial tells the last one.
    fn behind(&self, serial: &mut u64, error: sentinel::ReadError) -> RenewError {
        if let sentinel::ReadError::Refused { last_serial: Some(last), .. } = &error {
            *serial = (*serial).max(*last);
        }
        RenewError::Read(error)
    }
}
