//! EC2's tags: CreateTags, DeleteTags, DescribeTags, and tags given at creation.
//!
//! Guarantees: AWS's limits (50 tags, key ≤ 128, value ≤ 256, no `aws:`). Never tags what does not exist.

use std::collections::BTreeMap;

use crate::{
    domain::model::Timestamp,
    sandbox::{params::Params, wire::ApiError, xml::XmlBody},
};

use super::{
    Ec2,
    filter::{Filters, page},
};

/// `<tagSet>`.
pub(super) fn write_tags(body: &mut XmlBody, tags: &BTreeMap<String, String>) {
    body.list("tagSet", "item", tags, |item, (key, value)| {
        item.text("key", key).text("value", value);
    });
}

/// What kind of resource an id names, as EC2 writes it in ARNs and DescribeTags.
pub(super) fn resource_type(id: &str) -> &'static str {
    match id.split_once('-').map_or(id, |(prefix, _)| prefix) {
        "vpc" => "vpc",
        "subnet" => "subnet",
        "rtb" => "route-table",
        "eni" => "network-interface",
        "sgr" => "security-group-rule",
        _ => "security-group",
    }
}

/// `Tag.N.Key` and `Tag.N.Value`, checked.
pub(super) fn read_tags(params: &Params) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for group in params.groups("Tag") {
        let key = group.get("Key").unwrap_or_default();
        let value = group.get("Value").unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 {
            return Err(ApiError::bad(
                "InvalidParameterValue",
                format!("Tag key '{key}' must be between 1 and 128 characters long"),
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            let message = "Tag keys starting with 'aws:' are reserved for internal use";
            return Err(ApiError::bad("InvalidParameterValue", message));
        }
        if value.chars().count() > 256 {
            return Err(ApiError::bad(
                "InvalidParameterValue",
                format!("Tag value of '{key}' exceeds the maximum length of 256 characters"),
            ));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::bad("InvalidParameterValue", format!("Duplicate tag key '{key}' specified.")));
        }
    }
    if tags.len() > 50 {
        return Err(ApiError::bad("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."));
    }
    Ok(tags)
}

/// `TagSpecification.N` for resources of kind `wanted`.
pub(super) fn read_specification(params: &Params, wanted: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for specification in params.groups("TagSpecification") {
        let kind = specification.get("ResourceType").unwrap_or_default();
        if kind != wanted {
            let message = format!("'{kind}' is not a valid taggable resource type for this operation.");
            return Err(ApiError::bad("InvalidParameterValue", message));
        }
        tags.extend(read_tags(&specification)?);
    }
    Ok(tags)
}

impl Ec2 {
    fn check_resource(&self, id: &str, now: Timestamp) -> Result<(), ApiError> {
        let there = match resource_type(id) {
            "vpc" => self.vpc.id == id,
            "subnet" => self.subnet_exists(id),
            "route-table" => self.route_table.id == id,
            "network-interface" => self.interfaces.get(id).is_some_and(|eni| eni.exists(now)),
            _ => self.groups.contains_key(id),
        };
        if there {
            return Ok(());
        }
        let (code, message) = match resource_type(id) {
            "vpc" => ("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist")),
            "subnet" => ("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")),
            "network-interface" => {
                ("InvalidNetworkInterfaceID.NotFound", format!("The networkInterface ID '{id}' does not exist"))
            }
            "security-group" if id.starts_with("sg-") => {
                ("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
            }
            _ => ("InvalidID", format!("The ID '{id}' is not valid")),
        };
        Err(ApiError::bad(code, message))
    }

    pub(super) fn create_tags(&mut self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        let (ids, tags) = (params.list("ResourceId"), read_tags(params)?);
        if ids.is_empty() {
            return Err(ApiError::bad("MissingParameter", "The request must contain the parameter resourceIdSet"));
        }
        if tags.is_empty() {
            return Err(ApiError::bad("MissingParameter", "The request must contain the parameter tagSet"));
        }
        for id in &ids {
            self.check_resource(id, now)?;
        }
        for id in ids {
            self.tags.entry(id).or_default().extend(tags.clone());
        }
        Ok(XmlBody::done())
    }

    pub(super) fn delete_tags(&mut self, params: &Params) -> Result<XmlBody, ApiError> {
        let wanted: Vec<(String, Option<String>)> = params
            .groups("Tag")
            .iter()
            .map(|tag| (tag.get("Key").unwrap_or_default().to_owned(), tag.get("Value").map(str::to_owned)))
            .collect();
        for id in params.list("ResourceId") {
            let Some(tags) = self.tags.get_mut(&id) else { continue };
            if wanted.is_empty() {
                tags.clear();
            }
            tags.retain(|key, value| {
                !wanted.iter().any(|(name, only)| name == key && only.as_ref().is_none_or(|only| only == value))
            });
        }
        Ok(XmlBody::done())
    }

    pub(super) fn describe_tags(&self, params: &Params) -> Result<XmlBody, ApiError> {
        let filters = Filters::read(params)?;
        let mut found = Vec::new();
        for (id, tags) in &self.tags {
            for (key, value) in tags {
                let passes = filters.pass(&BTreeMap::from([(key.clone(), value.clone())]), |name| {
                    Some(vec![match name {
                        "resource-id" => id.clone(),
                        "resource-type" => resource_type(id).to_owned(),
                        "key" => key.clone(),
                        "value" => value.clone(),
                        _ => return None,
                    }])
                })?;
                if passes {
                    found.push((id, key, value));
                }
            }
        }
        let (found, next) = page(params, found, false)?;
        let mut body = XmlBody::new();
        body.list("tagSet", "item", found, |item, (id, key, value)| {
            item.text("resourceId", id).text("resourceType", resource_type(id)).text("key", key).text("value", value);
        });
        body.maybe("nextToken", next);
        Ok(body)
    }
}
