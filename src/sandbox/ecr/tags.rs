//! Tags of repositories.
//!
//! Guarantees: AWS's limits; only repositories of this account bear tags.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::wire::{ApiError, required, strings};

use super::{Ecr, Repository};

/// A list of `{Key, Value}`, checked.
pub(super) fn read(list: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for tag in list.as_array().into_iter().flatten() {
        let (key, value) = (tag["Key"].as_str().unwrap_or_default(), tag["Value"].as_str().unwrap_or_default());
        if key.is_empty()
            || key.chars().count() > 128
            || value.chars().count() > 256
            || key.to_ascii_lowercase().starts_with("aws:")
        {
            return Err(ApiError::bad(
                "InvalidTagParameterException",
                format!(
                    "The tag '{key}' is not valid: keys have 1 to 128 characters and do not begin with aws:, values at most 256"
                ),
            ));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > 50 {
        return Err(ApiError::bad(
            "TooManyTagsException",
            "The list of tags on the repository is over the limit of 50",
        ));
    }
    Ok(tags)
}

impl Ecr {
    fn by_arn(&mut self, input: &Value) -> Result<&mut Repository, ApiError> {
        let arn = required(input, "resourceArn")?;
        let prefix = self.arn("");
        let name = arn.strip_prefix(&prefix).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN' (found '{arn}')"
            ))
        })?;
        let missing = self.missing(name);
        self.repositories.get_mut(name).ok_or(missing)
    }

    pub(super) fn list_tags(&mut self, input: &Value) -> Result<Value, ApiError> {
        let tags: Vec<Value> =
            self.by_arn(input)?.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        Ok(json!({ "tags": tags }))
    }

    pub(super) fn tag(&mut self, input: &Value) -> Result<Value, ApiError> {
        let given = read(&input["tags"])?;
        let repository = self.by_arn(input)?;
        repository.tags.extend(given);
        Ok(json!({}))
    }

    pub(super) fn untag(&mut self, input: &Value) -> Result<Value, ApiError> {
        let keys = strings(&input["tagKeys"]);
        self.by_arn(input)?.tags.retain(|key, _| !keys.contains(key));
        Ok(json!({}))
    }
}
