//! What bears labguard's tag anywhere in the account and region: for finding orphans, never as proof.
//!
//! The tagging service may still list what is gone and not yet list what is new (aws-facts §1.7). It does not know IAM
//! roles; those are found by their name or description and their own tags. Must never leave a part of the account out in
//! silence: what could not be searched is said.

use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::{Cloud, insights_log::INSIGHTS_LOGS};
use crate::domain::model::{FUSE_ROLE, Fault, OWNER_TAG, ResourceKind, SESSION_TAG};

/// Roles that labguard makes begin so.
const ROLE_PREFIX: &str = "labguard-";

/// Descriptions of roles that labguard makes hold this, whatever the roles are called.
const ROLE_DESCRIPTION: &str = "labguard session ";

/// Something with the tag `labguard:session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The tag's value.
    pub session: String,
    /// Value of the tag `labguard:owner`, where it has one.
    pub owner: Option<String>,
    /// What it is; absent for kinds that this version does not make.
    pub kind: Option<ResourceKind>,
    /// Its name, as the removal wants it (security groups: the group id).
    pub name: String,
    /// Its ARN (security groups: the group id).
    pub id: String,
}

impl Tagged {
    /// A thing with these tags, where the session's is among them.
    pub(super) fn read<'t>(
        tags: impl IntoIterator<Item = (&'t str, &'t str)>,
        kind: Option<ResourceKind>,
        name: &str,
        id: &str,
    ) -> Option<Self> {
        let (mut session, mut owner) = (None, None);
        for (key, value) in tags {
            match key {
                SESSION_TAG => session = Some(value.to_owned()),
                OWNER_TAG => owner = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(Self { session: session?, owner, kind, name: name.to_owned(), id: id.to_owned() })
    }
}

/// A part of the account that could not be searched, so that nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSearched {
    /// What: `roles`.
    pub what: String,
    /// Why not.
    pub fault: Fault,
}

impl NotSearched {
    pub(super) fn new(what: impl Into<String>, fault: Fault) -> Self {
        Self { what: what.into(), fault }
    }
}

/// What a search found, and where it could not look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Things with our tag.
    pub things: Vec<Tagged>,
    /// Where there may be more.
    pub not_searched: Vec<NotSearched>,
}

impl Found {
    /// Adds what is not there yet, by id.
    fn add(&mut self, things: Vec<Tagged>) {
        for thing in things {
            if !self.things.iter().any(|known| known.id == thing.id) {
                self.things.push(thing);
            }
        }
    }
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
    /// Everything with our tag, of any session, all pages; and which parts of the account could not be searched.
    ///
    /// # Errors
    /// The refusal of the tagging service, without which next to nothing would be found.
    pub async fn tagged(&self) -> Result<Found, Fault> {
        let mut found = Found::default();
        let mut next: Option<String> = None;
        loop {
            let list = self.inner.tagging.get_resources().tag_filters(TagFilter::builder().key(SESSION_TAG).build());
            let answer = self.call("tag:GetResources", list.set_pagination_token(next).send()).await?;
            for resource in answer.resource_tag_mapping_list.unwrap_or_default() {
                let Some(arn) = resource.resource_arn() else { continue };
                let (kind, name, id) = read_arn(arn);
                let tags = resource.tags().iter().map(|tag| (tag.key(), tag.value()));
                found.things.extend(Tagged::read(tags, kind, &name, &id));
            }
            next = answer.pagination_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        match self.tagged_roles(&mut found.not_searched).await {
            Ok(roles) => found.add(roles),
            Err(fault) => found.not_searched.push(NotSearched::new("IAM roles", fault)),
        }
        match self.tagged_groups().await {
            Ok(groups) => found.add(groups),
            Err(fault) => found.not_searched.push(NotSearched::new("schedule groups", fault)),
        }
        self.marked(&mut found).await;
        Ok(found)
    }

    /// A list of roles has no tags: those are read of each that is called or described as ours are. That read is GetRole,
    /// which making and removing a role need as well.
    async fn tagged_roles(&self, unread: &mut Vec<NotSearched>) -> Result<Vec<Tagged>, Fault> {
        let mut found = Vec::new();
        let mut marker = None;
        loop {
            let list = self.inner.iam.list_roles().set_marker(marker);
            let answer = self.call("iam:ListRoles", list.send()).await?;
            for role in &answer.roles {
                let name = role.role_name();
                let described = role.description().is_some_and(|text| text.contains(ROLE_DESCRIPTION));
                if !described && !name.starts_with(ROLE_PREFIX) {
                    continue;
                }
                match self.find_role(name).await {
                    Ok(Some(role)) => {
                        let tags = role.tags().iter().map(|tag| (tag.key(), tag.value()));
                        found.extend(Tagged::read(tags, Some(kind_of_role(name)), name, role.arn()));
                    }
                    Ok(None) => {}
                    Err(fault) => unread.push(NotSearched::new(format!("the tags of the role {name}"), fault)),
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
