//! Who we are to AWS: the account, the caller and the region that every session is bound to. Asks; never changes.

use super::Cloud;
use crate::domain::model::{Fault, Identity};

impl Cloud {
    /// Asks `sts:GetCallerIdentity`, which needs no right. Fresh on every call.
    ///
    /// # Errors
    /// `Expired` when the credentials are missing, expired or invalid; else AWS's refusal.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let answer = self.call("sts:GetCallerIdentity", self.inner.sts.get_caller_identity().send()).await?;
        let identity = Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            region: self.inner.region.clone(),
        };
        let _ = self.inner.identity.set(identity.clone());
        Ok(identity)
    }

    /// The account and partition (`aws`, `aws-cn`, …), asked for once.
    pub(crate) async fn account(&self) -> Result<(String, String), Fault> {
        let identity = match self.inner.identity.get() {
            Some(known) => known.clone(),
            None => self.identity().await?,
        };
        let partition = identity.arn.split(':').nth(1).unwrap_or("aws").to_owned();
        Ok((identity.account, partition))
    }
}
