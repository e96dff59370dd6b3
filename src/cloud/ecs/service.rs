//! Services (service mode only; aws-facts §1.15).

use aws_sdk_ecs::types::{LaunchType, PropagateTags, Service, ServiceField};

use super::{
    is_ours, our_tags,
    task::{network, spot},
};
use crate::{
    cloud::{
        Cloud, Ensured, Owner, absent_if_missing,
        connect::timestamp,
        fault::{of_failure, own},
        found_foreign, needs, sighting,
    },
    domain::model::{Effect, Fault, FaultClass, Removal, ResourceKind, Sighting, TaskSpec},
};

const DESCRIBE: &str = "ecs:DescribeServices";
const CREATE: &str = "ecs:CreateService";
const DELETE: &str = "ecs:DeleteService";

impl Cloud {
    /// The service with its tags; `None` when MISSING, INACTIVE, or its cluster is gone.
    async fn find_service(&self, cluster: &str, name: &str) -> Result<Option<Service>, Fault> {
        let sent =
            self.inner.ecs.describe_services().cluster(cluster).services(name).include(ServiceField::Tags).send();
        let Some(answer) = absent_if_missing(self.call(DESCRIBE, sent).await.map_err(Fault::from))? else {
            return Ok(None);
        };
        if let Some(service) = answer.services.unwrap_or_default().into_iter().next() {
            return Ok((service.status() != Some("INACTIVE")).then_some(service));
        }
        match answer.failures.unwrap_or_default().first() {
            Some(failure) if failure.reason() != Some("MISSING") => {
                Err(of_failure(DESCRIBE, failure.reason(), failure.detail()))
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn ensure_service(
        &self,
        owner: Owner<'_>,
        name: &str,
        desired: u32,
        task: &TaskSpec,
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        if let Some(service) = self.find_service(&task.cluster, name).await? {
            let arn = service.service_arn().unwrap_or(name);
            if service.status() == Some("DRAINING") {
                let message = format!("the service {name} is still draining; its name is free when it is gone");
                return Err(own(FaultClass::Dependency, CREATE, "ServiceDraining", message, None));
            }
            if !is_ours(owner, service.tags()) {
                return found_foreign(CREATE, ResourceKind::Service, name, arn, adopt);
            }
            return Ok(Ensured::new(Effect::AlreadyThere, arn));
        }
        // The token of a service is at most 36 characters (aws-facts §1.2).
        let token: String = task.token.chars().take(36).collect();
        let create = self
            .inner
            .ecs
            .create_service()
            .cluster(&task.cluster)
            .service_name(name)
            .task_definition(&task.task_definition)
            .desired_count(i32::try_from(desired).unwrap_or(i32::MAX))
            .client_token(token)
            .propagate_tags(PropagateTags::Service)
            .enable_ecs_managed_tags(true)
            .set_tags(Some(our_tags(owner)))
            .network_configuration(network(task)?);
        let create = if task.spot {
            create.capacity_provider_strategy(spot()?)
        } else {
            create.launch_type(LaunchType::Fargate)
        };
        let answer = self.call(CREATE, create.send()).await?;
        let arn = answer.service.and_then(|service| service.service_arn).unwrap_or_else(|| name.to_owned());
        Ok(Ensured::new(Effect::Created, arn))
    }

    pub(crate) async fn look_service(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let cluster = removal.cluster.as_deref().ok_or_else(|| needs(DESCRIBE, "service's cluster"))?;
        let Some(service) = self.find_service(cluster, &removal.name).await? else { return Ok(None) };
        let mut seen = sighting(service.service_arn().unwrap_or(&removal.name), is_ours(owner, service.tags()));
        seen.made_at = service.created_at().map(timestamp);
        if service.status() == Some("DRAINING") {
            seen.held_by.push(format!("{} task(s) still running", service.running_count()));
        }
        Ok(Some(seen))
    }

    pub(crate) async fn remove_service(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let cluster = removal.cluster.as_deref().ok_or_else(|| needs(DELETE, "service's cluster"))?;
        let Some(service) = self.find_service(cluster, &removal.name).await? else { return Ok(Effect::AlreadyGone) };
        if !is_ours(owner, service.tags()) {
            return Ok(Effect::NotOurs);
        }
        if service.status() == Some("DRAINING") {
            return Ok(Effect::RemovalRequested);
        }
        let sent = self.inner.ecs.delete_service().cluster(cluster).service(&removal.name).force(true).send();
        match self.call(DELETE, sent).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound || fault.code == "ServiceNotActiveException" => {
                Ok(Effect::AlreadyGone)
            }
            Err(fault) => Err(fault),
        }
    }
}
