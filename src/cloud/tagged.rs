//! What bears labguard's tag anywhere in the account and region: for finding orphans, never as proof.
//!
//! The tagging service may still list what is gone and not yet list what is new (aws-facts §1.7). It does
//! not know IAM roles; those are found by their prefix and their own tags.

use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::{Cloud, absent_if_missing, insights_log::INSIGHTS_LOGS};
use crate::domain::model::{FUSE_ROLE, Fault, FaultClass, ResourceKind, SESSION_TAG};

/// Roles that labguard makes begin so.
const ROLE_PREFIX: &str = "labguard-";

/// Something with the tag `labguard:session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The tag's value.
    pub session: String,
    /// What it is; absent for kinds that this version does not make.
    pub kind: Option<ResourceKind>,
    /// Its name, as the removal wants it (security groups: the group id).
    pub name: String,
    /// Its ARN (security groups: the group id).
    pub id: String,
}

/// A role of labguard's making, by its name.
fn kind_of_role(name: &str) -> ResourceKind {
    if name.ends_with(FUSE_ROLE) { ResourceKind::SchedulerRole } else { ResourceKind::ExecutionRole }
}

/// Kind, name and id of an ARN.
fn read_arn(arn: &str) -> (Option<ResourceKind>, String, String) {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, rest) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
    let known = |kind, name: &str| (Some(kind), name.to_owned(), arn.to_owned());
    let split = rest.split_once(['/', ':']);
    match (service, split) {
        ("ecs", Some(("cluster", name))) => known(ResourceKind::Cluster, name),
        ("ecs", Some(("task", name))) => known(ResourceKind::Task, name),
        ("ecs", Some(("service", name))) => known(ResourceKind::Service, name.rsplit('/').next().unwrap_or(name)),
        ("ecs", Some(("task-definition", name))) => {
            known(ResourceKind::TaskDefinition, name.split(':').next().unwrap_or(name))
        }
        ("ecr", Some(("repository", name))) => known(ResourceKind::Repository, name),
        ("logs", Some(("log-group", name))) if name.starts_with(INSIGHTS_LOGS) => {
            known(ResourceKind::InsightsLog, name.strip_suffix(":*").unwrap_or(name))
        }
        ("logs", Some(("log-group", name))) => known(ResourceKind::LogGroup, name.strip_suffix(":*").unwrap_or(name)),
        ("iam", Some(("role", name))) => {
            let name = name.rsplit('/').next().unwrap_or(name);
            known(kind_of_role(name), name)
        }
        ("ec2", Some(("security-group", id))) => (Some(ResourceKind::SecurityGroup), id.to_owned(), id.to_owned()),
        ("scheduler", Some(("schedule-group", name))) => known(ResourceKind::ScheduleGroup, name),
        _ => (None, rest.to_owned(), arn.to_owned()),
    }
}

impl Cloud {
    /// Everything with our tag, of any session, all pages.
    ///
    /// # Errors
    /// AWS's refusal. Having no right to list roles or schedule groups is not one: they are then left out.
    pub async fn tagged(&self) -> Result<Vec<Tagged>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let list = self.inner.tagging.get_resources().tag_filters(TagFilter::builder().key(SESSION_TAG).build());
            let answer = self.call("tag:GetResources", list.set_pagination_token(next).send()).await?;
            for resource in answer.resource_tag_mapping_list.unwrap_or_default() {
                let session =
                    resource.tags().iter().find(|tag| tag.key() == SESSION_TAG).map(|tag| tag.value().to_owned());
                if let (Some(session), Some(arn)) = (session, resource.resource_arn()) {
                    let (kind, name, id) = read_arn(arn);
                    found.push(Tagged { session, kind, name, id });
                }
            }
            next = answer.pagination_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        match self.tagged_roles().await {
            Ok(roles) => found
                .extend(roles.into_iter().filter(|role| !found.iter().any(|f| f.id == role.id)).collect::<Vec<_>>()),
            Err(fault) if fault.class == FaultClass::Denied => {
                tracing::debug!(%fault, "roles are not searched: no right to list them");
            }
            Err(fault) => return Err(fault),
        }
        match self.tagged_groups().await {
            Ok(groups) => {
                for (name, id, session) in groups {
                    if !found.iter().any(|it| it.id == id) {
                        found.push(Tagged { session, kind: Some(ResourceKind::ScheduleGroup), name, id });
                    }
                }
            }
            Err(fault) if matches!(fault.class, FaultClass::Denied | FaultClass::Rejected | FaultClass::NotFound) => {
                tracing::debug!(%fault, "schedule groups are not searched: no right to list them, or no such service");
            }
            Err(fault) if fault.was_never_sent() => {
                tracing::warn!(%fault, "schedule groups are not searched: there is no way to the scheduler of this region");
            }
            Err(fault) => return Err(fault),
        }
        Ok(found)
    }

    async fn tagged_roles(&self) -> Result<Vec<Tagged>, Fault> {
        let mut found = Vec::new();
        let mut marker = None;
        loop {
            let list = self.inner.iam.list_roles().set_marker(marker);
            let answer = self.call("iam:ListRoles", list.send()).await?;
            for role in answer.roles.iter().filter(|role| role.role_name().starts_with(ROLE_PREFIX)) {
                let sent = self.inner.iam.list_role_tags().role_name(role.role_name()).send();
                let tags = absent_if_missing(self.call("iam:ListRoleTags", sent).await.map_err(Fault::from))?;
                let tags = tags.map(|answer| answer.tags).unwrap_or_default();
                if let Some(tag) = tags.iter().find(|tag| tag.key() == SESSION_TAG) {
                    found.push(Tagged {
                        session: tag.value().to_owned(),
                        kind: Some(kind_of_role(role.role_name())),
                        name: role.role_name().to_owned(),
                        id: role.arn().to_owned(),
                    });
                }
            }
            marker = answer.marker;
            if !answer.is_truncated || marker.is_none() {
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResourceKind as K;

    #[test]
    fn every_kind_is_read_from_its_arn() {
        let arn = |rest: &str| rest.replace("@", "us-east-1:000000000000");
        for (text, kind, name) in [
            ("arn:aws:ecs:@:cluster/lab-1", Some(K::Cluster), "lab-1"),
            ("arn:aws:ecs:@:task-definition/lab-1:4", Some(K::TaskDefinition), "lab-1"),
            ("arn:aws:ecs:@:service/lab-1/web", Some(K::Service), "web"),
            ("arn:aws:ecr:@:repository/labguard/x", Some(K::Repository), "labguard/x"),
            ("arn:aws:logs:@:log-group:/labguard/x:*", Some(K::LogGroup), "/labguard/x"),
            (
                "arn:aws:logs:@:log-group:/aws/ecs/containerinsights/lab-1/performance:*",
                Some(K::InsightsLog),
                "/aws/ecs/containerinsights/lab-1/performance",
            ),
            ("arn:aws:ec2:@:security-group/sg-1", Some(K::SecurityGroup), "sg-1"),
            ("arn:aws:scheduler:@:schedule-group/g", Some(K::ScheduleGroup), "g"),
            ("arn:aws:sqs:@:queue", None, "queue"),
        ] {
            let (found, found_name, _) = read_arn(&arn(text));
            assert_eq!((found, found_name.as_str()), (kind, name), "{text}");
        }
    }
}
