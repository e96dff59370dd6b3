//! Log groups with retention, so that nothing is kept (and paid for) for ever.

use aws_sdk_cloudwatchlogs::types::LogGroup;

use super::{Cloud, Ensured, Owner, absent_if_missing, found_foreign, sighting};
use crate::domain::model::{
    Effect, Fault, FaultClass, OWNER_TAG, Removal, ResourceKind, SESSION_TAG, Sighting, Timestamp,
};

const CREATE: &str = "logs:CreateLogGroup";

/// Keys and values.
type Tags = std::collections::HashMap<String, String>;

impl Cloud {
    /// The group's ARN and whether it is ours.
    async fn find_log_group(&self, owner: Owner<'_>, name: &str) -> Result<Option<(String, bool)>, Fault> {
        let found = self.read_log_group(name).await?;
        Ok(found.map(|(arn, tags)| (arn, owner.is_on(tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))))))
    }

    /// The group's ARN and its tags.
    pub(super) async fn read_log_group(&self, name: &str) -> Result<Option<(String, Tags)>, Fault> {
        let Some(found) = self.describe_log_group(name).await? else { return Ok(None) };
        self.tags_of_log_group(found).await
    }

    async fn describe_log_group(&self, name: &str) -> Result<Option<LogGroup>, Fault> {
        let mut next = None;
        loop {
            let list = self.inner.logs.describe_log_groups().log_group_name_prefix(name).set_next_token(next);
            let answer = self.call("logs:DescribeLogGroups", list.send()).await?;
            let groups = answer.log_groups.unwrap_or_default();
            if let Some(group) = groups.into_iter().find(|group| group.log_group_name() == Some(name)) {
                return Ok(Some(group));
            }
            next = answer.next_token;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    async fn tags_of_log_group(&self, found: LogGroup) -> Result<Option<(String, Tags)>, Fault> {
        let arn = found.log_group_arn.or(found.arn).unwrap_or_default();
        // DescribeLogGroups gives `…:*` in one member, which the tag calls refuse.
        let arn = arn.strip_suffix(":*").unwrap_or(&arn).to_owned();
        let sent = self.inner.logs.list_tags_for_resource().resource_arn(&arn).send();
        let answer = absent_if_missing(self.call("logs:ListTagsForResource", sent).await.map_err(Fault::from))?;
        Ok(answer.map(|answer| (arn, answer.tags.unwrap_or_default())))
    }

    pub(crate) async fn ensure_log_group(
        &self,
        owner: Owner<'_>,
        name: &str,
        days: u32,
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        let (arn, effect) = match self.find_log_group(owner, name).await? {
            Some((arn, false)) => return found_foreign(CREATE, ResourceKind::LogGroup, name, &arn, adopt),
            Some((arn, true)) => (arn, Effect::AlreadyThere),
            None => {
                let create = self.inner.logs.create_log_group().log_group_name(name);
                let create = create.tags(SESSION_TAG, owner.session.as_str()).tags(OWNER_TAG, owner.owner);
                match self.call(CREATE, create.send()).await.map_err(Fault::from) {
                    Ok(_) => {}
                    Err(fault) if fault.class == FaultClass::Conflict => {
                        match self.find_log_group(owner, name).await? {
                            Some((arn, false)) => {
                                return found_foreign(CREATE, ResourceKind::LogGroup, name, &arn, adopt);
                            }
                            Some((_, true)) => {}
                            None => return Err(Fault { class: FaultClass::Dependency, ..fault }),
                        }
                    }
                    Err(fault) => return Err(fault),
                }
                let (account, partition) = self.account().await?;
                (format!("arn:{partition}:logs:{}:{account}:log-group:{name}", self.region()), Effect::Created)
            }
        };
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let sent = self.inner.logs.put_retention_policy().log_group_name(name).retention_in_days(days).send();
        self.call("logs:PutRetentionPolicy", sent).await?;
        Ok(Ensured::new(effect, arn))
    }

    pub(crate) async fn look_log_group(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let Some(group) = self.describe_log_group(&removal.name).await? else { return Ok(None) };
        let made_at = group.creation_time.map(Timestamp::from_millis);
        let Some((arn, tags)) = self.tags_of_log_group(group).await? else { return Ok(None) };
        let ours = owner.is_on(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        Ok(Some(Sighting { made_at, ..sighting(arn, ours) }))
    }

    pub(crate) async fn remove_log_group(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        match self.find_log_group(owner, &removal.name).await? {
            None => return Ok(Effect::AlreadyGone),
            Some((_, false)) => return Ok(Effect::NotOurs),
            Some((_, true)) => {}
        }
        self.delete_log_group(&removal.name).await
    }

    /// Deletes it, whoever's it is: the caller has read its tags.
    pub(super) async fn delete_log_group(&self, name: &str) -> Result<Effect, Fault> {
        let sent = self.inner.logs.delete_log_group().log_group_name(name).send();
        match self.call("logs:DeleteLogGroup", sent).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Effect::AlreadyGone),
            Err(fault) => Err(fault),
        }
    }
}
