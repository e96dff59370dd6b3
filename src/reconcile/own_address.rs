//! Keeps the address that labguard calls from: asked when a session needs it, and again while one does.
//!
//! It is an observation like any other: turns read what is known, decisions make the plan. Guarantees: no turn waits for
//! it; it is asked at most once at a time, for all sessions; what was learnt stands until there is another answer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, lock};
use crate::{domain::model::OwnAddress, probe::own_address::Mirror};

/// Between questions while it is known: addresses at home and in labs change without notice, and a guard in a task wants
/// to hear from labguard within its lease.
const AGAIN: Duration = Duration::from_secs(60);

/// The same while it is not.
const SOON: Duration = Duration::from_secs(15);

/// What is known of it.
#[derive(Debug)]
pub(super) struct Own {
    mirror: Arc<dyn Mirror>,
    known: Mutex<OwnAddress>,
    needed: Notify,
}

impl Own {
    pub(super) fn new(mirror: Arc<dyn Mirror>) -> Self {
        Self { mirror, known: Mutex::new(OwnAddress::Asking), needed: Notify::new() }
    }

    /// What is known now; asked for, beside the loop, if it is not known or was not asked lately.
    pub(super) fn reading(&self) -> OwnAddress {
        self.needed.notify_one();
        lock(&self.known).clone()
    }

    /// Asks; whether there is news.
    async fn ask(&self) -> bool {
        let answer = self.mirror.ask().await;
        let mut known = lock(&self.known);
        let fresh = match (answer, &*known) {
            (Ok(address), _) => OwnAddress::Known(address),
            (Err(error), OwnAddress::Known(address)) => {
                tracing::debug!(%error, %address, "the own address could not be asked for again; the last one stands");
                return false;
            }
            (Err(error), _) => OwnAddress::Unknown(error.to_string()),
        };
        if *known == fresh {
            return false;
        }
        match (&*known, &fresh) {
            (OwnAddress::Known(old), OwnAddress::Known(new)) => {
                tracing::info!(%old, %new, "the own address has changed; ports that only it may reach follow");
            }
            (_, OwnAddress::Known(address)) => tracing::info!(%address, "this is the own address"),
            (_, OwnAddress::Unknown(why)) => {
                tracing::warn!("the own address is not known, and ports for it stay closed: {why}");
            }
            (_, OwnAddress::Asking) => {}
        }
        *known = fresh;
        true
    }
}

/// Runs until `stop`.
pub async fn keep(engine: Arc<Engine>, stop: CancellationToken) {
    let asking = async {
        loop {
            engine.own.needed.notified().await;
            if engine.own.ask().await {
                for slot in engine.slots() {
                    engine.wake(&slot.id);
                }
            }
            let known = matches!(*lock(&engine.own.known), OwnAddress::Known(_));
            tokio::time::sleep(if known { AGAIN } else { SOON }).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(asking).await;
}
