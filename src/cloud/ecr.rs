//! ECR: repositories, the registry's login, and single images (aws-facts §3.1).

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageIdentifier, ImageScanningConfiguration, ImageTagMutability,
    Repository, Tag,
};

use super::{
    Cloud, Ensured, Owner, absent_if_missing,
    connect::timestamp,
    fault::{fault, own},
    found_foreign, sighting,
};
use crate::domain::model::{
    Effect, Encryption, Fault, FaultClass, OWNER_TAG, Removal, RepositorySettings, ResourceKind, SESSION_TAG, Sighting,
    Timestamp,
};

const CREATE: &str = "ecr:CreateRepository";
const LOGIN: &str = "ecr:GetAuthorizationToken";
const DELETE_IMAGE: &str = "ecr:BatchDeleteImage";

/// How to speak to the account's registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// `https://ACCOUNT.dkr.ecr.REGION.amazonaws.com`, or the configured override.
    pub endpoint: String,
    /// The `Authorization` header. Secret.
    pub authorization: String,
    /// When it expires (12 h after it was given).
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

fn tag(key: &str, value: &str) -> Result<Tag, Fault> {
    let built = Tag::builder().key(key).value(value).build();
    built.map_err(|error| own(FaultClass::Rejected, CREATE, "Construction", error.to_string(), None))
}

/// `HOST/REPOSITORY@sha256:…` as repository and digest.
fn pinned(uri: &str) -> Option<(&str, &str)> {
    let (name, digest) = uri.split_once('@')?;
    let (_, repository) = name.split_once('/')?;
    Some((repository, digest))
}

/// Absent for what ECR does by itself.
fn encryption(asked: &Encryption) -> Result<Option<EncryptionConfiguration>, Fault> {
    match asked {
        Encryption::Aes256 => Ok(None),
        Encryption::Kms(key) => EncryptionConfiguration::builder()
            .encryption_type(EncryptionType::Kms)
            .set_kms_key(key.clone())
            .build()
            .map(Some)
            .map_err(|error| own(FaultClass::Rejected, CREATE, "MissingArgument", error.to_string(), None)),
    }
}

impl Cloud {
    /// The repository, with its tags' verdict.
    async fn find_repository(&self, owner: Owner<'_>, name: &str) -> Result<Option<(String, bool)>, Fault> {
        let Some(repository) = self.describe_repository(name).await? else { return Ok(None) };
        self.judge_repository(owner, repository).await
    }

    /// Its ARN and whether it is ours, by its tags.
    async fn judge_repository(
        &self,
        owner: Owner<'_>,
        repository: Repository,
    ) -> Result<Option<(String, bool)>, Fault> {
        let arn = repository.repository_arn.unwrap_or_default();
        let sent = self.inner.ecr.list_tags_for_resource().resource_arn(&arn).send();
        let answer = absent_if_missing(self.call("ecr:ListTagsForResource", sent).await.map_err(Fault::from))?;
        let Some(answer) = answer else { return Ok(None) };
        let tags = answer.tags.unwrap_or_default();
        let ours = owner.is_on(tags.iter().map(|tag| (tag.key(), tag.value())));
        Ok(Some((arn, ours)))
    }

    async fn describe_repository(&self, name: &str) -> Result<Option<Repository>, Fault> {
        let sent = self.inner.ecr.describe_repositories().repository_names(name).send();
        let answer = absent_if_missing(self.call("ecr:DescribeRepositories", sent).await.map_err(Fault::from))?;
        Ok(answer.and_then(|answer| answer.repositories).unwrap_or_default().into_iter().next())
    }

    /// What ECS pulls from: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`.
    ///
    /// # Errors
    /// `Dependency` when the repository is not there (yet); else AWS's refusal.
    pub async fn repository_uri(&self, name: &str) -> Result<String, Fault> {
        let there = self.describe_repository(name).await?;
        there.and_then(|repository| repository.repository_uri).ok_or_else(|| {
            let message = format!("the repository {name} is not there yet");
            own(FaultClass::Dependency, "ecr:DescribeRepositories", "RepositoryNotFoundException", message, None)
        })
    }

    pub(crate) async fn ensure_repository(
        &self,
        owner: Owner<'_>,
        name: &str,
        settings: &RepositorySettings,
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        let ensured = self.create_or_find(owner, name, settings, adopt).await?;
        if let (Some(days), Effect::Created | Effect::AlreadyThere) = (settings.expire_days, ensured.effect) {
            self.expire_images(name, days).await?;
        }
        Ok(ensured)
    }

    /// ECR's own net below the session's removal: it acts within a day (aws-facts §3.1).
    async fn expire_images(&self, name: &str, days: u32) -> Result<(), Fault> {
        let rule = serde_json::json!({ "rules": [{
            "rulePriority": 1,
            "description": "labguard: a net for images that nobody removed",
            "selection": {
                "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days,
            },
            "action": { "type": "expire" },
        }]});
        let put = self.inner.ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(rule.to_string());
        self.call("ecr:PutLifecyclePolicy", put.send()).await.map(drop).map_err(Fault::from)
    }

