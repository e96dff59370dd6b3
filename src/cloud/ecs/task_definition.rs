//! Task definitions: a revision of our own per specification, and all of ours removed (aws-facts §1.10).
//!
//! A family may hold revisions of others: ours are added beside them and only ours are removed.

use aws_sdk_ecs::types::{
    Compatibility, ContainerCondition, ContainerDefinition, ContainerDependency, CpuArchitecture, EphemeralStorage,
    HealthCheck, KeyValuePair, LinuxParameters, LogConfiguration, LogDriver, NetworkMode, OsFamily, PortMapping,
    RuntimePlatform, Tag, TaskDefinition, TaskDefinitionField, TaskDefinitionStatus, TransportProtocol,
};
use sha2::{Digest, Sha256};

use super::{is_ours, our_tags};
use crate::{
    cloud::{
        Cloud, Ensured, Owner, absent_if_missing,
        connect::timestamp,
        fault::{of_failure, own},
        sighting,
    },
    domain::model::{
        Arch, Effect, Fault, FaultClass, Removal, SentinelContainer, Sighting, TaskDefinitionSpec, Timestamp, sentinel,
    },
};

const LIST: &str = "ecs:ListTaskDefinitions";
const DESCRIBE: &str = "ecs:DescribeTaskDefinition";
const REGISTER: &str = "ecs:RegisterTaskDefinition";
const DEREGISTER: &str = "ecs:DeregisterTaskDefinition";
const DELETE: &str = "ecs:DeleteTaskDefinitions";

/// Tells two specifications apart without comparing what AWS made of them.
const FINGERPRINT_TAG: &str = "labguard:fingerprint";

/// One revision with its tags.
struct Revision {
    arn: String,
    ours: bool,
    fingerprint: Option<String>,
    status: Option<TaskDefinitionStatus>,
    made_at: Option<Timestamp>,
}

/// The family of `FAMILY`, `FAMILY:REV` or an ARN of it.
fn family(text: &str) -> &str {
    let text = text.rsplit_once("task-definition/").map_or(text, |(_, rest)| rest);
    text.split(':').next().unwrap_or(text)
}

fn fingerprint(spec: &TaskDefinitionSpec) -> String {
    let bytes = serde_json::to_vec(spec).unwrap_or_default();
    hex::encode(&Sha256::digest(bytes)[..16])
}

impl Cloud {
    async fn revision_arns(&self, family: &str, status: TaskDefinitionStatus) -> Result<Vec<String>, Fault> {
        let mut arns = Vec::new();
        let mut next = None;
        loop {
            let list = self.inner.ecs.list_task_definitions().family_prefix(family).status(status.clone());
            let answer = self.call(LIST, list.set_next_token(next).send()).await?;
            arns.extend(answer.task_definition_arns.unwrap_or_default());
            next = answer.next_token;
            if next.is_none() {
                // Some endpoints take the prefix as a prefix.
                arns.retain(|arn| self::family(arn) == family);
                return Ok(arns);
            }
        }
    }

