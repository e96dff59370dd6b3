//! The default VPC, its subnets and its main route table: what is there before anyone creates anything.
//!
//! Guarantees: every subnet is default for its zone and leads to the internet. Never changes.

use crate::{
    domain::model::Timestamp,
    sandbox::{ids::Ids, params::Params, wire::ApiError, xml::XmlBody},
};

use super::{
    Ec2,
    filter::{Filters, page},
    tags::write_tags,
};

/// The default VPC.
#[derive(Debug)]
pub(super) struct Vpc {
    pub(super) id: String,
    pub(super) dhcp_options: String,
    pub(super) association: String,
}

/// The VPC's addresses, as in every default VPC.
const VPC_CIDR: &str = "172.31.0.0/16";

/// A default subnet.
#[derive(Debug)]
pub(super) struct Subnet {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) zone_id: String,
    /// The third byte of its first address: 172.31.`block`.0/20.
    pub(super) block: u8,
    /// Host addresses handed out so far.
    pub(super) handed_out: u32,
}

/// The main route table.
#[derive(Debug)]
pub(super) struct RouteTable {
    pub(super) id: String,
    pub(super) gateway: String,
    pub(super) association: String,
}

/// One subnet in each of the zones a, b and c.
pub(super) fn default_subnets(ids: &mut Ids, region: &str) -> Vec<Subnet> {
    [('a', 1), ('b', 2), ('c', 4)]
        .into_iter()
        .zip([0_u8, 16, 32])
        .map(|((letter, number), block)| Subnet {
            id: ids.ec2("subnet"),
            zone: format!("{region}{letter}"),
            zone_id: format!("{}-az{number}", short_region(region)),
            block,
            handed_out: 0,
        })
        .collect()
}

/// `us-east-1` as zone ids write it: `use1`.
fn short_region(region: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    let side: String = parts.next().unwrap_or_default().chars().take(1).collect();
    format!("{area}{side}{}", parts.next().unwrap_or_default())
}

impl Ec2 {
    pub(super) fn describe_vpcs(&self, params: &Params, is_default: bool) -> Result<XmlBody, ApiError> {
        let asked = params.list("VpcId");
        if let Some(unknown) = asked.iter().find(|id| **id != self.vpc.id) {
            return Err(ApiError::bad("InvalidVpcID.NotFound", format!("The vpc ID '{unknown}' does not exist")));
        }
        let tags = self.tags_of(&self.vpc.id);
        let passes = Filters::read(params)?.pass(&tags, |name| {
            Some(vec![match name {
                "vpc-id" => self.vpc.id.clone(),
                "is-default" | "isDefault" => is_default.to_string(),
                "cidr" | "cidr-block-association.cidr-block" => VPC_CIDR.to_owned(),
                "state" => "available".to_owned(),
                "owner-id" => self.account.clone(),
                "dhcp-options-id" => self.vpc.dhcp_options.clone(),
                _ => return None,
            }])
        })?;
        let (vpcs, next) = page(params, if passes { vec![&self.vpc] } else { vec![] }, !asked.is_empty())?;
        let mut body = XmlBody::new();
        body.list("vpcSet", "item", vpcs, |item, vpc| {
            item.text("vpcId", &vpc.id)
                .text("ownerId", &self.account)
                .text("state", "available")
                .text("cidrBlock", VPC_CIDR);
            item.list("cidrBlockAssociationSet", "item", [&vpc.association], |inside, association| {
                inside.text("cidrBlock", VPC_CIDR).text("associationId", association);
                inside.element("cidrBlockState", |state| {
                    state.text("state", "associated");
                });
            });
            item.text("dhcpOptionsId", &vpc.dhcp_options)
                .text("instanceTenancy", "default")
                .text("isDefault", is_default);
            write_tags(item, &tags);
        });
        body.maybe("nextToken", next);
        Ok(body)
    }

