//! The parts of EC2's XML answers that are read. Unknown elements are ignored.

use serde::Deserialize;

/// `<xSet><item>…</item></xSet>`; an empty or missing set is an empty list.
#[derive(Debug, Deserialize)]
pub(super) struct Items<T> {
    #[serde(rename = "item", default = "Vec::new")]
    pub(super) item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Vpcs {
    #[serde(rename = "vpcSet", default)]
    pub(super) vpcs: Items<Vpc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vpc {
    pub(super) vpc_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subnets {
    #[serde(rename = "subnetSet", default)]
    pub(super) subnets: Items<Subnet>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subnet {
    pub(super) subnet_id: String,
    pub(super) vpc_id: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) available_ip_address_count: i64,
    #[serde(default)]
    pub(super) availability_zone: String,
    pub(super) availability_zone_id: Option<String>,
    #[serde(default)]
    pub(super) ipv6_native: bool,
    pub(super) outpost_arn: Option<String>,
    #[serde(rename = "blockPublicAccessStates")]
    pub(super) block: Option<BlockPublicAccess>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockPublicAccess {
    pub(super) internet_gateway_block_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteTables {
    #[serde(rename = "routeTableSet", default)]
    pub(super) tables: Items<RouteTable>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RouteTable {
    #[serde(rename = "routeSet", default)]
    pub(super) routes: Items<Route>,
    #[serde(rename = "associationSet", default)]
    pub(super) associations: Items<Association>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    pub(super) destination_cidr_block: Option<String>,
    pub(super) gateway_id: Option<String>,
    pub(super) nat_gateway_id: Option<String>,
    pub(super) state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Association {
    pub(super) subnet_id: Option<String>,
    #[serde(default)]
    pub(super) main: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interfaces {
    #[serde(rename = "networkInterfaceSet", default)]
    pub(super) interfaces: Items<Interface>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interface {
    pub(super) network_interface_id: String,
    pub(super) status: Option<String>,
    pub(super) description: Option<String>,
    pub(super) association: Option<PublicAddress>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicAddress {
    pub(super) public_ip: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Groups {
    #[serde(rename = "securityGroupInfo", default)]
    pub(super) groups: Items<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) group_id: String,
    #[serde(rename = "ipPermissions", default)]
    pub(super) permissions: Items<Permission>,
    #[serde(rename = "tagSet", default)]
    pub(super) tags: Items<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permission {
    #[serde(default)]
    pub(super) ip_protocol: String,
    pub(super) from_port: Option<i64>,
    pub(super) to_port: Option<i64>,
    #[serde(rename = "ipRanges", default)]
    pub(super) ranges: Items<Range>,
    #[serde(rename = "ipv6Ranges", default)]
    pub(super) ranges6: Items<Range6>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Range {
    pub(super) cidr_ip: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Range6 {
    #[serde(rename = "cidrIpv6")]
    pub(super) cidr: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedGroup {
    pub(super) group_id: String,
}

/// An answer of which only the success matters.
#[derive(Debug, Deserialize)]
pub(super) struct Done {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_read_as_aws_writes_it() {
        let text = r#"<?xml version="1.0"?><DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
            <requestId>r</requestId><subnetSet><item><subnetId>subnet-1</subnetId><subnetArn>a</subnetArn>
            <state>available</state><vpcId>vpc-1</vpcId><availableIpAddressCount>4091</availableIpAddressCount>
            <availabilityZone>us-east-1a</availabilityZone><availabilityZoneId>use1-az1</availabilityZoneId>
            <blockPublicAccessStates><internetGatewayBlockMode>off</internetGatewayBlockMode></blockPublicAccessStates>
            <ipv6Native>false</ipv6Native><tagSet/></item></subnetSet></DescribeSubnetsResponse>"#;
        let read: Subnets = quick_xml::de::from_str(text).unwrap();
        let subnet = &read.subnets.item[0];
        assert_eq!((subnet.subnet_id.as_str(), subnet.available_ip_address_count), ("subnet-1", 4091));
        assert_eq!(subnet.availability_zone_id.as_deref(), Some("use1-az1"));
        let empty: Subnets = quick_xml::de::from_str("<R><subnetSet/></R>").unwrap();
        assert!(empty.subnets.item.is_empty());
    }

    #[test]
    fn an_interface_may_have_no_public_address() {
        let text = "<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><status>in-use</status>\
            <association><publicIp>203.0.113.9</publicIp></association></item><item>\
            <networkInterfaceId>eni-2</networkInterfaceId></item></networkInterfaceSet></R>";
        let read: Interfaces = quick_xml::de::from_str(text).unwrap();
        let ip = |n: usize| read.interfaces.item[n].association.as_ref().and_then(|a| a.public_ip.as_deref());
        assert_eq!((ip(0), ip(1)), (Some("203.0.113.9"), None));
    }
}