    async fn revision(&self, owner: Owner<'_>, arn: &str) -> Result<Option<Revision>, Fault> {
        let sent =
            self.inner.ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags).send();
        let Some(answer) = absent_if_missing(self.call(DESCRIBE, sent).await.map_err(Fault::from))? else {
            return Ok(None);
        };
        let tags = answer.tags.unwrap_or_default();
        let fingerprint = tags.iter().find(|tag| tag.key() == Some(FINGERPRINT_TAG)).and_then(|tag| tag.value());
        let definition: Option<TaskDefinition> = answer.task_definition;
        Ok(Some(Revision {
            arn: arn.to_owned(),
            ours: is_ours(owner, &tags),
            fingerprint: fingerprint.map(ToOwned::to_owned),
            made_at: definition.as_ref().and_then(|definition| definition.registered_at).as_ref().map(timestamp),
            status: definition.and_then(|definition| definition.status),
        }))
    }

    /// Every revision of the family that is ACTIVE or INACTIVE.
    async fn revisions(&self, owner: Owner<'_>, family: &str) -> Result<Vec<Revision>, Fault> {
        let mut arns = self.revision_arns(family, TaskDefinitionStatus::Active).await?;
        arns.extend(self.revision_arns(family, TaskDefinitionStatus::Inactive).await?);
        let mut revisions = Vec::new();
        for arn in arns {
            let found = self.revision(owner, &arn).await?;
            revisions.extend(found.filter(|found| found.status != Some(TaskDefinitionStatus::DeleteInProgress)));
        }
        Ok(revisions)
    }

    pub(crate) async fn ensure_task_definition(
        &self,
        owner: Owner<'_>,
        spec: &TaskDefinitionSpec,
    ) -> Result<Ensured, Fault> {
        let wanted = fingerprint(spec);
        for arn in self.revision_arns(&spec.family, TaskDefinitionStatus::Active).await?.iter().rev() {
            if let Some(found) = self.revision(owner, arn).await?
                && found.ours
                && found.fingerprint.as_deref() == Some(wanted.as_str())
            {
                return Ok(Ensured::new(Effect::AlreadyThere, found.arn));
            }
        }
        let register = self
            .inner
            .ecs
            .register_task_definition()
            .family(&spec.family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu(spec.size.cpu.to_string())
            .memory(spec.size.memory.to_string())
            .runtime_platform(platform(spec.size.arch))
            .set_execution_role_arn(spec.execution_role.clone())
            .set_task_role_arn(spec.task_role.clone())
            .set_ephemeral_storage(storage(spec)?)
            .set_container_definitions(Some(containers(spec, self.region())?))
            .set_tags(Some(our_tags(owner)))
            .tags(Tag::builder().key(FINGERPRINT_TAG).value(wanted).build());
        let answer = self.call(REGISTER, register.send()).await?;
        let arn = answer.task_definition.and_then(|definition| definition.task_definition_arn);
        Ok(Ensured { effect: Effect::Created, id: arn, task: None, bytes: None })
    }

    pub(crate) async fn look_task_definitions(
        &self,
        owner: Owner<'_>,
        removal: &Removal,
    ) -> Result<Option<Sighting>, Fault> {
        let revisions = self.revisions(owner, family(&removal.name)).await?;
        if let Some(ours) = revisions.iter().find(|revision| revision.ours) {
            let made_at =
                revisions.iter().filter(|revision| revision.ours).filter_map(|revision| revision.made_at).max();
            return Ok(Some(Sighting { made_at, ..sighting(&ours.arn, true) }));
        }
        let active = |revision: &&Revision| revision.status == Some(TaskDefinitionStatus::Active);
        Ok(revisions.iter().find(active).map(|foreign| sighting(&foreign.arn, false)))
    }

    pub(crate) async fn remove_task_definitions(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let revisions = self.revisions(owner, family(&removal.name)).await?;
        let foreign = revisions.iter().any(|revision| !revision.ours);
        let ours: Vec<Revision> = revisions.into_iter().filter(|revision| revision.ours).collect();
        if ours.is_empty() {
            return Ok(if foreign && removal.id.is_some() { Effect::NotOurs } else { Effect::AlreadyGone });
        }
        for revision in ours.iter().filter(|revision| revision.status != Some(TaskDefinitionStatus::Inactive)) {
            let sent = self.inner.ecs.deregister_task_definition().task_definition(&revision.arn).send();
            match self.call(DEREGISTER, sent).await.map_err(Fault::from) {
                Ok(_) => {}
                Err(fault) if fault.class == FaultClass::NotFound || fault.message.contains("does not exist") => {}
                Err(fault) => return Err(fault),
            }
        }
        for batch in ours.chunks(10) {
            let arns = batch.iter().map(|revision| revision.arn.clone()).collect();
            let sent = self.inner.ecs.delete_task_definitions().set_task_definitions(Some(arns)).send();
            let answer = self.call(DELETE, sent).await?;
            let failures = answer.failures.unwrap_or_default();
            if let Some(failure) = failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
                return Err(of_failure(DELETE, failure.reason(), failure.detail()));
            }
        }
        Ok(Effect::RemovalRequested)
    }
}

fn platform(arch: Arch) -> RuntimePlatform {
    let cpu = match arch {
        Arch::X86_64 => CpuArchitecture::X8664,
        Arch::Arm64 => CpuArchitecture::Arm64,
    };
    RuntimePlatform::builder().cpu_architecture(cpu).operating_system_family(OsFamily::Linux).build()
}

fn unbuildable(error: impl std::fmt::Display) -> Fault {
    own(FaultClass::Rejected, REGISTER, "Construction", error.to_string(), None)
}