    pub(super) fn describe_subnets(&self, params: &Params, now: Timestamp) -> Result<XmlBody, ApiError> {
        let asked = params.list("SubnetId");
        if let Some(unknown) = asked.iter().find(|id| !self.subnet_exists(id)) {
            return Err(ApiError::bad("InvalidSubnetID.NotFound", format!("The subnet ID '{unknown}' does not exist")));
        }
        let filters = Filters::read(params)?;
        let mut found = Vec::new();
        for subnet in self.subnets.iter().filter(|subnet| asked.is_empty() || asked.contains(&subnet.id)) {
            let passes = filters.pass(&self.tags_of(&subnet.id), |name| {
                Some(vec![match name {
                    "subnet-id" => subnet.id.clone(),
                    "subnet-arn" => self.arn(&subnet.id),
                    "vpc-id" => self.vpc.id.clone(),
                    "default-for-az" | "defaultForAz" | "map-public-ip-on-launch" => "true".to_owned(),
                    "ipv6-native" => "false".to_owned(),
                    "availability-zone" | "availabilityZone" => subnet.zone.clone(),
                    "availability-zone-id" | "availabilityZoneId" => subnet.zone_id.clone(),
                    "cidr-block" | "cidr" | "cidrBlock" => format!("172.31.{}.0/20", subnet.block),
                    "available-ip-address-count" => self.free_addresses(subnet, now).to_string(),
                    "state" => "available".to_owned(),
                    "owner-id" => self.account.clone(),
                    _ => return None,
                }])
            })?;
            if passes {
                found.push(subnet);
            }
        }
        let (subnets, next) = page(params, found, !asked.is_empty())?;
        let mut body = XmlBody::new();
        body.list("subnetSet", "item", subnets, |item, subnet| {
            item.text("subnetId", &subnet.id).text("subnetArn", self.arn(&subnet.id)).text("state", "available");
            item.text("ownerId", &self.account).text("vpcId", &self.vpc.id);
            item.text("cidrBlock", format!("172.31.{}.0/20", subnet.block));
            item.element("ipv6CidrBlockAssociationSet", |_| {});
            item.text("availableIpAddressCount", self.free_addresses(subnet, now));
            item.text("availabilityZone", &subnet.zone).text("availabilityZoneId", &subnet.zone_id);
            item.text("defaultForAz", true).text("mapPublicIpOnLaunch", true).text("mapCustomerOwnedIpOnLaunch", false);
            item.text("assignIpv6AddressOnCreation", false).text("enableDns64", false).text("ipv6Native", false);
            item.element("blockPublicAccessStates", |states| {
                states.text("internetGatewayBlockMode", "off");
            });
            write_tags(item, &self.tags_of(&subnet.id));
        });
        body.maybe("nextToken", next);
        Ok(body)
    }

    fn free_addresses(&self, subnet: &Subnet, now: Timestamp) -> usize {
        4091 - self.interfaces.values().filter(|eni| eni.exists(now) && eni.subnet == subnet.id).count().min(4091)
    }

    pub(super) fn describe_route_tables(&self, params: &Params) -> Result<XmlBody, ApiError> {
        let asked = params.list("RouteTableId");
        let table = &self.route_table;
        if let Some(unknown) = asked.iter().find(|id| **id != table.id) {
            let message = format!("The routeTable ID '{unknown}' does not exist");
            return Err(ApiError::bad("InvalidRouteTableID.NotFound", message));
        }
        let tags = self.tags_of(&table.id);
        let passes = Filters::read(params)?.pass(&tags, |name| {
            Some(match name {
                "association.subnet-id" | "association.gateway-id" | "route.nat-gateway-id" => vec![],
                "association.main" => vec!["true".to_owned()],
                "association.route-table-id" | "route-table-id" => vec![table.id.clone()],
                "association.route-table-association-id" => vec![table.association.clone()],
                "route.destination-cidr-block" => vec![VPC_CIDR.to_owned(), "0.0.0.0/0".to_owned()],
                "route.gateway-id" => vec!["local".to_owned(), table.gateway.clone()],
                "route.state" => vec!["active".to_owned()],
                "vpc-id" => vec![self.vpc.id.clone()],
                "owner-id" => vec![self.account.clone()],
                _ => return None,
            })
        })?;
        let (tables, next) = page(params, if passes { vec![table] } else { vec![] }, !asked.is_empty())?;
        let mut body = XmlBody::new();
        body.list("routeTableSet", "item", tables, |item, table| {
            item.text("routeTableId", &table.id).text("vpcId", &self.vpc.id).text("ownerId", &self.account);
            let routes =
                [(VPC_CIDR, "local", "CreateRouteTable"), ("0.0.0.0/0", table.gateway.as_str(), "CreateRoute")];
            item.list("routeSet", "item", routes, |route, (destination, gateway, origin)| {
                route.text("destinationCidrBlock", destination).text("gatewayId", gateway);
                route.text("state", "active").text("origin", origin);
            });
            item.list("associationSet", "item", [table], |inside, table| {
                inside.text("routeTableAssociationId", &table.association).text("routeTableId", &table.id);
                inside.text("main", true).element("associationState", |state| {
                    state.text("state", "associated");
                });
            });
            item.element("propagatingVgwSet", |_| {});
            write_tags(item, &tags);
        });
        body.maybe("nextToken", next);
        Ok(body)
    }

    pub(super) fn describe_zones(&self) -> Result<XmlBody, ApiError> {
        let mut body = XmlBody::new();
        body.list("availabilityZoneInfo", "item", &self.subnets, |item, subnet| {
            item.text("optInStatus", "opt-in-not-required")
                .text("regionName", &self.region)
                .text("zoneName", &subnet.zone);
            item.text("zoneId", &subnet.zone_id).text("groupName", &self.region).text("zoneType", "availability-zone");
            item.text("zoneState", "available");
        });
        Ok(body)
    }
}
