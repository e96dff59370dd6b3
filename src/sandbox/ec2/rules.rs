//! Rules of security groups: how they are asked for, compared and written.
//!
//! Guarantees: a call's rules are added all or none; a rule is one protocol, one port range and one peer.
//! Never resolves names; `0.0.0.0/0` is only a text here.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    domain::model::Timestamp,
    sandbox::{ids::Ids, params::Params, wire::ApiError, xml::XmlBody},
};

use super::{
    Ec2,
    filter::{Filters, page},
};

/// Inbound or outbound rules a group may have.
const RULE_LIMIT: usize = 60;

/// Who is on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    V4(String),
    V6(String),
    Group(String),
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) egress: bool,
    pub(super) protocol: String,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) peer: Peer,
    pub(super) description: Option<String>,
}

impl Rule {
    fn same(&self, other: &Rule) -> bool {
        (self.egress, &self.protocol, self.from, self.to, &self.peer)
            == (other.egress, &other.protocol, other.from, other.to, &other.peer)
    }

    /// The range on the other side, if it is one.
    pub(super) fn range(&self) -> Option<&str> {
        match &self.peer {
            Peer::V4(range) | Peer::V6(range) => Some(range),
            Peer::Group(_) => None,
        }
    }

    fn has_ports(&self) -> bool {
        self.protocol != "-1"
    }

    fn words(&self) -> String {
        let peer = match &self.peer {
            Peer::V4(text) | Peer::V6(text) | Peer::Group(text) => text,
        };
        let ports =
            if self.has_ports() { format!(", from port: {}, to port: {}", self.from, self.to) } else { String::new() };
        let protocol = if self.has_ports() { self.protocol.to_uppercase() } else { "ALL".to_owned() };
        format!("peer: {peer}, {protocol}{ports}, ALLOW")
    }
}

/// All of a group's rules in one direction, in AWS's grouped form.
pub(super) fn write_permissions(body: &mut XmlBody, name: &str, account: &str, rules: &[Rule], egress: bool) {
    let mut kinds: Vec<&Rule> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.egress == egress) {
        if !kinds.iter().any(|kind| (&kind.protocol, kind.from, kind.to) == (&rule.protocol, rule.from, rule.to)) {
            kinds.push(rule);
        }
    }
    body.list(name, "item", kinds, |item, kind| {
        item.text("ipProtocol", &kind.protocol);
        if kind.has_ports() {
            item.text("fromPort", kind.from).text("toPort", kind.to);
        }
        let members: Vec<&Rule> = rules
            .iter()
            .filter(|rule| {
                rule.egress == egress && (&rule.protocol, rule.from, rule.to) == (&kind.protocol, kind.from, kind.to)
            })
            .collect();
        item.element("groups", |list| {
            for rule in &members {
                if let Peer::Group(id) = &rule.peer {
                    list.element("item", |inside| {
                        inside
                            .text("userId", account)
                            .text("groupId", id)
                            .maybe("description", rule.description.as_ref());
                    });
                }
            }
        });
        item.element("ipRanges", |list| {
            for rule in &members {
                if let Peer::V4(cidr) = &rule.peer {
                    list.element("item", |inside| {
                        inside.text("cidrIp", cidr).maybe("description", rule.description.as_ref());
                    });
                }
            }
        });
        item.element("ipv6Ranges", |list| {
            for rule in &members {
                if let Peer::V6(cidr) = &rule.peer {
                    list.element("item", |inside| {
                        inside.text("cidrIpv6", cidr).maybe("description", rule.description.as_ref());
                    });
                }
            }
        });
        item.element("prefixListIds", |_| {});
    });
}

fn write_rules(body: &mut XmlBody, account: &str, rules: &[(String, Rule)]) {
    body.list("securityGroupRuleSet", "item", rules, |item, (group, rule)| {
        item.text("securityGroupRuleId", &rule.id).text("groupId", group).text("groupOwnerId", account);
        item.text("isEgress", rule.egress)
            .text("ipProtocol", &rule.protocol)
            .text("fromPort", rule.from)
            .text("toPort", rule.to);
        match &rule.peer {
            Peer::V4(cidr) => item.text("cidrIpv4", cidr),
            Peer::V6(cidr) => item.text("cidrIpv6", cidr),
            Peer::Group(id) => item.element("referencedGroupInfo", |inside| {
                inside.text("groupId", id).text("userId", account);
            }),
        };
        item.maybe("description", rule.description.as_ref()).element("tagSet", |_| {});
    });
}

