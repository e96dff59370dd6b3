//! Repositories: create, describe, delete, lifecycle policy.
//!
//! Guarantees: names as AWS allows them, no client token, no deletion of a repository with images unless forced.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    domain::model::Timestamp,
    sandbox::wire::{ApiError, required, strings},
};

use super::{Ecr, Repository, page, seconds, tags, with_token};

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*`, 2 to 256 characters (aws-facts §3.1).
fn legal_name(name: &str) -> bool {
    let legal_part = |part: &str| {
        let edges = part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let characters = part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
        let separators = part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'));
        edges && characters && separators
    };
    (2..=256).contains(&name.len()) && name.split('/').all(legal_part)
}

impl Ecr {
    pub(super) fn create_repository(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let name = self.asked(input)?;
        if !legal_name(name) {
            return Err(ApiError::invalid(format!(
                "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'' (found '{name}')"
            )));
        }
        let mutability = input["imageTagMutability"].as_str().unwrap_or("MUTABLE");
        if !["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"].contains(&mutability) {
            let message = format!(
                "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: [IMMUTABLE, MUTABLE]' (found '{mutability}')"
            );
            return Err(ApiError::invalid(message));
        }
        let given = tags::read(&input["tags"])?;
        if self.repositories.contains_key(name) {
            return Err(ApiError::bad(
                "RepositoryAlreadyExistsException",
                format!("The repository with name '{name}' already exists in the registry with id '{}'", self.account),
            ));
        }
        let repository = Repository {
            name: name.to_owned(),
            created: now,
            mutability: mutability.to_owned(),
            scan_on_push: input["imageScanningConfiguration"]["scanOnPush"].as_bool().unwrap_or(false),
            encryption: match &input["encryptionConfiguration"] {
                Value::Null => json!({ "encryptionType": "AES256" }),
                asked => asked.clone(),
            },
            tags: given,
            lifecycle_policy: None,
            images: BTreeMap::new(),
            image_tags: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        let answer = json!({ "repository": self.describe(&repository) });
        self.repositories.insert(name.to_owned(), repository);
        Ok(answer)
    }

    fn describe(&self, repository: &Repository) -> Value {
        json!({
            "repositoryArn": self.arn(&repository.name), "registryId": self.account, "repositoryName": repository.name,
            "repositoryUri": format!("{}/{}", self.host, repository.name), "createdAt": seconds(repository.created),
            "imageTagMutability": repository.mutability,
            "imageScanningConfiguration": { "scanOnPush": repository.scan_on_push },
            "encryptionConfiguration": repository.encryption,
        })
    }

    pub(super) fn describe_repositories(&self, input: &Value) -> Result<Value, ApiError> {
        let names = strings(&input["repositoryNames"]);
        let paged = !input["maxResults"].is_null() || !input["nextToken"].is_null();
        if paged && !names.is_empty() {
            return Err(ApiError::invalid("maxResults and nextToken cannot be used together with repositoryNames"));
        }
        let mut found = Vec::new();
        for name in &names {
            found.push(self.repositories.get(name).ok_or_else(|| self.missing(name))?);
        }
        if names.is_empty() {
            found.extend(self.repositories.values());
        }
        let whole = found.len().max(1);
        let (found, next) = page(input, found, if names.is_empty() { 100 } else { whole }, 1000)?;
        let list: Vec<Value> = found.into_iter().map(|repository| self.describe(repository)).collect();
        Ok(with_token(json!({ "repositories": list }), next))
    }

    pub(super) fn delete_repository(&mut self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        if !repository.images.is_empty() && !input["force"].as_bool().unwrap_or(false) {
            return Err(ApiError::bad(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{}' in registry with id '{}' cannot be deleted because it still contains images",
                    repository.name, self.account
                ),
            ));
        }
        let (name, answer) = (repository.name.clone(), json!({ "repository": self.describe(repository) }));
        self.repositories.remove(&name);
        self.uploads.retain(|_, upload| upload.repository != name);
        Ok(answer)
    }

    pub(super) fn put_lifecycle_policy(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let (account, text) = (self.account.clone(), required(input, "lifecyclePolicyText")?);
        let repository = self.find_mut(input)?;
        let rules = serde_json::from_str::<Value>(text).ok().filter(|policy| policy["rules"].is_array());
        if rules.is_none() || !(100..=30_720).contains(&text.len()) {
            return Err(ApiError::invalid(
                "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: expected 100 to 30720 characters of JSON with a list \"rules\"'",
            ));
        }
        repository.lifecycle_policy = Some((text.to_owned(), now));
        Ok(json!({ "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": text }))
    }

    pub(super) fn get_lifecycle_policy(&self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        let Some((text, _)) = &repository.lifecycle_policy else {
            return Err(ApiError::bad(
                "LifecyclePolicyNotFoundException",
                format!(
                    "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
                    repository.name, self.account
                ),
            ));
        };
        Ok(json!({ "registryId": self.account, "repositoryName": repository.name, "lifecyclePolicyText": text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_ecrs_grammar() {
        for good in ["admission_prediction", "labguard/a-b", "a1", "a__b", "a--b"] {
            assert!(legal_name(good), "{good}");
        }
        for bad in ["a", "Upper", "a/", "-a", "a___b", "a..b", "a b", ""] {
            assert!(!legal_name(bad), "{bad}");
        }
    }
}
