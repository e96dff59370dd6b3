//! The network interfaces of Fargate tasks.
//!
//! Guarantees: an interface outlives its task by the time given at release and holds its security groups until then.
//! Never lets a caller create, change or delete one: they are ECS's.

use crate::{
    domain::model::{Span, Timestamp},
    sandbox::{ids::Ids, params::Params, wire::ApiError, xml::XmlBody},
};

use super::{
    Ec2,
    filter::{Filters, page},
    tags::write_tags,
};

/// What a task's attachment says about its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eni-…`.
    pub id: String,
    /// Its address in the VPC.
    pub private_ip: String,
    /// Its hardware address.
    pub mac: String,
}

/// An elastic network interface.
#[derive(Debug)]
pub(super) struct Eni {
    pub(super) id: String,
    pub(super) subnet: String,
    zone: String,
    task_arn: String,
    attachment: String,
    pub(super) groups: Vec<String>,
    private_ip: String,
    mac: String,
    public_ip: Option<String>,
    created: Timestamp,
    /// When it vanishes; `None` while its task lives.
    gone: Option<Timestamp>,
}

impl Eni {
    /// Whether it is still there at `now`.
    pub(super) fn exists(&self, now: Timestamp) -> bool {
        self.gone.is_none_or(|gone| now < gone)
    }

    fn private_dns(&self) -> String {
        format!("ip-{}.ec2.internal", self.private_ip.replace('.', "-"))
    }

    fn attachment_status(&self) -> &'static str {
        if self.gone.is_some() { "detaching" } else { "attached" }
    }
}

