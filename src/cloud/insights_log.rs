//! The log group of Container Insights, `/aws/ecs/containerinsights/CLUSTER/performance` (aws-facts §7).
//!
//! labguard makes it before AWS does, as any other log group, so that it bears the session's tag. What AWS writes late may
//! make it anew after its removal, without any tag: such a one is this session's as long as no other cluster bears the
//! name that it is called by. Guarantees: one with another session's tag, or of another's cluster, is never removed; it
//! is only asked of for a session whose journal says that it made it.

use super::{Cloud, Owner, sighting};
use crate::domain::model::{Effect, Fault, Removal, SESSION_TAG, Sighting};

/// Their names begin so.
pub(super) const INSIGHTS_LOGS: &str = "/aws/ecs/containerinsights/";

/// The cluster that a group is called by.
fn cluster_of(name: &str) -> &str {
    name.strip_prefix(INSIGHTS_LOGS).and_then(|rest| rest.strip_suffix("/performance")).unwrap_or_default()
}

impl Cloud {
    /// The group's ARN and whether it is this session's.
    async fn find_insights_log(&self, owner: Owner<'_>, name: &str) -> Result<Option<(String, bool)>, Fault> {
        let Some((arn, tags)) = self.read_log_group(name).await? else { return Ok(None) };
        let ours = match tags.get(SESSION_TAG) {
            Some(session) => owner.bears(session),
            None => {
                let cluster = cluster_of(name);
                !cluster.is_empty() && !self.is_anothers_cluster(owner, cluster).await?
            }
        };
        Ok(Some((arn, ours)))
    }

    pub(crate) async fn look_insights_log(
        &self,
        owner: Owner<'_>,
        removal: &Removal,
    ) -> Result<Option<Sighting>, Fault> {
        let found = self.find_insights_log(owner, &removal.name).await?;
        Ok(found.map(|(arn, ours)| sighting(arn, ours)))
    }

    pub(crate) async fn remove_insights_log(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        match self.find_insights_log(owner, &removal.name).await? {
            None => Ok(Effect::AlreadyGone),
            Some((_, false)) => Ok(Effect::NotOurs),
            Some((_, true)) => self.delete_log_group(&removal.name).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_called_by_its_cluster() {
        assert_eq!(cluster_of("/aws/ecs/containerinsights/lab-1/performance"), "lab-1");
        for other in ["/aws/ecs/containerinsights/lab-1", "/labguard/lab-1", "/aws/ecs/containerinsights//performance"]
        {
            assert_eq!(cluster_of(other), "", "{other}");
        }
    }
}
