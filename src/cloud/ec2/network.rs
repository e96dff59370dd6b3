//! Finds the network to run in: a VPC and its usable public subnets (aws-facts §4, §10).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    answers::{RouteTable, RouteTables, Subnet, Subnets, Vpcs},
    client::Params,
};
use crate::{
    cloud::{Cloud, fault::own},
    domain::model::{self, Fault, FaultClass, Network},
};

const VPCS: &str = "ec2:DescribeVpcs";
const SUBNETS: &str = "ec2:DescribeSubnets";
const ROUTES: &str = "ec2:DescribeRouteTables";

/// Zones with Fargate, in the regions where not every zone has it (aws-facts §10).
const FARGATE_ZONES: [(&str, &[&str]); 2] =
    [("usw1-", &["usw1-az1", "usw1-az3"]), ("apne1-", &["apne1-az1", "apne1-az2", "apne1-az4"])];

/// Why a subnet cannot be used, if it cannot.
fn unusable(subnet: &Subnet) -> Option<String> {
    let zone_id = subnet.availability_zone_id.as_deref().unwrap_or_default();
    let blocked = subnet.block.as_ref().and_then(|block| block.internet_gateway_block_mode.as_deref());
    if !subnet.state.is_empty() && subnet.state != "available" {
        Some(format!("is {}", subnet.state))
    } else if subnet.available_ip_address_count <= 0 {
        Some("has no free address".into())
    } else if subnet.ipv6_native {
        Some("is IPv6-only".into())
    } else if subnet.outpost_arn.is_some() {
        Some("is on an Outpost".into())
    } else if blocked.is_some_and(|mode| mode != "off") {
        Some("is closed by VPC Block Public Access".into())
    } else if !zone_id.is_empty() && zone_id.split('-').count() != 2 {
        Some(format!("is in {zone_id}, which is no full zone"))
    } else if FARGATE_ZONES.iter().any(|(region, zones)| zone_id.starts_with(region) && !zones.contains(&zone_id)) {
        Some(format!("is in zone {zone_id}, which has no Fargate"))
    } else {
        None
    }
}

/// Whether a subnet's route table leads out; `any_way`: a NAT gateway will do as well.
fn leads_out(tables: &[RouteTable], subnet: &str, any_way: bool) -> bool {
    let explicit =
        tables.iter().find(|table| table.associations.item.iter().any(|a| a.subnet_id.as_deref() == Some(subnet)));
    let main = || tables.iter().find(|table| table.associations.item.iter().any(|a| a.main));
    explicit.or_else(main).is_some_and(|table| {
        table.routes.item.iter().any(|route| {
            let live = route.state.as_deref() != Some("blackhole");
            let everywhere = route.destination_cidr_block.as_deref() == Some("0.0.0.0/0");
            let gateway = route.gateway_id.as_deref().is_some_and(|id| id.starts_with("igw-"));
            live && everywhere
                && (gateway || (any_way && (route.nat_gateway_id.is_some() || route.gateway_id.is_none())))
        })
    })
}

/// One subnet of each zone first, then the second of each, and so on.
fn spread(mut subnets: Vec<model::Subnet>) -> Vec<model::Subnet> {
    subnets.sort_by(|a, b| (&a.zone, &a.id).cmp(&(&b.zone, &b.id)));
    let mut rank: BTreeMap<String, u32> = BTreeMap::new();
    let mut ranked: Vec<(u32, model::Subnet)> = subnets
        .into_iter()
        .map(|subnet| {
            let place = rank.entry(subnet.zone.clone()).or_default();
            *place += 1;
            (*place, subnet)
        })
        .collect();
    ranked.sort_by_key(|(place, _)| *place);
    // RunTask takes at most 16 (aws-facts §1.4).
    ranked.into_iter().map(|(_, subnet)| subnet).take(16).collect()
}

impl Cloud {
    /// Finds the default VPC (or uses the given one) and its usable public subnets (or checks the given ones).
    ///
    /// # Errors
    /// `Rejected` with advice when there is no default VPC or no usable public subnet; else AWS's refusal.
    pub async fn survey(&self, vpc: Option<&str>, subnets: &[String]) -> Result<Network, Fault> {
        let given = !subnets.is_empty();
        let (vpc, default) = match vpc {
            Some(vpc) => (Some(vpc.to_owned()), false),
            None if given => (None, false),
            None => (Some(self.default_vpc().await?), true),
        };
        let found = self.subnets(vpc.as_deref(), subnets, default).await?;
        let vpcs: BTreeSet<&str> = found.iter().map(|subnet| subnet.vpc_id.as_str()).collect();
        let vpc = match (vpc, vpcs.len()) {
            (Some(vpc), 0) => vpc,
            (Some(vpc), 1) if vpcs.contains(vpc.as_str()) => vpc,
            (None, 1) => vpcs.into_iter().next().unwrap_or_default().to_owned(),
            _ => {
                let message = format!("the given subnets are not all in one VPC (found {vpcs:?})");
                return Err(own(FaultClass::Rejected, SUBNETS, "SubnetsOfSeveralVpcs", message, None));
            }
        };
        let tables = self.route_tables(&vpc).await?;
        let mut reasons = Vec::new();
        let mut usable = Vec::new();
        for subnet in found {
            let reason = unusable(&subnet).or_else(|| {
                (!leads_out(&tables, &subnet.subnet_id, given)).then(|| "has no route to the internet".into())
            });
            match reason {
                Some(reason) => reasons.push(format!("{} {reason}", subnet.subnet_id)),
                None => usable.push(model::Subnet { id: subnet.subnet_id, zone: subnet.availability_zone }),
            }
        }
        if usable.is_empty() {
            let why = if reasons.is_empty() { "it has none at all".to_owned() } else { reasons.join("; ") };
            return Err(own(
                FaultClass::Rejected,
                SUBNETS,
                "NoPublicSubnet",
                format!("{vpc} has no usable public subnet: {why}"),
                Some("name a VPC or subnets with a route 0.0.0.0/0 to an internet gateway in the policy"),
            ));
        }
        Ok(Network { vpc, subnets: spread(usable) })
    }