    async fn create_or_find(
        &self,
        owner: Owner<'_>,
        name: &str,
        settings: &RepositorySettings,
        adopt: bool,
    ) -> Result<Ensured, Fault> {
        let judge = |(arn, ours): (String, bool)| {
            if ours {
                Ok(Ensured::new(Effect::AlreadyThere, arn))
            } else {
                found_foreign(CREATE, ResourceKind::Repository, name, &arn, adopt)
            }
        };
        if let Some(there) = self.find_repository(owner, name).await? {
            return judge(there);
        }
        let create = self
            .inner
            .ecr
            .create_repository()
            .repository_name(name)
            .image_tag_mutability(if settings.immutable_tags {
                ImageTagMutability::Immutable
            } else {
                ImageTagMutability::Mutable
            })
            .image_scanning_configuration(
                ImageScanningConfiguration::builder().scan_on_push(settings.scan_on_push).build(),
            )
            .set_encryption_configuration(encryption(&settings.encryption)?)
            .tags(tag(SESSION_TAG, owner.session.as_str())?)
            .tags(tag(OWNER_TAG, owner.owner)?);
        match self.call(CREATE, create.send()).await.map_err(Fault::from) {
            Ok(answer) => {
                let arn = answer.repository.and_then(|repository| repository.repository_arn);
                Ok(Ensured { effect: Effect::Created, id: arn, task: None, bytes: None })
            }
            Err(fault) if fault.class == FaultClass::Conflict => match self.find_repository(owner, name).await? {
                Some(there) => judge(there),
                None => Err(Fault { class: FaultClass::Dependency, ..fault }),
            },
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn look_repository(&self, owner: Owner<'_>, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        let Some(repository) = self.describe_repository(&removal.name).await? else { return Ok(None) };
        let made_at = repository.created_at.as_ref().map(timestamp);
        let found = self.judge_repository(owner, repository).await?;
        Ok(found.map(|(arn, ours)| Sighting { made_at, ..sighting(arn, ours) }))
    }

    pub(crate) async fn remove_repository(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        match self.find_repository(owner, &removal.name).await? {
            None => return Ok(Effect::AlreadyGone),
            Some((_, false)) => return Ok(Effect::NotOurs),
            Some((_, true)) => {}
        }
        let sent = self.inner.ecr.delete_repository().repository_name(&removal.name).force(true).send();
        match self.call("ecr:DeleteRepository", sent).await.map_err(Fault::from) {
            Ok(_) => Ok(Effect::Removed),
            Err(fault) if fault.class == FaultClass::NotFound => Ok(Effect::AlreadyGone),
            Err(fault) => Err(fault),
        }
    }

    /// The image of a pinned URI. In a repository that was there before, ours is what bears the session's mark; in one of
    /// ours that it is ours is the journal's word.
    pub(crate) async fn look_image(&self, removal: &Removal) -> Result<Option<Sighting>, Fault> {
        if let Some(mark) = &removal.mark {
            let found = self.tagged_image(&removal.name, mark).await?;
            let called = |digest: String| removal.id.clone().unwrap_or(format!("{}@{digest}", removal.name));
            return Ok(found.map(|image| sighting(called(image.digest), true)));
        }
        let Some(uri) = removal.id.as_deref() else { return Ok(None) };
        let Some((repository, digest)) = pinned(uri) else { return Ok(None) };
        let id = ImageIdentifier::builder().image_digest(digest).build();
        let sent = self.inner.ecr.describe_images().repository_name(repository).image_ids(id).send();
        let answer = absent_if_missing(self.call("ecr:DescribeImages", sent).await.map_err(Fault::from))?;
        let found = answer.and_then(|answer| answer.image_details).unwrap_or_default();
        Ok((!found.is_empty()).then(|| sighting(uri, true)))
    }

    /// A marked image loses its mark, and goes with it unless somebody else's tag is on it; others go by digest.
    pub(crate) async fn remove_image(&self, removal: &Removal) -> Result<Effect, Fault> {
        if let Some(mark) = &removal.mark {
            return self.untag_image(&removal.name, mark).await;
        }
        let Some((repository, digest)) = removal.id.as_deref().and_then(pinned) else { return Ok(Effect::AlreadyGone) };
        let id = ImageIdentifier::builder().image_digest(digest).build();
        let sent = self.inner.ecr.batch_delete_image().repository_name(repository).image_ids(id).send();
        let Some(answer) = absent_if_missing(self.call(DELETE_IMAGE, sent).await.map_err(Fault::from))? else {
            return Ok(Effect::AlreadyGone);
        };
        match answer.failures.unwrap_or_default().first() {
            None => Ok(Effect::Removed),
            Some(failure) => {
                let code = failure.failure_code().map_or("Failure", |code| code.as_str());
                match code {
                    "ImageNotFound" => Ok(Effect::AlreadyGone),
                    _ => Err(fault(DELETE_IMAGE, code, failure.failure_reason().unwrap_or(code), 400, None)),
                }
            }
        }
    }

    /// A login for the account's registry.
    ///
    /// # Errors
    /// AWS's refusal; `Transient` when the answer holds no token.
    pub async fn registry_login(&self) -> Result<RegistryLogin, Fault> {
        let answer = self.call(LOGIN, self.inner.ecr.get_authorization_token().send()).await?;
        let data = answer.authorization_data.unwrap_or_default().into_iter().next();
        let data = data.ok_or_else(|| own(FaultClass::Transient, LOGIN, "UnusableAnswer", "no token in it", None))?;
        let endpoint = self.inner.registry_endpoint.clone().or(data.proxy_endpoint).unwrap_or_default();
        let token = data.authorization_token.unwrap_or_default();
        Ok(RegistryLogin {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            authorization: format!("Basic {token}"),
            expires_at: data.expires_at.as_ref().map(timestamp),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_uri_is_taken_apart_and_others_are_not() {
        assert_eq!(pinned("h.example/lab/web@sha256:0a"), Some(("lab/web", "sha256:0a")));
        assert_eq!(pinned("h.example/lab/web:v1"), None);
    }
}
