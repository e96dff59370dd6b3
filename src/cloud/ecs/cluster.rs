//! Clusters. CreateCluster answers 200 with somebody else's cluster, so it is never trusted (aws-facts §1.3).

use aws_sdk_ecs::types::{Cluster, ClusterField, ClusterSetting, ClusterSettingName};

use super::{is_ours, our_tags};
use crate::{
    cloud::{
        Cloud, Ensured, Owner,
        fault::{of_failure, own},
        found_foreign, sighting,
    },
    domain::model::{Effect, Fault, FaultClass, Removal, ResourceKind, Sighting},
};

const DESCRIBE: &str = "ecs:DescribeClusters";
const CREATE: &str = "ecs:CreateCluster";
const DELETE: &str = "ecs:DeleteCluster";

impl Cloud {
    /// The cluster with its tags; `None` when MISSING or INACTIVE.
    async fn find_cluster(&self, name: &str) -> Result<Option<Cluster>, Fault> {
        let sent = self.inner.ecs.describe_clusters().clusters(name).include(ClusterField::Tags).send();
        let answer = self.call(DESCRIBE, sent).await?;
        if let Some(cluster) = answer.clusters.unwrap_or_default().into_iter().next() {
            return Ok((cluster.status() != Some("INACTIVE")).then_some(cluster));
        }
        match answer.failures.unwrap_or_default().first() {
            Some(failure) if failure.reason() != Some("MISSING") => {
                Err(of_failure(DESCRIBE, failure.reason(), failure.detail()))
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn ensure_cluster(
        &self,
        owner: Owner<'_>,
        name: &str,
        (spot, insights): (bool, bool),
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        if let Some(cluster) = self.find_cluster(name).await? {
            return judge(owner, name, &cluster, adopt, Effect::AlreadyThere);
        }
        // Always said: what is not said is as the account's default has it (aws-facts §1.3).
        let value = if insights { "enabled" } else { "disabled" };
        let insights = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value(value).build();
        let mut create =
            self.inner.ecs.create_cluster().cluster_name(name).set_tags(Some(our_tags(owner))).settings(insights);
        if spot {
            create = create.capacity_providers("FARGATE").capacity_providers("FARGATE_SPOT");
        }
        let answer = self.call(CREATE, create.send()).await?;
        // The answer may be a cluster that somebody made a moment ago: only its tags, freshly read, tell.
        match self.find_cluster(name).await? {
            Some(cluster) => judge(owner, name, &cluster, adopt, Effect::Created),
            None => match answer.cluster {
                Some(cluster) if is_ours(owner, cluster.tags()) => {
                    Ok(Ensured::new(Effect::Created, cluster.cluster_arn.unwrap_or_default()))
                }
                _ => Err(own(
                    FaultClass::Dependency,
                    CREATE,
                    "NotVisibleYet",
                    format!("the cluster {name} is made but cannot be read yet"),
                    None,
                )),
            },
        }
    }

    /// Whether there is a cluster of that name that is not this session's.
    pub(crate) async fn is_anothers_cluster(&self, owner: Owner<'_>, name: &str) -> Result<bool, Fault> {
        Ok(self.find_cluster(name).await?.is_some_and(|cluster| !is_ours(owner, cluster.tags())))
    }

    pub(crate) async fn look_cluster(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let Some(cluster) = self.find_cluster(&removal.name).await? else { return Ok(None) };
        let mut seen = sighting(cluster.cluster_arn().unwrap_or(&removal.name), is_ours(owner, cluster.tags()));
        let counts = [
            (cluster.running_tasks_count(), "running task(s)"),
            (cluster.pending_tasks_count(), "pending task(s)"),
            (cluster.active_services_count(), "active service(s)"),
        ];
        seen.held_by = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        Ok(Some(seen))
    }

    pub(crate) async fn remove_cluster(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let Some(cluster) = self.find_cluster(&removal.name).await? else { return Ok(Effect::AlreadyGone) };
        if !is_ours(owner, cluster.tags()) {
            return Ok(Effect::NotOurs);
        }
        if cluster.status() == Some("DEPROVISIONING") {
            return Ok(Effect::RemovalRequested);
        }
        let sent = self.inner.ecs.delete_cluster().cluster(&removal.name).send();
        match self.call(DELETE, sent).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Effect::AlreadyGone),
            Err(fault) => Err(fault),
        }
    }
}

/// What a cluster of that name means to us.
fn judge(owner: Owner<'_>, name: &str, cluster: &Cluster, adopt: bool, ours: Effect) -> Result<Ensured, Fault> {
    let arn = cluster.cluster_arn().unwrap_or(name);
    match cluster.status() {
        Some(state @ ("DEPROVISIONING" | "FAILED")) => {
            Err(own(FaultClass::Dependency, CREATE, "ClusterNotReady", format!("the cluster {name} is {state}"), None))
        }
        _ if is_ours(owner, cluster.tags()) => Ok(Ensured::new(ours, arn)),
        _ => found_foreign(CREATE, ResourceKind::Cluster, name, arn, adopt),
    }
}
