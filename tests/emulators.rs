//! The SDK's own clients against independent emulators, over TCP: wire format, and the fixtures that make them usable.
//!
//! These prove the ground that whole sessions are tested on; they prove nothing about AWS's guards, which no emulator has.

mod support;

use std::{net::Ipv4Addr, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, MetricDatum, StandardUnit, Statistic},
};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Compatibility, ContainerDefinition, LaunchType, NetworkConfiguration,
    NetworkMode,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use support::emulators::{Ministack, Moto};

async fn sdk(endpoint: String) -> SdkConfig {
    let client =
        aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(aws_credential_types::Credentials::new("fixture", "fixture", None, None, "fixture"))
        .endpoint_url(endpoint)
        .http_client(client)
        .load()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_keeps_a_watched_task_running_and_its_interface_gets_the_address_given() {
    let moto = Moto::start();
    let address = Ipv4Addr::new(127, 88, 0, 7);
    let giving = moto.give_addresses(&[address]);
    let config = sdk(moto.endpoint()).await;
    let ecs = aws_sdk_ecs::Client::new(&config);

    ecs.create_cluster().cluster_name("lab").send().await.unwrap();
    ecs.register_task_definition()
        .family("lab")
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        // moto answers 500 without container-level figures
        .container_definitions(ContainerDefinition::builder().name("app").image("app:1").cpu(256).memory(512).build())
        .send()
        .await
        .unwrap();
    let subnet = a_subnet(&moto);
    let vpc = AwsVpcConfiguration::builder()
        .subnets(subnet)
        // moto answers 500 without any
        .security_groups(a_group(&moto))
        .assign_public_ip(AssignPublicIp::Enabled)
        .build()
        .unwrap();
    let ran = ecs
        .run_task()
        .cluster("lab")
        .task_definition("lab")
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .send()
        .await
        .unwrap();
    let task = ran.tasks()[0].task_arn().unwrap().to_owned();

    // Ten looks: an untuned moto would have stopped it by the fourth.
    let mut interface = None;
    for _ in 0..10 {
        let seen = ecs.describe_tasks().cluster("lab").tasks(&task).send().await.unwrap();
        assert_eq!(seen.tasks()[0].last_status(), Some("RUNNING"));
        let details = seen.tasks()[0].attachments().iter().flat_map(|it| it.details());
        interface =
            details.filter(|it| it.name() == Some("networkInterfaceId")).find_map(|it| it.value().map(str::to_owned));
    }
    let interface = interface.expect("moto gives a Fargate task an interface");
    let mut waited = 0;
    while giving.given().is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        waited += 1;
        assert!(waited < 600, "the fixture gave no address");
    }
    assert_eq!(giving.given(), [(interface.clone(), address)]);
    let described = describe_interface(&moto, &interface);
    assert!(described.contains(&format!("<publicIp>{address}</publicIp>")), "{described}");

    drop(giving);
    moto.reset();
    assert_eq!(ecs.list_clusters().send().await.unwrap().cluster_arns(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_knows_the_managed_policy_that_the_execution_role_needs() {
    let moto = Moto::start();
    let config = sdk(moto.endpoint()).await;
    let iam = aws_sdk_iam::Client::new(&config);
    iam.create_role().role_name("lab").assume_role_policy_document("{}").send().await.unwrap();
    iam.attach_role_policy()
        .role_name("lab")
        .policy_arn("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
        .send()
        .await
        .unwrap();
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account().map(str::len), Some(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn ministack_gives_back_the_metrics_that_were_put_over_cbor() {
    let ministack = Ministack::start();
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk(ministack.endpoint()).await);
    let session = Dimension::builder().name("Session").value("admission-7k2m9q").build();
    let now = labguard::clock::Clock::System.now().as_secs();
    let datum = MetricDatum::builder()
        .metric_name("SpendDollars")
        .dimensions(session.clone())
        .timestamp(DateTime::from_secs(now))
        .unit(StandardUnit::None)
        .value(0.25)
        .build();
    cloudwatch.put_metric_data().namespace("Labguard").metric_data(datum).send().await.unwrap();
    let read = cloudwatch
        .get_metric_statistics()
        .namespace("Labguard")
        .metric_name("SpendDollars")
        .dimensions(session)
        .start_time(DateTime::from_secs(now - 300))
        .end_time(DateTime::from_secs(now + 300))
        .period(60)
        .statistics(Statistic::Maximum)
        .send()
        .await
        .unwrap();
    assert_eq!(read.datapoints().iter().map(|point| point.maximum()).collect::<Vec<_>>(), [Some(0.25)]);
}

#[test]
fn both_emulators_take_the_default_vpc_s_route_and_list_its_groups() {
    let (moto, ministack) = (Moto::start(), Ministack::start());
    for ec2 in [moto.ec2(), ministack.ec2()] {
        ec2.open_default_vpc();
        let tables = ec2.ask("Action=DescribeRouteTables");
        assert!(tables.contains("0.0.0.0/0"), "{tables}");
        assert!(ec2.security_groups().iter().all(|group| group.starts_with("sg-")));
    }
}

fn a_subnet(moto: &Moto) -> String {
    first(&moto.ec2().ask("Action=DescribeSubnets"), "subnetId")
}

fn a_group(moto: &Moto) -> String {
    moto.ec2().security_groups().first().cloned().unwrap_or_else(|| panic!("no security group"))
}

fn first(xml: &str, tag: &str) -> String {
    let rest = xml.split(&format!("<{tag}>")).nth(1).and_then(|rest| rest.split('<').next());
    rest.unwrap_or_else(|| panic!("no {tag} in {xml}")).to_owned()
}

fn describe_interface(moto: &Moto, interface: &str) -> String {
    moto.ec2().ask(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={interface}"))
}
