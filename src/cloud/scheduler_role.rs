//! The role that schedules act as (aws-facts §6.3): taken on by the session's own schedule group only.
//!
//! Guarantees: it may stop and delete what bears this session's tag, and nothing else, so that a schedule which comes
//! late, or names a thing that has been made anew by somebody else, does no harm. It is removed as the execution role is.

use serde_json::json;

use super::{Cloud, Ensured, Owner, found_foreign, iam};
use crate::domain::model::{Effect, Fault, FaultClass, OWNER_TAG, ResourceKind, SESSION_TAG};

const CREATE: &str = "iam:CreateRole";
const PUT: &str = "iam:PutRolePolicy";

/// Name of the only policy in the role.
const POLICY: &str = "labguard-fuse";

/// Only the scheduler may take it on, for schedules of that group of this account.
fn trust(account: &str, group_arn: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "scheduler.amazonaws.com" },
            "Action": "sts:AssumeRole",
            "Condition": { "StringEquals": { "aws:SourceAccount": account, "aws:SourceArn": group_arn } },
        }],
    })
    .to_string()
}

/// What it may do.
fn rights(partition: &str, region: &str, account: &str, session: &str, cluster: &str) -> String {
    let arn = |service: &str, rest: &str| format!("arn:{partition}:{service}:{region}:{account}:{rest}");
    let ours = json!({ "StringEquals": { format!("aws:ResourceTag/{SESSION_TAG}"): session } });
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Stop",
                "Effect": "Allow",
                "Action": ["ecs:StopTask", "ecs:DeleteService"],
                "Resource": [arn("ecs", &format!("task/{cluster}/*")), arn("ecs", &format!("service/{cluster}/*"))],
                "Condition": ours,
            },
            {
                "Sid": "Remove",
                "Effect": "Allow",
                "Action": [
                    "ecs:DeleteCluster", "ecr:DeleteRepository", "ec2:DeleteSecurityGroup", "logs:DeleteLogGroup",
                ],
                "Resource": "*",
                "Condition": ours,
            },
        ],
    })
    .to_string()
}

impl Cloud {
    /// Makes it, or finds it; the right to read roles is needed only for the latter.
    pub(crate) async fn ensure_scheduler_role(
        &self,
        owner: Owner<'_>,
        name: &str,
        group: &str,
        cluster: &str,
    ) -> Result<Ensured, Fault> {
        let (account, partition) = self.account().await?;
        let region = self.region();
        let group_arn = format!("arn:{partition}:scheduler:{region}:{account}:schedule-group/{group}");
        let create = self
            .inner
            .iam
            .create_role()
            .role_name(name)
            .description(format!("schedules of labguard session {}", owner.session))
            .assume_role_policy_document(trust(&account, &group_arn))
            .tags(iam::tag(SESSION_TAG, owner.session.as_str())?)
            .tags(iam::tag(OWNER_TAG, owner.owner)?);
        let (arn, effect) = match self.call(CREATE, create.send()).await.map_err(Fault::from) {
            Ok(answer) => {
                let arn = answer.role.map(|role| role.arn);
                (arn.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}")), Effect::Created)
            }
            Err(fault) if fault.class == FaultClass::Conflict => match self.find_role(name).await? {
                Some(role) if iam::is_ours(owner, &role) => (role.arn, Effect::AlreadyThere),
                Some(role) => return found_foreign(CREATE, ResourceKind::SchedulerRole, name, &role.arn, false),
                None => return Err(Fault { class: FaultClass::Dependency, ..fault }),
            },
            Err(fault) => return Err(fault),
        };
        // Putting it twice is fine; an earlier try may have died between the two calls.
        let rights = rights(&partition, region, &account, owner.session.as_str(), cluster);
        let sent = self.inner.iam.put_role_policy().role_name(name).policy_name(POLICY).policy_document(rights).send();
        self.call(PUT, sent).await?;
        Ok(Ensured::new(effect, arn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_touch_only_what_bears_the_sessions_tag() {
        let rights: serde_json::Value =
            serde_json::from_str(&rights("aws", "us-east-1", "000000000000", "lab-1", "lab")).unwrap();
        for statement in rights["Statement"].as_array().unwrap() {
            assert_eq!(statement["Condition"]["StringEquals"]["aws:ResourceTag/labguard:session"], "lab-1");
        }
        let trust = trust("000000000000", "arn:group");
        assert!(trust.contains("scheduler.amazonaws.com") && trust.contains("arn:group"), "{trust}");
    }
}