fn check_cidr(text: &str, v6: bool) -> Result<String, ApiError> {
    let invalid = || ApiError::bad("InvalidParameterValue", format!("CIDR block {text} is malformed"));
    let (address, length) = text.split_once('/').ok_or_else(invalid)?;
    let length: u32 = length.parse().map_err(|_| invalid())?;
    if v6 {
        let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
        return if length <= 128 { Ok(format!("{address}/{length}")) } else { Err(invalid()) };
    }
    let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
    if length > 32 {
        return Err(invalid());
    }
    // EC2 keeps the network's address, whatever host address was given.
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    Ok(format!("{}/{length}", Ipv4Addr::from(u32::from(address) & mask)))
}

/// The rules a call names, without ids.
fn read_rules(params: &Params, egress: bool) -> Result<Vec<Rule>, ApiError> {
    let mut rules = Vec::new();
    let mut sets = params.groups("IpPermissions");
    if sets.is_empty() && params.get("IpProtocol").is_some() {
        sets.push(params.clone());
    }
    for set in &sets {
        let protocol = match set.require("IpProtocol")?.to_lowercase().as_str() {
            "tcp" | "6" => "tcp".to_owned(),
            "udp" | "17" => "udp".to_owned(),
            "icmp" | "1" => "icmp".to_owned(),
            "icmpv6" | "58" => "icmpv6".to_owned(),
            "-1" | "all" => "-1".to_owned(),
            other if other.parse::<u8>().is_ok() => other.to_owned(),
            other => {
                let message = format!("Invalid value '{other}' for IP protocol. Unknown protocol.");
                return Err(ApiError::bad("InvalidParameterValue", message));
            }
        };
        let port = |name: &str| set.get(name).and_then(|value| value.parse::<i32>().ok());
        let (from, to) = (port("FromPort").unwrap_or(-1), port("ToPort").unwrap_or(-1));
        if protocol == "tcp" || protocol == "udp" {
            if set.get("FromPort").is_none() || set.get("ToPort").is_none() {
                let message = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(ApiError::bad("InvalidParameterValue", message));
            }
            if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to {
                let message = format!("Invalid TCP/UDP port range ({from}:{to})");
                return Err(ApiError::bad("InvalidParameterValue", message));
            }
        }
        let (from, to) = if protocol == "-1" { (-1, -1) } else { (from, to) };
        let mut peers: Vec<(Peer, Option<String>)> = Vec::new();
        if let Some(cidr) = set.get("CidrIp").filter(|_| set.get("IpRanges.1.CidrIp").is_none()) {
            peers.push((Peer::V4(check_cidr(cidr, false)?), None));
        }
        for range in set.groups("IpRanges") {
            peers.push((
                Peer::V4(check_cidr(range.require("CidrIp")?, false)?),
                range.get("Description").map(str::to_owned),
            ));
        }
        for range in set.groups("Ipv6Ranges") {
            peers.push((
                Peer::V6(check_cidr(range.require("CidrIpv6")?, true)?),
                range.get("Description").map(str::to_owned),
            ));
        }
        for pair in set.groups("Groups").into_iter().chain(set.groups("UserIdGroupPairs")) {
            peers.push((Peer::Group(pair.require("GroupId")?.to_owned()), pair.get("Description").map(str::to_owned)));
        }
        if peers.is_empty() {
            let message = "The request must contain the parameter ipRanges, ipv6Ranges, groups or prefixListIds";
            return Err(ApiError::bad("MissingParameter", message));
        }
        for (peer, description) in peers {
            rules.push(Rule { id: String::new(), egress, protocol: protocol.clone(), from, to, peer, description });
        }
    }
    Ok(rules)
}

