//! Whose account this is, asked again now and then.
//!
//! A session's resources live in the account that made them. Read with another account's credentials (a
//! profile that was switched, a sandbox in place of AWS) they would all look absent, and an ending session
//! would count as clean while it goes on costing. So no look counts before the account is known to be the
//! session's own.

use std::{
    sync::{Arc, Mutex as PlainMutex},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::engine::lock;
use crate::{
    cloud::Cloud,
    domain::model::{Fault, Identity},
};

/// How long an answer is trusted; credentials can be switched while the daemon runs.
const TRUSTED_FOR: Duration = Duration::from_secs(300);

/// So long before that it is asked anew, beside the loop: no session's limit waits for the answer.
const ASKED_EARLY: Duration = Duration::from_secs(60);

/// The cached answer.
#[derive(Debug, Default)]
pub struct WhoAmI {
    answer: Arc<PlainMutex<Answer>>,
    /// Held by who asks while nothing that counts is known; the others wait for the same answer.
    first: Mutex<()>,
}

#[derive(Debug, Default)]
struct Answer {
    known: Option<(Instant, Identity)>,
    /// Whether it is being asked anew.
    asking: bool,
}

impl Answer {
    /// What was known stands a while longer: then it is asked anew, beside the loop.
    fn stand(&mut self) {
        let young = Instant::now().checked_sub(TRUSTED_FOR - ASKED_EARLY);
        if let (Some((at, _)), Some(young)) = (&mut self.known, young) {
            *at = (*at).max(young);
        }
    }
}

impl WhoAmI {
    /// Why a session of `home` must not be looked at now; none when it may.
    pub async fn stranger(&self, cloud: &Cloud, home: &Identity) -> Option<String> {
        match self.ask(cloud).await {
            Ok(here) if here.account == home.account && here.region == home.region => None,
            Ok(here) => Some(format!(
                "this session lives in account {} ({}), but the present credentials are for account {} ({}); \
                 give the daemon the right profile: until then the session is neither guarded nor removed",
                home.account, home.region, here.account, here.region
            )),
            Err(fault) => {
                Some(format!("AWS does not say whose account this is, so the session cannot be looked at: {fault}"))
            }
        }
    }

    async fn ask(&self, cloud: &Cloud) -> Result<Identity, Fault> {
        if let Some(identity) = self.trusted(cloud) {
            return Ok(identity);
        }
        let _first = self.first.lock().await;
        if let Some(identity) = self.trusted(cloud) {
            return Ok(identity);
        }
        let answer = cloud.identity().await;
        let mut state = lock(&self.answer);
        match answer {
            Ok(identity) => {
                state.known = Some((Instant::now(), identity.clone()));
                Ok(identity)
            }
            Err(fault) => match &state.known {
                // A passing fault does not make us strangers; the last answer stands until there is another.
                Some((_, identity)) if fault.class.may_pass() => {
                    let identity = identity.clone();
                    state.stand();
                    Ok(identity)
                }
                _ => Err(fault),
            },
        }
    }

    /// The last answer while it is trusted; asked anew beside the loop when it soon will not be.
    fn trusted(&self, cloud: &Cloud) -> Option<Identity> {
        let mut state = lock(&self.answer);
        // While it is asked anew, too: that ends by itself, and nobody waits for it.
        let trusts = |at: &Instant| at.elapsed() < TRUSTED_FOR || state.asking && at.elapsed() < 2 * TRUSTED_FOR;
        let (at, identity) = state.known.clone().filter(|(at, _)| trusts(at))?;
        if at.elapsed() >= TRUSTED_FOR - ASKED_EARLY && !std::mem::replace(&mut state.asking, true) {
            let (answer, cloud) = (Arc::clone(&self.answer), cloud.clone());
            tokio::spawn(async move {
                let asked = cloud.identity().await;
                let mut state = lock(&answer);
                state.asking = false;
                match asked {
                    Ok(identity) => state.known = Some((Instant::now(), identity)),
                    // Refused for good: known no more, so that the next look asks and says why.
                    Err(fault) if !fault.class.may_pass() => state.known = None,
                    Err(fault) => {
                        state.stand();
                        tracing::debug!(%fault, "whose account this is could not be asked anew yet");
                    }
                }
            });
        }
        Some(identity)
    }
}
