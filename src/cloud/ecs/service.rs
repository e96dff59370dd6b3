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

/// What AWS says where it cannot place a task: a service tells that by its events only, newest first. Once it has
/// started a task since, that is over.
fn unplaced(service: &Service) -> Option<Fault> {
    let mut said = service.events().iter().filter_map(|event| event.message());
    let is_refusal = |said: &str| said.contains("unable to place a task") || said.contains("failed to launch a task");
    let newest = said.find(|said| is_refusal(said) || said.contains(" has started "));
    newest.filter(|said| is_refusal(said)).map(|said| of_failure(DESCRIBE, Some(said), None))
}

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
        seen.fault = unplaced(&service);
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

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::ServiceEvent;

    use super::*;

    #[test]
    fn why_no_task_is_placed_is_read_from_the_newest_event_that_tells_of_placing() {
        let told = |events: &[&str]| {
            let service = events.iter().fold(Service::builder(), |service, message| {
                service.events(ServiceEvent::builder().message(*message).build())
            });
            unplaced(&service.build()).map(|fault| fault.class)
        };
        let full = "(service lab) was unable to place a task. Reason: Capacity is unavailable at this time.";
        let quota = "(service lab) was unable to place a task. Reason: You’ve reached the limit on the number of vCPUs you can run concurrently.";
        let blocked = "(service lab) failed to launch a task with (error Your account is currently blocked.).";
        let started = "(service lab) has started 1 tasks: (task 0123).";
        let steady = "(service lab) has reached a steady state.";
        assert_eq!(told(&[full, started]), Some(FaultClass::Capacity));
        assert_eq!(told(&[quota, full]), Some(FaultClass::Quota));
        assert_eq!(told(&[steady, blocked]), Some(FaultClass::Denied));
        assert_eq!(told(&[steady, started, full]), None, "it has started one since");
        assert_eq!(told(&[]), None);
    }
}
