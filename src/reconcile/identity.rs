//! Whose account this is, asked again now and then.
//!
//! A session's resources live in the account that made them. Read with another account's credentials (a
//! profile that was switched, a sandbox in place of AWS) they would all look absent, and an ending session
//! would count as clean while it goes on costing. So no look counts before the account is known to be the
//! session's own.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::{
    cloud::Cloud,
    domain::model::{Fault, Identity},
};

/// How long an answer is trusted; credentials can be switched while the daemon runs.
const TRUSTED_FOR: Duration = Duration::from_secs(300);

/// The cached answer.
#[derive(Debug, Default)]
pub struct WhoAmI {
    known: Mutex<Option<(Instant, Identity)>>,
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
        let mut known = self.known.lock().await;
        if let Some((at, identity)) = &*known
            && at.elapsed() < TRUSTED_FOR
        {
            return Ok(identity.clone());
        }
        match cloud.identity().await {
            Ok(identity) => {
                *known = Some((Instant::now(), identity.clone()));
                Ok(identity)
            }
            Err(fault) => match &*known {
                // A passing fault does not make us strangers; the last answer stands until there is another.
                Some((_, identity)) if fault.class.may_pass() => Ok(identity.clone()),
                _ => Err(fault),
            },
        }
    }
}