impl Ec2 {
    pub(super) fn authorize(
        &mut self,
        ids: &mut Ids,
        params: &Params,
        now: Timestamp,
        egress: bool,
    ) -> Result<XmlBody, ApiError> {
        let group = self.group_asked(params, now)?;
        let mut rules = read_rules(params, egress)?;
        if rules.is_empty() {
            return Err(ApiError::bad("MissingParameter", "The request must contain the parameter ipPermissions"));
        }
        for (index, rule) in rules.iter().enumerate() {
            if let Peer::Group(id) = &rule.peer
                && !self.groups.contains_key(id)
            {
                return Err(ApiError::bad(
                    "InvalidGroup.NotFound",
                    format!("The security group '{id}' does not exist"),
                ));
            }
            if rules[..index].iter().any(|earlier| earlier.same(rule)) {
                return Err(ApiError::bad(
                    "InvalidParameterValue",
                    "The same permission must not appear multiple times",
                ));
            }
        }
        let account = self.account.clone();
        let Some(state) = self.groups.get_mut(&group) else { return Err(super::groups::not_found(&group)) };
        if let Some(known) = rules.iter().find(|rule| state.rules.iter().any(|known| known.same(rule))) {
            let message = format!("the specified rule \"{}\" already exists", known.words());
            return Err(ApiError::bad("InvalidPermission.Duplicate", message));
        }
        if state.rules.iter().filter(|rule| rule.egress == egress).count() + rules.len() > RULE_LIMIT {
            let message = "The maximum number of rules per security group has been reached.";
            return Err(ApiError::bad("RulesPerSecurityGroupLimitExceeded", message));
        }
        for rule in &mut rules {
            rule.id = ids.ec2("sgr");
        }
        state.rules.extend(rules.iter().cloned());
        let mut body = XmlBody::done();
        let named: Vec<(String, Rule)> = rules.into_iter().map(|rule| (group.clone(), rule)).collect();
        write_rules(&mut body, &account, &named);
        Ok(body)
    }

    pub(super) fn revoke(&mut self, params: &Params, now: Timestamp, egress: bool) -> Result<XmlBody, ApiError> {
        let group = self.group_asked(params, now)?;
        let rules = read_rules(params, egress)?;
        let by_id = params.list("SecurityGroupRuleId");
        let Some(state) = self.groups.get_mut(&group) else { return Err(super::groups::not_found(&group)) };
        if let Some(unknown) =
            by_id.iter().find(|id| !state.rules.iter().any(|rule| rule.id == **id && rule.egress == egress))
        {
            let message = format!("The security group rule ID '{unknown}' does not exist");
            return Err(ApiError::bad("InvalidSecurityGroupRuleId.NotFound", message));
        }
        if rules.iter().any(|rule| !state.rules.iter().any(|known| known.same(rule))) {
            let message = "The specified rule does not exist in this security group.";
            return Err(ApiError::bad("InvalidPermission.NotFound", message));
        }
        state.rules.retain(|known| !by_id.contains(&known.id) && !rules.iter().any(|rule| rule.same(known)));
        Ok(XmlBody::done())
    }

    pub(super) fn describe_rules(&self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        let (asked, filters) = (params.list("SecurityGroupRuleId"), Filters::read(params)?);
        let mut found = Vec::new();
        for group in self.groups.values().filter(|group| group.visible(now)) {
            for rule in group.rules.iter().filter(|rule| asked.is_empty() || asked.contains(&rule.id)) {
                let passes = filters.pass(&self.tags_of(&rule.id), |name| {
                    Some(vec![match name {
                        "group-id" => group.id.clone(),
                        "security-group-rule-id" => rule.id.clone(),
                        _ => return None,
                    }])
                })?;
                if passes {
                    found.push((group.id.clone(), rule.clone()));
                }
            }
        }
        let (found, next) = page(params, found, !asked.is_empty())?;
        let mut body = XmlBody::new();
        write_rules(&mut body, &self.account, &found);
        body.maybe("nextToken", next);
        Ok(body)
    }
}
