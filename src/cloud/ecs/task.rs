//! Tasks: run with our own clientToken, stopped by ARN, looked at afresh (aws-facts §1.4 to §1.8).

use aws_sdk_ecs::{
    operation::run_task::RunTaskError,
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, DesiredStatus,
        KeyValuePair, LaunchType, NetworkConfiguration, PropagateTags, Task, TaskOverride,
    },
};

use super::{facts::facts, is_ours, our_tags};
use crate::{
    cloud::{
        Cloud, Ensured, Owner, absent_if_missing,
        fault::{Refusal, of_failure, own},
        needs,
    },
    domain::model::{Effect, Fault, FaultClass, Removal, SentinelOrders, Sighting, TaskFacts, TaskSpec, sentinel},
};

const RUN: &str = "ecs:RunTask";
const STOP: &str = "ecs:StopTask";

/// The network a task is put into.
pub(super) fn network(spec: &TaskSpec) -> Result<NetworkConfiguration, Fault> {
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(spec.subnets.clone()))
        .set_security_groups(Some(spec.security_groups.clone()))
        .assign_public_ip(if spec.public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled })
        .build()
        .map_err(|error| own(FaultClass::Rejected, RUN, "Construction", error.to_string(), None))?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

/// The guard's orders: of this task alone, so they go with its run and not with the definition.
fn overrides(orders: &SentinelOrders) -> TaskOverride {
    let environment =
        orders.environment.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    let container =
        ContainerOverride::builder().name(sentinel::CONTAINER).set_environment(Some(environment.collect())).build();
    TaskOverride::builder().container_overrides(container).build()
}

/// Spot's capacity provider, for runs without a launch type.
pub(super) fn spot() -> Result<CapacityProviderStrategyItem, Fault> {
    CapacityProviderStrategyItem::builder()
        .capacity_provider("FARGATE_SPOT")
        .weight(1)
        .build()
        .map_err(|error| own(FaultClass::Rejected, RUN, "Construction", error.to_string(), None))
}

/// The cluster a removal is about: given, or part of the task's ARN.
pub(super) fn cluster_of(removal: &Removal, operation: &str) -> Result<String, Fault> {
    let from_arn = || {
        let (_, rest) = removal.id.as_deref()?.split_once(":task/")?;
        rest.split_once('/').map(|(cluster, _)| cluster.to_owned())
    };
    removal.cluster.clone().or_else(from_arn).ok_or_else(|| needs(operation, "task's cluster"))
}

impl Owner<'_> {
    /// By `startedBy`, which outlives the tags; tasks of a service have the tags only.
    fn started(&self, task: &Task) -> bool {
        task.started_by() == Some(self.started_by().as_str()) || is_ours(*self, task.tags())
    }
}

impl Cloud {
    pub(crate) async fn ensure_task(&self, owner: Owner<'_>, spec: &TaskSpec) -> Result<Ensured, Fault> {
        let mut run = self
            .inner
            .ecs
            .run_task()
            .cluster(&spec.cluster)
            .task_definition(&spec.task_definition)
            .count(1)
            .client_token(&spec.token)
            .started_by(owner.started_by())
            .propagate_tags(PropagateTags::TaskDefinition)
            .enable_ecs_managed_tags(true)
            .set_tags(Some(our_tags(owner)))
            .network_configuration(network(spec)?)
            .set_overrides(spec.sentinel.as_ref().map(overrides));
        run = if spec.spot { run.capacity_provider_strategy(spot()?) } else { run.launch_type(LaunchType::Fargate) };
        match self.call(RUN, run.send()).await {
            Ok(answer) => match answer.tasks.unwrap_or_default().first() {
                Some(task) => Ok(ran(Effect::Created, facts(task))),
                None => {
                    let failures = answer.failures.unwrap_or_default();
                    let failure = failures.first();
                    Err(of_failure(RUN, failure.and_then(|f| f.reason()), failure.and_then(|f| f.detail())))
                }
            },
            Err(Refusal { error: Some(RunTaskError::ConflictException(conflict)), fault }) => {
                // Same token, other parameters (another subnet): the task of the earlier try stands.
                let tasks = self.describe_tasks(&spec.cluster, conflict.resource_ids()).await?;
                match tasks.iter().find(|task| owner.started(task)) {
                    Some(task) => Ok(ran(Effect::AlreadyThere, facts(task))),
                    None => Err(fault),
                }
            }
            Err(refusal) => Err(refusal.fault),
        }
    }

