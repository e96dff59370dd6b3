//! The execution role: made with its trust and AWS's managed policy, removed with all it carries (aws-facts §1.14).

use aws_sdk_iam::types::{Role, Tag};

use super::{Cloud, Ensured, Owner, absent_if_missing, connect::timestamp, fault::own, found_foreign, needs, sighting};
use crate::domain::model::{Effect, Fault, FaultClass, OWNER_TAG, Removal, ResourceKind, SESSION_TAG, Sighting};

const GET: &str = "iam:GetRole";
const CREATE: &str = "iam:CreateRole";

/// Whether our tag is among these.
pub(super) fn is_ours(owner: Owner<'_>, role: &Role) -> bool {
    owner.is_on(role.tags().iter().map(|tag| (tag.key(), tag.value())))
}

pub(super) fn tag(key: &str, value: &str) -> Result<Tag, Fault> {
    let built = Tag::builder().key(key).value(value).build();
    built.map_err(|error| own(FaultClass::Rejected, CREATE, "Construction", error.to_string(), None))
}

/// Only ECS tasks of this very account may take the role on.
fn trust(account: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}}
        }]
    })
    .to_string()
}

impl Cloud {
    pub(super) async fn find_role(&self, name: &str) -> Result<Option<Role>, Fault> {
        let sent = self.inner.iam.get_role().role_name(name).send();
        let answer = absent_if_missing(self.call(GET, sent).await.map_err(Fault::from))?;
        Ok(answer.and_then(|answer| answer.role))
    }

    pub(crate) async fn ensure_role(&self, owner: Owner<'_>, name: &str, adopt: bool) -> Result<Ensured, Fault> {
        let (account, partition) = self.account().await?;
        let mut there = self.find_role(name).await?;
        let mut made = None;
        if there.is_none() {
            let create = self
                .inner
                .iam
                .create_role()
                .role_name(name)
                .description(format!("labguard session {}", owner.session))
                .assume_role_policy_document(trust(&account))
                .tags(tag(SESSION_TAG, owner.session.as_str())?)
                .tags(tag(OWNER_TAG, owner.owner)?);
            match self.call(CREATE, create.send()).await.map_err(Fault::from) {
                Ok(answer) => {
                    let arn = answer.role.map(|role| role.arn);
                    made = Some(arn.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}")));
                }
                // Somebody, perhaps an earlier try of ours whose answer was lost, was faster.
                Err(fault) if fault.class == FaultClass::Conflict => {
                    there = self.find_role(name).await?;
                    if there.is_none() {
                        return Err(Fault { class: FaultClass::Dependency, ..fault });
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let (arn, effect) = match (made, there) {
            (Some(arn), _) => (arn, Effect::Created),
            (None, Some(role)) if is_ours(owner, &role) => (role.arn, Effect::AlreadyThere),
            (None, Some(role)) => return found_foreign(CREATE, ResourceKind::ExecutionRole, name, &role.arn, adopt),
            (None, None) => return Err(needs(CREATE, "role")),
        };
        // Attaching twice is fine; an earlier try may have died between the two calls.
        let policy = format!("arn:{partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy");
        let sent = self.inner.iam.attach_role_policy().role_name(name).policy_arn(policy).send();
        self.call("iam:AttachRolePolicy", sent).await?;
        Ok(Ensured::new(effect, arn))
    }

    pub(crate) async fn look_role(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let role = self.find_role(&removal.name).await?;
        let made_at = role.as_ref().map(|role| timestamp(role.create_date()));
        Ok(role.map(|role| Sighting { made_at, ..sighting(role.arn.as_str(), is_ours(owner, &role)) }))
    }

    pub(crate) async fn remove_role(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let name = removal.name.as_str();
        match self.find_role(name).await? {
            None => return Ok(Effect::AlreadyGone),
            Some(role) if !is_ours(owner, &role) => return Ok(Effect::NotOurs),
            Some(_) => {}
        }
        match self.strip_and_delete(name).await {
            Ok(()) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound => {
                // Either the role or only one of its policies went meanwhile.
                if self.find_role(name).await?.is_some() {
                    return Err(Fault { class: FaultClass::Dependency, ..fault });
                }
                Ok(Effect::AlreadyGone)
            }
            Err(fault) => Err(fault),
        }
    }

    /// A role goes only when nothing is attached to it.
    async fn strip_and_delete(&self, name: &str) -> Result<(), Fault> {
        let iam = &self.inner.iam;
        let sent = iam.list_attached_role_policies().role_name(name).send();
        let attached = self.call("iam:ListAttachedRolePolicies", sent).await?.attached_policies.unwrap_or_default();
        for arn in attached.iter().filter_map(|policy| policy.policy_arn()) {
            let sent = iam.detach_role_policy().role_name(name).policy_arn(arn).send();
            self.call("iam:DetachRolePolicy", sent).await?;
        }
        let sent = iam.list_role_policies().role_name(name).send();
        for policy in self.call("iam:ListRolePolicies", sent).await?.policy_names {
            let sent = iam.delete_role_policy().role_name(name).policy_name(policy).send();
            self.call("iam:DeleteRolePolicy", sent).await?;
        }
        self.call("iam:DeleteRole", iam.delete_role().role_name(name).send()).await?;
        Ok(())
    }
}
