//! Security groups: create, describe, delete.
//!
//! Guarantees: names are unique in the VPC whatever their case; a group in use cannot be deleted, the default one never.
//! Never has a client token: a second create is `InvalidGroup.Duplicate`, as with AWS.

use crate::{
    domain::model::Timestamp,
    sandbox::{ids::Ids, params::Params, wire::ApiError, xml::XmlBody},
};

use super::{
    Ec2,
    filter::{Filters, page},
    rules::{Peer, Rule, write_permissions},
    tags::{read_specification, write_tags},
};

/// A security group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    description: String,
    vpc: String,
    pub(super) rules: Vec<Rule>,
    /// Before this time it is created but not yet seen (propagation).
    visible_from: Timestamp,
}

impl Group {
    /// The group every VPC has: open to itself inbound, to all outbound.
    pub(super) fn default_of(ids: &mut Ids, vpc: &str) -> Self {
        let mut group = Self::new(ids, "default", "default VPC security group", vpc, Timestamp::from_millis(0));
        let peer = Peer::Group(group.id.clone());
        group.rules.push(Rule {
            id: ids.ec2("sgr"),
            egress: false,
            protocol: "-1".into(),
            from: -1,
            to: -1,
            peer,
            description: None,
        });
        group
    }

    fn new(ids: &mut Ids, name: &str, description: &str, vpc: &str, visible_from: Timestamp) -> Self {
        let outward = Rule {
            id: ids.ec2("sgr"),
            egress: true,
            protocol: "-1".to_owned(),
            from: -1,
            to: -1,
            peer: Peer::V4("0.0.0.0/0".to_owned()),
            description: None,
        };
        Self {
            id: ids.sg(),
            name: name.to_owned(),
            description: description.to_owned(),
            vpc: vpc.to_owned(),
            rules: vec![outward],
            visible_from,
        }
    }

    /// Whether it is the VPC's own.
    pub(super) fn is_default(&self) -> bool {
        self.name == "default"
    }

    /// Whether propagation is done.
    pub(super) fn visible(&self, now: Timestamp) -> bool {
        self.visible_from <= now
    }

    fn refers_to(&self, other: &str) -> bool {
        self.rules.iter().any(|rule| matches!(&rule.peer, Peer::Group(id) if id == other))
    }
}