    async fn default_vpc(&self) -> Result<String, Fault> {
        let answer: Vpcs = self.ec2(VPCS, Params::new().filter("is-default", "true")).await?;
        answer.vpcs.item.into_iter().next().map(|vpc| vpc.vpc_id).ok_or_else(|| {
            own(
                FaultClass::Rejected,
                VPCS,
                "NoDefaultVpc",
                format!("the account has no default VPC in {}", self.region()),
                Some("run `aws ec2 create-default-vpc`, or name a VPC and subnets in the policy"),
            )
        })
    }

    async fn subnets(&self, vpc: Option<&str>, ids: &[String], default: bool) -> Result<Vec<Subnet>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut params = Params::new();
            if ids.is_empty() {
                params = params.filter("vpc-id", vpc.unwrap_or_default());
                if default {
                    params = params.filter("default-for-az", "true");
                }
            } else {
                params = params.list("SubnetId", ids);
            }
            if let Some(token) = &next {
                params = params.with("NextToken", token);
            }
            let answer: Subnets = self.ec2(SUBNETS, params).await.map_err(|refusal| {
                let mut fault = Fault::from(refusal);
                if fault.class == FaultClass::NotFound {
                    // The policy names a subnet that is not there: it will not come by itself.
                    fault.class = FaultClass::Rejected;
                    fault.advice = Some("correct the subnets in the policy".to_owned());
                }
                fault
            })?;
            found.extend(answer.subnets.item);
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    async fn route_tables(&self, vpc: &str) -> Result<Vec<RouteTable>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut params = Params::new().filter("vpc-id", vpc);
            if let Some(token) = &next {
                params = params.with("NextToken", token);
            }
            let answer: RouteTables = self.ec2(ROUTES, params).await?;
            found.extend(answer.tables.item);
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(xml: &str) -> Subnet {
        let base = "<subnetId>s</subnetId><vpcId>v</vpcId>";
        quick_xml::de::from_str(&format!("<item>{base}{xml}</item>")).unwrap()
    }

    #[test]
    fn a_subnet_is_left_out_for_each_reason_of_the_facts() {
        let free = "<availableIpAddressCount>9</availableIpAddressCount>";
        assert_eq!(unusable(&subnet(free)), None);
        for xml in [
            "",
            &format!("{free}<state>pending</state>"),
            &format!("{free}<ipv6Native>true</ipv6Native>"),
            &format!("{free}<availabilityZoneId>apne1-az3</availabilityZoneId>"),
            &format!("{free}<availabilityZoneId>use1-bos1-az1</availabilityZoneId>"),
            &format!(
                "{free}<blockPublicAccessStates><internetGatewayBlockMode>block-ingress</internetGatewayBlockMode>\
                </blockPublicAccessStates>"
            ),
        ] {
            assert!(unusable(&subnet(xml)).is_some(), "{xml}");
        }
    }

    #[test]
    fn the_explicit_association_beats_the_main_table() {
        let text = "<R><routeTableSet><item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>\
            <gatewayId>igw-1</gatewayId><state>active</state></item></routeSet><associationSet><item><main>true</main>\
            </item></associationSet></item><item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>\
            <natGatewayId>nat-1</natGatewayId></item></routeSet><associationSet><item><subnetId>private</subnetId>\
            <main>false</main></item></associationSet></item></routeTableSet></R>";
        let tables: RouteTables = quick_xml::de::from_str(text).unwrap();
        let tables = tables.tables.item;
        assert!(leads_out(&tables, "any", false));
        assert!(!leads_out(&tables, "private", false));
        assert!(leads_out(&tables, "private", true));
    }

    #[test]
    fn zones_take_turns() {
        let subnet = |id: &str, zone: &str| model::Subnet { id: id.into(), zone: zone.into() };
        let order = spread(vec![subnet("1", "a"), subnet("2", "a"), subnet("3", "b")]);
        assert_eq!(order.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["1", "3", "2"]);
    }
}
