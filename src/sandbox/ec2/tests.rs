//! EC2: one test per rule that a teardown meets.

use super::*;
use crate::domain::model::Span;

fn fresh() -> (Ec2, Ids, Timestamp) {
    let mut ids = Ids::new(3);
    let ec2 = Ec2::new(&mut ids, "us-east-1", "000000000000");
    (ec2, ids, Timestamp::from_millis(1_795_400_000_000))
}

fn params(text: &str) -> Params {
    Params::parse(text.as_bytes())
}

fn between<'a>(body: &'a XmlBody, tag: &str) -> &'a str {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    body.as_str().split(&open).nth(1).and_then(|rest| rest.split(&close).next()).unwrap_or_default()
}

fn group(ec2: &mut Ec2, ids: &mut Ids, now: Timestamp, name: &str) -> String {
    let ask = params(&format!(
        "GroupName={name}&GroupDescription=x&TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=labguard:session&TagSpecification.1.Tag.1.Value=s1"
    ));
    between(&ec2.create_group(ids, &ask, now).unwrap(), "groupId").to_owned()
}

#[test]
fn a_fresh_account_has_a_public_default_network_and_nothing_left_over() {
    let (ec2, _, now) = fresh();
    let vpc = ec2.describe_vpcs(&params("Filter.1.Name=is-default&Filter.1.Value.1=true"), true).unwrap();
    let id = between(&vpc, "vpcId");
    let subnets = ec2
        .describe_subnets(
            &params(&format!(
                "Filter.1.Name=vpc-id&Filter.1.Value.1={id}&Filter.2.Name=default-for-az&Filter.2.Value.1=true"
            )),
            now,
        )
        .unwrap();
    assert_eq!(subnets.as_str().matches("<subnetId>").count(), 3);
    assert!(subnets.as_str().contains("<availabilityZone>us-east-1b</availabilityZone>"));
    let routes = ec2.describe_route_tables(&params("Filter.1.Name=association.main&Filter.1.Value.1=true")).unwrap();
    assert!(routes.as_str().contains("<destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><gatewayId>igw-"));
    let explicit = format!("Filter.1.Name=association.subnet-id&Filter.1.Value.1={}", between(&subnets, "subnetId"));
    assert!(!ec2.describe_route_tables(&params(&explicit)).unwrap().as_str().contains("<routeTableId>"));
    assert!(ec2.leftovers(now).is_empty());
    assert_eq!(ec2.describe_vpcs(&params("VpcId.1=vpc-1"), true).unwrap_err().code, "InvalidVpcID.NotFound");
    assert_eq!(
        ec2.describe_vpcs(&params("Filter.1.Name=nonsense&Filter.1.Value.1=x"), true).unwrap_err().code,
        "InvalidParameterValue"
    );
}

#[test]
fn a_group_name_is_unique_whatever_its_case_and_its_tags_can_be_filtered_for() {
    let (mut ec2, mut ids, now) = fresh();
    let id = group(&mut ec2, &mut ids, now, "lab");
    let again = params("GroupName=LAB&GroupDescription=x");
    assert_eq!(ec2.create_group(&mut ids, &again, now).unwrap_err().code, "InvalidGroup.Duplicate");
    let elsewhere = params("GroupName=b&GroupDescription=x&VpcId=vpc-9");
    assert_eq!(ec2.create_group(&mut ids, &elsewhere, now).unwrap_err().code, "InvalidVpcID.NotFound");
    let found = ec2.describe_groups(&params("Filter.1.Name=tag:labguard:session&Filter.1.Value.1=s1"), now).unwrap();
    assert_eq!((found.as_str().matches("<groupId>").count(), between(&found, "groupId")), (1, id.as_str()));
    assert!(ec2.tagged()[0].0.ends_with(&format!("security-group/{id}")));
    ec2.delete_tags(&params(&format!("ResourceId.1={id}&Tag.1.Key=labguard:session"))).unwrap();
    assert!(ec2.tagged().is_empty());
}