/// 20 GiB are included and must not be named; 21 to 200 are extra (aws-facts §2.1).
fn storage(spec: &TaskDefinitionSpec) -> Result<Option<EphemeralStorage>, Fault> {
    if spec.size.storage <= 20 {
        return Ok(None);
    }
    let size = i32::try_from(spec.size.storage).map_err(unbuildable)?;
    Ok(Some(EphemeralStorage::builder().size_in_gib(size).build()))
}

/// MiB of the task's memory that are the guard's.
const SENTINEL_MEMORY: u32 = 32;

/// The guard first, where there is one: the application starts after it and is stopped before it.
fn containers(spec: &TaskDefinitionSpec, region: &str) -> Result<Vec<ContainerDefinition>, Fault> {
    let guard = spec.sentinel.as_ref().map(|guard| sentinel_container(spec, guard, region)).transpose()?;
    Ok(guard.into_iter().chain([container(spec, region)?]).collect())
}

/// Essential: when it exits, ECS stops the whole task (aws-facts §1.5).
fn sentinel_container(
    spec: &TaskDefinitionSpec,
    guard: &SentinelContainer,
    region: &str,
) -> Result<ContainerDefinition, Fault> {
    let memory = i32::try_from(SENTINEL_MEMORY).map_err(unbuildable)?;
    let port = guard
        .port
        .map(|port| PortMapping::builder().container_port(i32::from(port)).protocol(TransportProtocol::Tcp).build());
    let mut container = ContainerDefinition::builder()
        .name(sentinel::CONTAINER)
        .image(&guard.image)
        .essential(true)
        .memory(memory)
        .stop_timeout(2)
        // As process 1 it would not hear SIGTERM.
        .linux_parameters(LinuxParameters::builder().init_process_enabled(true).build())
        .set_port_mappings(port.map(|port| vec![port]));
    if !guard.command.is_empty() {
        container = container.set_entry_point(Some(guard.command.clone()));
    }
    if !guard.healthy.is_empty() {
        let check = HealthCheck::builder().set_command(Some(guard.healthy.clone())).interval(30).timeout(5).retries(3);
        container = container.health_check(check.build().map_err(unbuildable)?);
    }
    if let Some(group) = &spec.log_group {
        container = container.log_configuration(logs(group, region)?);
    }
    Ok(container.build())
}

fn logs(group: &str, region: &str) -> Result<LogConfiguration, Fault> {
    LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", group)
        .options("awslogs-region", region)
        .options("awslogs-stream-prefix", "lab")
        .build()
        .map_err(unbuildable)
}

fn container(spec: &TaskDefinitionSpec, region: &str) -> Result<ContainerDefinition, Fault> {
    let ports = spec
        .ports
        .iter()
        .map(|port| PortMapping::builder().container_port(i32::from(*port)).protocol(TransportProtocol::Tcp).build());
    let environment =
        spec.environment.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    // On Fargate the container may have all of the task; saying so is legal and clearer to every endpoint.
    let cpu = i32::try_from(spec.size.cpu).map_err(unbuildable)?;
    let guarded = if spec.sentinel.is_some() { SENTINEL_MEMORY } else { 0 };
    let memory = i32::try_from(spec.size.memory.saturating_sub(guarded)).map_err(unbuildable)?;
    let stop = i32::try_from(spec.stop_timeout.as_secs_ceil().clamp(2, 120)).map_err(unbuildable)?;
    let mut container = ContainerDefinition::builder()
        .name(&spec.container)
        .image(&spec.image)
        .essential(true)
        .cpu(cpu)
        .memory(memory)
        .stop_timeout(stop)
        .set_port_mappings(Some(ports.collect()))
        .set_environment(Some(environment.collect()));
    if !spec.command.is_empty() {
        container = container.set_command(Some(spec.command.clone()));
    }
    if let Some(group) = &spec.log_group {
        container = container.log_configuration(logs(group, region)?);
    }
    if spec.sentinel.is_some() {
        let after = ContainerDependency::builder()
            .container_name(sentinel::CONTAINER)
            .condition(ContainerCondition::Start)
            .build()
            .map_err(unbuildable)?;
        container = container.depends_on(after);
    }
    Ok(container.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_read_from_a_name_or_an_arn() {
        assert_eq!(family("arn:aws:ecs:us-east-1:000000000000:task-definition/lab-1:7"), "lab-1");
        assert_eq!(family("lab-1:7"), "lab-1");
        assert_eq!(family("lab-1"), "lab-1");
    }
}