    /// Asks ECS to stop the task; without an id, every task of the session in the cluster.
    ///
    /// # Errors
    /// AWS's refusal. A task that is not there is `AlreadyGone`, not an error.
    pub async fn stop_task(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let cluster = cluster_of(removal, STOP)?;
        let Some(id) = &removal.id else {
            let listed = self.list_tasks(owner, &cluster, None, DesiredStatus::Running).await;
            let listed = absent_if_missing(listed)?.unwrap_or_default();
            let mut effect = Effect::AlreadyGone;
            for arn in &listed {
                if self.stop(&cluster, arn, &removal.reason).await? == Effect::StopRequested {
                    effect = Effect::StopRequested;
                }
            }
            return Ok(effect);
        };
        // A look that is refused holds no stop up: what it stops costs money, and an ARN that is known as ours (from our
        // own RunTask, or by its tag) is never another task's.
        let there = self.describe_tasks(&cluster, std::slice::from_ref(id)).await;
        let there = absent_if_missing(there).ok().flatten().unwrap_or_default();
        // MISSING may be "not yet": then StopTask's own answer decides.
        if let Some(task) = there.first() {
            if !owner.started(task) {
                return Ok(Effect::NotOurs);
            }
            if facts(task).is_stopped() {
                return Ok(Effect::AlreadyGone);
            }
        }
        self.stop(&cluster, id, &removal.reason).await
    }

    async fn stop(&self, cluster: &str, arn: &str, reason: &str) -> Result<Effect, Fault> {
        let reason: String = reason.chars().take(255).collect();
        let sent = self.inner.ecs.stop_task().cluster(cluster).task(arn).reason(reason).send();
        match self.call(STOP, sent).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::StopRequested),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Effect::AlreadyGone),
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn look_task(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let cluster = cluster_of(removal, "ecs:DescribeTasks")?;
        let arns = match &removal.id {
            Some(id) => vec![id.clone()],
            None => {
                let listed = self.list_tasks(owner, &cluster, None, DesiredStatus::Running).await;
                absent_if_missing(listed)?.unwrap_or_default()
            }
        };
        let described = absent_if_missing(self.describe_tasks(&cluster, &arns).await)?;
        let Some(task) = described.unwrap_or_default().into_iter().next() else { return Ok(None) };
        let mut seen = [facts(&task)];
        let fault = match &removal.address {
            Some(_) => None,
            None => self.resolve_addresses(&mut seen).await,
        };
        let [facts] = seen;
        Ok(Some(Sighting {
            id: facts.arn.clone(),
            ours: owner.started(&task),
            held_by: Vec::new(),
            made_at: facts.created_at,
            task: Some(facts),
            fault,
        }))
    }
}

fn ran(effect: Effect, task: TaskFacts) -> Ensured {
    Ensured { effect, id: Some(task.arn.clone()), task: Some(task), bytes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_given_or_read_from_the_arn_and_never_guessed() {
        let mut removal = Removal {
            name: "t".into(),
            id: None,
            cluster: None,
            vpc: None,
            reason: "labguard: idle".into(),
            mark: None,
            address: None,
        };
        assert_eq!(cluster_of(&removal, STOP).unwrap_err().class, FaultClass::Rejected);
        removal.id = Some("arn:aws:ecs:us-east-1:000000000000:task/mine/0123".into());
        assert_eq!(cluster_of(&removal, STOP).unwrap(), "mine");
    }
}
