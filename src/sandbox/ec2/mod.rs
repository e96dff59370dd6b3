//! EC2's network part: the default VPC with its subnets and route table, security groups, task interfaces and tags.
//!
//! Guarantees: errors carry EC2's codes and words; a group that an interface or another group's rule refers to cannot be
//! deleted (aws-facts §4). Never creates machines, and never touches a real network.

mod filter;
mod groups;
mod interfaces;
mod network;
mod rules;
mod tags;

use std::collections::BTreeMap;

use crate::domain::model::Timestamp;

pub use interfaces::Interface;

use super::{ids::Ids, params::Params, state::World, wire::ApiError, xml::XmlBody};

/// The state of EC2 in one account and region.
#[derive(Debug)]
pub struct Ec2 {
    region: String,
    account: String,
    vpc: network::Vpc,
    subnets: Vec<network::Subnet>,
    route_table: network::RouteTable,
    groups: BTreeMap<String, groups::Group>,
    interfaces: BTreeMap<String, interfaces::Eni>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

impl Ec2 {
    /// An account as AWS hands it out: one default VPC, a default subnet in each of three zones, a main route table
    /// that leads to the internet, and the default security group.
    #[must_use]
    pub fn new(ids: &mut Ids, region: &str, account: &str) -> Self {
        let vpc =
            network::Vpc { id: ids.ec2("vpc"), dhcp_options: ids.ec2("dopt"), association: ids.ec2("vpc-cidr-assoc") };
        let subnets = network::default_subnets(ids, region);
        let route_table =
            network::RouteTable { id: ids.ec2("rtb"), gateway: ids.ec2("igw"), association: ids.ec2("rtbassoc") };
        let group = groups::Group::default_of(ids, &vpc.id);
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            vpc,
            subnets,
            route_table,
            groups: BTreeMap::from([(group.id.clone(), group)]),
            interfaces: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Whether there is such a subnet.
    #[must_use]
    pub fn subnet_exists(&self, id: &str) -> bool {
        self.subnets.iter().any(|subnet| subnet.id == id)
    }

    /// Whether there is such a security group.
    #[must_use]
    pub fn group_exists(&self, id: &str) -> bool {
        self.groups.contains_key(id)
    }

    /// Everything beyond the account's initial state that still exists at `now`.
    #[must_use]
    pub fn leftovers(&self, now: Timestamp) -> Vec<String> {
        let groups = self
            .groups
            .values()
            .filter(|group| !group.is_default())
            .map(|group| format!("ec2 security-group {}", group.id));
        let interfaces =
            self.interfaces.values().filter(|eni| eni.exists(now)).map(|eni| format!("ec2 eni {}", eni.id));
        groups.chain(interfaces).collect()
    }

    /// Port and range of every rule inwards, but for the default group's.
    #[must_use]
    pub fn ingress(&self) -> Vec<String> {
        let made = self.groups.values().filter(|group| !group.is_default());
        let rules = made.flat_map(|group| &group.rules).filter(|rule| !rule.egress);
        let mut open: Vec<String> = rules.filter_map(|rule| Some(format!("{} {}", rule.from, rule.range()?))).collect();
        open.sort();
        open
    }

    /// What bears tags, for the tagging API: ARN and tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let exists = |id: &str| {
            self.groups.contains_key(id) || self.vpc.id == id || self.subnet_exists(id) || self.route_table.id == id
        };
        self.tags
            .iter()
            .filter(|(id, tags)| !tags.is_empty() && exists(id))
            .map(|(id, tags)| (self.arn(id), tags.clone()))
            .collect()
    }

    fn arn(&self, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:{}/{id}", self.region, self.account, tags::resource_type(id))
    }

    fn tags_of(&self, id: &str) -> BTreeMap<String, String> {
        self.tags.get(id).cloned().unwrap_or_default()
    }
}

/// One call.
///
/// # Errors
/// EC2's own codes; `InvalidAction` for an operation the sandbox does not have.
pub fn call(world: &mut World, op: &str, params: &Params) -> Result<XmlBody, ApiError> {
    let visible_from = world.bend.missing.map_or(world.now, |span| world.now + span);
    let (now, ids, ec2) = (world.now, &mut world.rng, &mut world.ec2);
    let known = [
        "DescribeVpcs",
        "DescribeSubnets",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeSecurityGroupRules",
        "DescribeNetworkInterfaces",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupEgress",
        "DeleteSecurityGroup",
        "CreateTags",
        "DeleteTags",
        "DescribeTags",
        "DescribeAvailabilityZones",
    ];
    if !known.contains(&op) {
        return Err(ApiError::invalid_action(op));
    }
    if params.flag("DryRun") {
        return Err(ApiError::new(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."));
    }
    match op {
        "DescribeVpcs" => ec2.describe_vpcs(params, !world.bend.no_default_vpc),
        "DescribeSubnets" => ec2.describe_subnets(params, now),
        "DescribeRouteTables" => ec2.describe_route_tables(params),
        "DescribeAvailabilityZones" => ec2.describe_zones(),
        "DescribeSecurityGroups" => ec2.describe_groups(params, now),
        "DescribeSecurityGroupRules" => ec2.describe_rules(params, now),
        "DescribeNetworkInterfaces" => ec2.describe_interfaces(params, now),
        "CreateSecurityGroup" => ec2.create_group(ids, params, visible_from),
        "AuthorizeSecurityGroupIngress" => ec2.authorize(ids, params, now, false),
        "AuthorizeSecurityGroupEgress" => ec2.authorize(ids, params, now, true),
        "RevokeSecurityGroupIngress" => ec2.revoke(params, now, false),
        "RevokeSecurityGroupEgress" => ec2.revoke(params, now, true),
        "DeleteSecurityGroup" => ec2.delete_group(params, now),
        "CreateTags" => ec2.create_tags(params, now),
        "DeleteTags" => ec2.delete_tags(params),
        "DescribeTags" => ec2.describe_tags(params),
        other => Err(ApiError::invalid_action(other)),
    }
}

#[cfg(test)]
mod tests;