#[test]
fn rules_are_added_all_or_none_and_the_same_rule_twice_is_a_duplicate() {
    let (mut ec2, mut ids, now) = fresh();
    let id = group(&mut ec2, &mut ids, now, "lab");
    let rule = |number: u32, port: u32| {
        format!(
            "&IpPermissions.{number}.IpProtocol=tcp&IpPermissions.{number}.FromPort={port}&IpPermissions.{number}.ToPort={port}&IpPermissions.{number}.IpRanges.1.CidrIp=0.0.0.0/0"
        )
    };
    let first = params(&format!("GroupId={id}{}", rule(1, 80)));
    ec2.authorize(&mut ids, &first, now, false).unwrap();
    let both = params(&format!("GroupId={id}{}{}", rule(1, 5000), rule(2, 80)));
    let error = ec2.authorize(&mut ids, &both, now, false).unwrap_err();
    assert_eq!(error.code, "InvalidPermission.Duplicate");
    assert_eq!(
        error.message,
        "the specified rule \"peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW\" already exists"
    );
    let described = ec2.describe_groups(&params(&format!("GroupId.1={id}")), now).unwrap();
    assert!(!described.as_str().contains("5000"));
    ec2.revoke(&first, now, false).unwrap();
    assert_eq!(ec2.revoke(&first, now, false).unwrap_err().code, "InvalidPermission.NotFound");
    for port in 1..=60 {
        ec2.authorize(&mut ids, &params(&format!("GroupId={id}{}", rule(1, port))), now, false).unwrap();
    }
    let over = ec2.authorize(&mut ids, &params(&format!("GroupId={id}{}", rule(1, 99))), now, false).unwrap_err();
    assert_eq!(over.code, "RulesPerSecurityGroupLimitExceeded");
}

#[test]
fn an_interface_outlives_its_task_and_holds_the_group_until_it_is_gone() {
    let (mut ec2, mut ids, now) = fresh();
    let id = group(&mut ec2, &mut ids, now, "lab");
    let subnet = ec2.subnets[0].id.clone();
    let groups = [id.clone()];
    let eni =
        ec2.attach_task_interface(&mut ids, now, "arn:task", &subnet, &groups, Some("100.64.0.1".to_owned())).unwrap();
    let described = ec2.describe_interfaces(&params(&format!("NetworkInterfaceId.1={}", eni.id)), now).unwrap();
    assert!(described.as_str().contains("<association><publicIp>100.64.0.1</publicIp>"));
    let delete = params(&format!("GroupId={id}"));
    ec2.release_task_interface(now, &eni.id, Span::from_secs(30));
    let error = ec2.delete_group(&delete, now + Span::from_secs(29)).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message),
        ("DependencyViolation", format!("resource {id} has a dependent object"))
    );
    let by_group = params(&format!("Filter.1.Name=group-id&Filter.1.Value.1={id}&IncludeManagedResources=true"));
    assert!(ec2.describe_interfaces(&by_group, now + Span::from_secs(29)).unwrap().as_str().contains(&eni.id));
    let later = now + Span::from_secs(30);
    ec2.delete_group(&delete, later).unwrap();
    assert_eq!(ec2.delete_group(&delete, later).unwrap_err().code, "InvalidGroup.NotFound");
    let gone = ec2.describe_interfaces(&params(&format!("NetworkInterfaceId.1={}", eni.id)), later).unwrap_err();
    assert_eq!(gone.code, "InvalidNetworkInterfaceID.NotFound");
    assert!(ec2.leftovers(later).is_empty());
}

#[test]
fn the_default_group_and_a_group_referred_to_by_another_stay() {
    let (mut ec2, mut ids, now) = fresh();
    let default = ec2.groups.values().next().unwrap().id.clone();
    assert_eq!(ec2.delete_group(&params(&format!("GroupId={default}")), now).unwrap_err().code, "CannotDelete");
    let (one, two) = (group(&mut ec2, &mut ids, now, "one"), group(&mut ec2, &mut ids, now, "two"));
    let refers = params(&format!("GroupId={two}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={one}"));
    ec2.authorize(&mut ids, &refers, now, false).unwrap();
    assert_eq!(ec2.delete_group(&params(&format!("GroupId={one}")), now).unwrap_err().code, "DependencyViolation");
    ec2.delete_group(&params(&format!("GroupId={two}")), now).unwrap();
    ec2.delete_group(&params(&format!("GroupId={one}")), now).unwrap();
}

#[test]
fn an_unknown_subnet_or_group_is_refused_in_run_tasks_words() {
    let (mut ec2, mut ids, now) = fresh();
    let subnet = ec2.subnets[0].id.clone();
    let error = ec2.attach_task_interface(&mut ids, now, "arn", "subnet-1", &[], None).unwrap_err();
    assert!(error.code == "InvalidParameterException" && error.message.contains("InvalidSubnetID.NotFound"));
    let error = ec2.attach_task_interface(&mut ids, now, "arn", &subnet, &["sg-1".to_owned()], None).unwrap_err();
    assert!(error.message.contains("The security group 'sg-1' does not exist"));
}