impl Ec2 {
    /// Gives a task its interface.
    ///
    /// # Errors
    /// What RunTask answers with when the subnet or a group does not exist: `InvalidParameterException`.
    pub fn attach_task_interface(
        &mut self,
        ids: &mut Ids,
        now: Timestamp,
        task_arn: &str,
        subnet: &str,
        groups: &[String],
        public_ip: Option<String>,
    ) -> Result<Interface, ApiError> {
        self.interfaces.retain(|_, eni| eni.exists(now));
        for group in groups {
            if !self.groups.contains_key(group) {
                return Err(ApiError::invalid(format!(
                    "Error retrieving security group information for [{group}]: The security group '{group}' does not exist (ErrorCode: InvalidGroup.NotFound)"
                )));
            }
        }
        let default_group = self.groups.values().find(|group| group.is_default()).map(|group| group.id.clone());
        let Some(place) = self.subnets.iter_mut().find(|known| known.id == subnet) else {
            return Err(ApiError::invalid(format!(
                "Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )));
        };
        let host = 4 + place.handed_out % 4091;
        place.handed_out += 1;
        let private_ip = format!("172.31.{}.{}", u32::from(place.block) + host / 256, host % 256);
        let random = ids.hex(10);
        let mac =
            format!("0a:{}:{}:{}:{}:{}", &random[0..2], &random[2..4], &random[4..6], &random[6..8], &random[8..10]);
        let eni = Eni {
            id: ids.eni(),
            subnet: subnet.to_owned(),
            zone: place.zone.clone(),
            task_arn: task_arn.to_owned(),
            attachment: ids.ec2("eni-attach"),
            groups: if groups.is_empty() { default_group.into_iter().collect() } else { groups.to_vec() },
            private_ip: private_ip.clone(),
            mac: mac.clone(),
            public_ip,
            created: now,
            gone: None,
        };
        let id = eni.id.clone();
        self.interfaces.insert(id.clone(), eni);
        Ok(Interface { id, private_ip, mac })
    }

    /// Lets go of a task's interface: its public address is free at once, the interface itself (and with it the hold
    /// on its security groups) only after `linger`.
    pub fn release_task_interface(&mut self, now: Timestamp, eni_id: &str, linger: Span) {
        if let Some(eni) = self.interfaces.get_mut(eni_id) {
            eni.public_ip = None;
            eni.gone.get_or_insert(now + linger);
        }
    }

    pub(super) fn describe_interfaces(&mut self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        self.interfaces.retain(|_, eni| eni.exists(now));
        let asked = params.list("NetworkInterfaceId");
        if let Some(unknown) = asked.iter().find(|id| !self.interfaces.contains_key(*id)) {
            let message = format!("The networkInterface ID '{unknown}' does not exist");
            return Err(ApiError::bad("InvalidNetworkInterfaceID.NotFound", message));
        }
        let filters = Filters::read(params)?;
        let mut found = Vec::new();
        for eni in self.interfaces.values().filter(|eni| asked.is_empty() || asked.contains(&eni.id)) {
            if filters.pass(&self.tags_of(&eni.id), |name| self.interface_field(eni, name))? {
                found.push(eni);
            }
        }
        let (found, next) = page(params, found, !asked.is_empty())?;
        let mut body = XmlBody::new();
        body.list("networkInterfaceSet", "item", found, |item, eni| self.write_interface(item, eni));
        body.maybe("nextToken", next);
        Ok(body)
    }

    fn interface_field(&self, eni: &Eni, name: &str) -> Option<Vec<String>> {
        let one = |value: &str| vec![value.to_owned()];
        Some(match name {
            "network-interface-id" => one(&eni.id),
            "group-id" => eni.groups.clone(),
            "group-name" => {
                eni.groups.iter().filter_map(|id| self.groups.get(id)).map(|group| group.name.clone()).collect()
            }
            "subnet-id" => one(&eni.subnet),
            "vpc-id" => one(&self.vpc.id),
            "availability-zone" => one(&eni.zone),
            "status" => one("in-use"),
            "description" => one(&eni.task_arn),
            "private-ip-address" | "addresses.private-ip-address" => one(&eni.private_ip),
            "mac-address" => one(&eni.mac),
            "owner-id" | "attachment.instance-owner-id" => one(&self.account),
            "requester-managed" => one("true"),
            "requester-id" => one("labguard-sandbox-ecs"),
            "interface-type" => one("interface"),
            "association.public-ip" | "addresses.association.public-ip" => eni.public_ip.clone().into_iter().collect(),
            "association.ip-owner-id" => eni.public_ip.iter().map(|_| "amazon".to_owned()).collect(),
            "attachment.attachment-id" => one(&eni.attachment),
            "attachment.status" => one(eni.attachment_status()),
            "attachment.instance-id" => vec![],
            _ => return None,
        })
    }

    fn write_interface(&self, item: &mut XmlBody, eni: &Eni) {
        let association = |body: &mut XmlBody| {
            if let Some(address) = &eni.public_ip {
                body.element("association", |inside| {
                    inside.text("publicIp", address);
                    inside.text("publicDnsName", format!("ec2-{}.compute-1.amazonaws.com", address.replace('.', "-")));
                    inside.text("ipOwnerId", "amazon");
                });
            }
        };
        item.text("networkInterfaceId", &eni.id).text("subnetId", &eni.subnet).text("vpcId", &self.vpc.id);
        item.text("availabilityZone", &eni.zone).text("description", &eni.task_arn).text("ownerId", &self.account);
        item.text("requesterId", "labguard-sandbox-ecs").text("requesterManaged", true).text("status", "in-use");
        item.text("macAddress", &eni.mac).text("privateIpAddress", &eni.private_ip);
        item.text("privateDnsName", eni.private_dns()).text("sourceDestCheck", true);
        item.list("groupSet", "item", &eni.groups, |inside, id| {
            inside.text("groupId", id).maybe("groupName", self.groups.get(id).map(|group| &group.name));
        });
        item.element("attachment", |inside| {
            inside.text("attachmentId", &eni.attachment).text("instanceOwnerId", &self.account).text("deviceIndex", 1);
            inside
                .text("status", eni.attachment_status())
                .text("attachTime", eni.created)
                .text("deleteOnTermination", true);
        });
        association(item);
        write_tags(item, &self.tags_of(&eni.id));
        item.list("privateIpAddressesSet", "item", [eni], |inside, eni| {
            inside
                .text("privateIpAddress", &eni.private_ip)
                .text("privateDnsName", eni.private_dns())
                .text("primary", true);
            association(inside);
        });
        item.element("ipv6AddressesSet", |_| {});
        item.text("interfaceType", "interface");
    }
}
