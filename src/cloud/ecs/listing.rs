//! Finding tasks: every page of ListTasks, DescribeTasks in batches (aws-facts §1.7).

use aws_sdk_ecs::types::{DesiredStatus, Task, TaskField};

use super::facts::facts;
use crate::{
    cloud::{Cloud, Listed, Owner, fault::of_failure},
    domain::model::{Fault, FaultClass, Observed, TaskFacts},
};

const LIST: &str = "ecs:ListTasks";
const DESCRIBE: &str = "ecs:DescribeTasks";

impl Cloud {
    /// The ARNs of the session's tasks (or a service's) that ECS wants in that state.
    pub(super) async fn list_tasks(
        &self,
        owner: Owner<'_>,
        cluster: &str,
        service: Option<&str>,
        desired: DesiredStatus,
    ) -> Result<Vec<String>, Fault> {
        let mut arns = Vec::new();
        let mut next = None;
        loop {
            let list = self.inner.ecs.list_tasks().cluster(cluster).desired_status(desired.clone());
            // ECS allows startedBy only as the sole filter beside the cluster and the state.
            let list = match service {
                Some(service) => list.service_name(service),
                None => list.started_by(owner.started_by()),
            };
            let answer = self.call(LIST, list.set_next_token(next).send()).await?;
            arns.extend(answer.task_arns.unwrap_or_default());
            next = answer.next_token;
            if next.is_none() {
                return Ok(arns);
            }
        }
    }

    /// What ECS says of these; those it calls MISSING are left out.
    pub(super) async fn describe_tasks(&self, cluster: &str, arns: &[String]) -> Result<Vec<Task>, Fault> {
        let mut tasks = Vec::new();
        for batch in arns.chunks(100) {
            let sent = self
                .inner
                .ecs
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(batch.to_vec()))
                .include(TaskField::Tags)
                .send();
            let answer = self.call(DESCRIBE, sent).await?;
            tasks.extend(answer.tasks.unwrap_or_default());
            let failures = answer.failures.unwrap_or_default();
            if let Some(failure) = failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
                return Err(of_failure(DESCRIBE, failure.reason(), failure.detail()));
            }
        }
        Ok(tasks)
    }

    /// Every task of the session (or of its service) in the cluster, live or recently stopped, with
    /// addresses as far as those can be read. `Absent`: the cluster is not there.
    ///
    /// # Errors
    /// AWS's refusal of a read.
    pub async fn tasks(
        &self,
        owner: Owner<'_>,
        cluster: &str,
        service: Option<&str>,
    ) -> Result<Observed<Listed>, Fault> {
        match self.all_tasks(owner, cluster, service).await {
            Ok(listed) => Ok(Observed::Present(listed)),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Observed::Absent),
            Err(fault) => Err(fault),
        }
    }

    async fn all_tasks(&self, owner: Owner<'_>, cluster: &str, service: Option<&str>) -> Result<Listed, Fault> {
        let (running, stopped) = futures::future::try_join(
            self.list_tasks(owner, cluster, service, DesiredStatus::Running),
            self.list_tasks(owner, cluster, service, DesiredStatus::Stopped),
        )
        .await?;
        let mut arns = running;
        arns.extend(stopped);
        arns.sort();
        arns.dedup();
        let described = self.describe_tasks(cluster, &arns).await?;
        let mut tasks: Vec<TaskFacts> = described.iter().map(facts).collect();
        let fault = self.resolve_addresses(&mut tasks).await;
        Ok(Listed { tasks, fault })
    }
}