/// EC2's words for a group that is not there.
pub(super) fn not_found(id: &str) -> ApiError {
    ApiError::bad("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}

fn check_text(parameter: &str, text: &str) -> Result<(), ApiError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.chars().count() > 255 {
        let message =
            format!("Value ({text}) for parameter {parameter} is invalid. It must be at most 255 characters long.");
        return Err(ApiError::bad("InvalidParameterValue", message));
    }
    if !text.chars().all(legal) {
        let message = format!(
            "Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
        );
        return Err(ApiError::bad("InvalidParameterValue", message));
    }
    Ok(())
}

impl Ec2 {
    /// The id of the group a call means by `GroupId` or (in the default VPC) `GroupName`.
    pub(super) fn group_asked(&self, params: &Params, now: Timestamp) -> Result<String, ApiError> {
        if let Some(id) = params.get("GroupId").filter(|id| !id.is_empty()) {
            if !id.starts_with("sg-") {
                return Err(ApiError::bad(
                    "InvalidGroupId.Malformed",
                    format!("Invalid id: \"{id}\" (expecting \"sg-...\")"),
                ));
            }
            return self
                .groups
                .get(id)
                .filter(|group| group.visible(now))
                .map(|group| group.id.clone())
                .ok_or_else(|| not_found(id));
        }
        let name = params.get("GroupName").filter(|name| !name.is_empty()).ok_or_else(|| {
            ApiError::bad("MissingParameter", "The request must contain the parameter groupName or groupId")
        })?;
        self.groups
            .values()
            .find(|group| group.name == name && group.visible(now))
            .map(|group| group.id.clone())
            .ok_or_else(|| {
                let message = format!("The security group '{name}' does not exist in default VPC '{}'", self.vpc.id);
                ApiError::bad("InvalidGroup.NotFound", message)
            })
    }

    pub(super) fn create_group(
        &mut self,
        ids: &mut Ids,
        params: &Params,
        visible_from: Timestamp,
    ) -> Result<XmlBody, ApiError> {
        let (name, description) = (params.require("GroupName")?, params.require("GroupDescription")?);
        check_text("GroupName", name)?;
        check_text("GroupDescription", description)?;
        if name.to_ascii_lowercase().starts_with("sg-") {
            let message = format!(
                "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
            );
            return Err(ApiError::bad("InvalidParameterValue", message));
        }
        let vpc = params.get("VpcId").filter(|id| !id.is_empty()).unwrap_or(&self.vpc.id).to_owned();
        if vpc != self.vpc.id {
            return Err(ApiError::bad("InvalidVpcID.NotFound", format!("The vpc ID '{vpc}' does not exist")));
        }
        if name.eq_ignore_ascii_case("default") {
            let message = format!("Cannot use reserved security group name: {name}");
            return Err(ApiError::bad("InvalidParameterValue", message));
        }
        if self.groups.values().any(|group| group.name.eq_ignore_ascii_case(name)) {
            let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
            return Err(ApiError::bad("InvalidGroup.Duplicate", message));
        }
        let tags = read_specification(params, "security-group")?;
        let group = Group::new(ids, name, description, &vpc, visible_from);
        let id = group.id.clone();
        self.groups.insert(id.clone(), group);
        let mut body = XmlBody::done();
        body.text("groupId", &id);
        write_tags(&mut body, &tags);
        body.text("securityGroupArn", self.arn(&id));
        if !tags.is_empty() {
            self.tags.insert(id, tags);
        }
        Ok(body)
    }

    pub(super) fn describe_groups(&self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        let (asked, names) = (params.list("GroupId"), params.list("GroupName"));
        if let Some(bad) = asked.iter().find(|id| !id.starts_with("sg-")) {
            return Err(ApiError::bad(
                "InvalidGroupId.Malformed",
                format!("Invalid id: \"{bad}\" (expecting \"sg-...\")"),
            ));
        }
        if let Some(unknown) = asked.iter().find(|id| !self.groups.get(*id).is_some_and(|group| group.visible(now))) {
            return Err(not_found(unknown));
        }
        if let Some(unknown) = names.iter().find(|name| !self.groups.values().any(|group| group.name == **name)) {
            let message = format!("The security group '{unknown}' does not exist in default VPC '{}'", self.vpc.id);
            return Err(ApiError::bad("InvalidGroup.NotFound", message));
        }
        let filters = Filters::read(params)?;
        let wanted = |group: &&Group| {
            group.visible(now)
                && (asked.is_empty() || asked.contains(&group.id))
                && (names.is_empty() || names.contains(&group.name))
        };
        let mut found = Vec::new();
        for group in self.groups.values().filter(wanted) {
            let passes = filters.pass(&self.tags_of(&group.id), |name| {
                let ports = |of: fn(&Rule) -> String| group.rules.iter().filter(|rule| !rule.egress).map(of).collect();
                Some(match name {
                    "group-id" => vec![group.id.clone()],
                    "group-name" => vec![group.name.clone()],
                    "description" => vec![group.description.clone()],
                    "vpc-id" => vec![group.vpc.clone()],
                    "owner-id" => vec![self.account.clone()],
                    "ip-permission.protocol" => ports(|rule| rule.protocol.clone()),
                    "ip-permission.from-port" => ports(|rule| rule.from.to_string()),
                    "ip-permission.to-port" => ports(|rule| rule.to.to_string()),
                    "ip-permission.cidr" => ports(|rule| match &rule.peer {
                        Peer::V4(cidr) => cidr.clone(),
                        Peer::V6(_) | Peer::Group(_) => String::new(),
                    }),
                    "ip-permission.group-id" => ports(|rule| match &rule.peer {
                        Peer::Group(id) => id.clone(),
                        Peer::V4(_) | Peer::V6(_) => String::new(),
                    }),
                    _ => return None,
                })
            })?;
            if passes {
                found.push(group);
            }
        }
        let (found, next) = page(params, found, !asked.is_empty())?;
        let mut body = XmlBody::new();
        body.list("securityGroupInfo", "item", found, |item, group| {
            item.text("ownerId", &self.account).text("groupId", &group.id).text("groupName", &group.name);
            item.text("groupDescription", &group.description).text("vpcId", &group.vpc);
            item.text("securityGroupArn", self.arn(&group.id));
            write_permissions(item, "ipPermissions", &self.account, &group.rules, false);
            write_permissions(item, "ipPermissionsEgress", &self.account, &group.rules, true);
            write_tags(item, &self.tags_of(&group.id));
        });
        body.maybe("nextToken", next);
        Ok(body)
    }

    pub(super) fn delete_group(&mut self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        let id = self.group_asked(params, now)?;
        if self.groups.get(&id).is_some_and(Group::is_default) {
            let message = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
            return Err(ApiError::bad("CannotDelete", message));
        }
        let held = self.interfaces.values().any(|eni| eni.exists(now) && eni.groups.contains(&id))
            || self.groups.values().any(|other| other.id != id && other.refers_to(&id));
        if held {
            return Err(ApiError::bad("DependencyViolation", format!("resource {id} has a dependent object")));
        }
        self.groups.remove(&id);
        self.tags.remove(&id);
        let mut body = XmlBody::done();
        body.text("groupId", &id);
        Ok(body)
    }
}
