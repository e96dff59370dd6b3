//! The sandbox's ECS, IAM and STS, driven by AWS's own SDK in memory under paused time: one test per awkward truth.

#[path = "support/sdk.rs"]
mod sdk;

use std::{sync::Arc, time::Duration};

use aws_sdk_ecs::{
    error::{DisplayErrorContext, ProvideErrorMetadata},
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ClusterField, Compatibility,
        ContainerDefinition, ContainerOverride, DesiredStatus, KeyValuePair, LaunchType, LogConfiguration, LogDriver,
        NetworkConfiguration, NetworkMode, PortMapping, Tag, Task, TaskDefinitionStatus, TaskOverride,
    },
};
use bytes::Bytes;
use labguard::{
    domain::model::Span,
    sandbox::{
        Interruption, Sandbox,
        faults::FaultRule,
        latency::Latency,
        runtime::{Behaviour, Simulated},
    },
};
use sdk::{sandbox, sdk};

const IMAGE: &str = "lab/app:1";

struct Lab {
    sandbox: Sandbox,
    containers: Arc<Simulated>,
    ecs: aws_sdk_ecs::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
    subnet: String,
}

async fn raw(sandbox: &Sandbox, service: &str, target: Option<&str>, body: &str) -> (u16, String) {
    let mut request = http::Request::post("http://sandbox/").header(
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential=labguard-sandbox/20261122/us-east-1/{service}/aws4_request, Signature=0"),
    );
    if let Some(target) = target {
        request = request.header("x-amz-target", target);
    }
    let response = sandbox.handle(request.body(Bytes::from(body.to_owned())).unwrap()).await;
    (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
}

impl Lab {
    async fn with(latency: Latency) -> Lab {
        let containers = Arc::new(Simulated::new());
        containers.on_image(IMAGE, Behaviour::default());
        let sandbox = sandbox(1, 1_795_400_000, latency, Arc::clone(&containers));
        let (_, xml) = raw(&sandbox, "ec2", None, "Action=DescribeSubnets&Version=2016-11-15").await;
        let start = xml.find("<subnetId>").expect("a default subnet") + "<subnetId>".len();
        let subnet = xml[start..].split('<').next().unwrap().to_owned();
        let sdk = sdk(&sandbox);
        Lab {
            ecs: aws_sdk_ecs::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            sts: aws_sdk_sts::Client::new(&sdk),
            sandbox,
            containers,
            subnet,
        }
    }

    async fn quick() -> Lab {
        Lab::with(Latency::zero()).await
    }

    async fn cluster(&self, name: &str) {
        self.ecs.create_cluster().cluster_name(name).send().await.unwrap();
    }

    fn container(&self, image: &str) -> ContainerDefinition {
        ContainerDefinition::builder()
            .name("app")
            .image(image)
            .port_mappings(PortMapping::builder().container_port(5000).build())
            .stop_timeout(2)
            .build()
    }

    async fn register(&self, family: &str, container: ContainerDefinition) -> String {
        self.register_as(family, container, None).await
    }

    /// With an execution role, as a private image and the log driver need one.
    async fn register_as(&self, family: &str, container: ContainerDefinition, role: Option<String>) -> String {
        let answer = self
            .ecs
            .register_task_definition()
            .family(family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .set_execution_role_arn(role)
            .container_definitions(container)
            .send()
            .await
            .unwrap();
        answer.task_definition().unwrap().task_definition_arn().unwrap().to_owned()
    }

    fn network(&self) -> NetworkConfiguration {
        let vpc = AwsVpcConfiguration::builder()
            .subnets(&self.subnet)
            .assign_public_ip(AssignPublicIp::Enabled)
            .build()
            .unwrap();
        NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
    }

    fn run(&self, cluster: &str, definition: &str) -> aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder {
        self.ecs
            .run_task()
            .cluster(cluster)
            .task_definition(definition)
            .launch_type(LaunchType::Fargate)
            .network_configuration(self.network())
    }

    async fn running(&self, cluster: &str) -> String {
        self.cluster(cluster).await;
        let definition = self.register(cluster, self.container(IMAGE)).await;
        let answer = self.run(cluster, &definition).send().await.unwrap();
        answer.tasks()[0].task_arn().unwrap().to_owned()
    }

    async fn task(&self, cluster: &str, arn: &str) -> Task {
        let answer = self.ecs.describe_tasks().cluster(cluster).tasks(arn).send().await.unwrap();
        answer.tasks().first().unwrap_or_else(|| panic!("{:?}", answer.failures())).clone()
    }
}

/// Code and message of a failed call.
macro_rules! refused {
    ($call:expr) => {{
        let error = $call.send().await.expect_err("the call must be refused");
        let code = error.code().map(str::to_owned).unwrap_or_else(|| format!("{}", DisplayErrorContext(&error)));
        (code, error.message().unwrap_or_default().to_owned())
    }};
}

#[tokio::test(start_paused = true)]
async fn a_task_walks_through_every_state_and_leaves_its_times_behind() {
    let lab = Lab::with(Latency::aws_like()).await;
    let arn = lab.running("walk").await;
    let mut seen = Vec::new();
    for second in 0..400 {
        let answer = lab.ecs.describe_tasks().cluster("walk").tasks(&arn).send().await.unwrap();
        let status = match answer.tasks().first() {
            Some(task) => task.last_status().unwrap().to_owned(),
            None => answer.failures()[0].reason().unwrap().to_owned(),
        };
        if seen.last() != Some(&status) {
            seen.push(status.clone());
        }
        match status.as_str() {
            "RUNNING" => {
                lab.ecs.stop_task().cluster("walk").task(&arn).reason("labguard: idle").send().await.unwrap();
            }
            "STOPPED" => break,
            _ => {}
        }
        assert!(second < 399, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(
        seen,
        [
            "MISSING",
            "PROVISIONING",
            "PENDING",
            "ACTIVATING",
            "RUNNING",
            "DEACTIVATING",
            "STOPPING",
            "DEPROVISIONING",
            "STOPPED"
        ]
    );
    let task = lab.task("walk", &arn).await;
    assert_eq!(task.stop_code().unwrap().as_str(), "UserInitiated");
    assert_eq!(task.stopped_reason(), Some("labguard: idle"));
    let times = [
        task.created_at(),
        task.pull_started_at(),
        task.pull_stopped_at(),
        task.started_at(),
        task.stopping_at(),
        task.execution_stopped_at(),
        task.stopped_at(),
    ];
    let times: Vec<f64> = times.into_iter().map(|at| at.expect("every time is there").as_secs_f64()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let details = task.attachments()[0].details();
    assert!(details.iter().any(|detail| detail.name() == Some("networkInterfaceId")));
}

#[tokio::test(start_paused = true)]
async fn nobody_looking_changes_nothing_about_when_things_happen() {
    let lab = Lab::with(Latency::aws_like()).await;
    let arn = lab.running("late").await;
    tokio::time::sleep(Duration::from_secs(3000)).await;
    let task = lab.task("late", &arn).await;
    let (created, started) = (task.created_at().unwrap().as_secs_f64(), task.started_at().unwrap().as_secs_f64());
    assert!(
        (started - created - 40.0).abs() < 0.01,
        "12 + 8 + 20 seconds, not when somebody looked: {}",
        started - created
    );
}

#[tokio::test(start_paused = true)]
async fn creating_a_cluster_twice_answers_with_the_first_and_its_tags() {
    let lab = Lab::quick().await;
    let tag = |value: &str| Tag::builder().key("owner").value(value).build();
    lab.ecs.create_cluster().cluster_name("c").tags(tag("them")).send().await.unwrap();
    let again = lab.ecs.create_cluster().cluster_name("c").tags(tag("us")).send().await.unwrap();
    assert_eq!(again.cluster().unwrap().tags()[0].value(), Some("them"));
    let (code, message) = refused!(lab.ecs.create_cluster().cluster_name("c").capacity_providers("FARGATE"));
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("inconsistent"), "{message}");
    let bare = lab.ecs.describe_clusters().clusters("c").clusters("none").send().await.unwrap();
    assert!(bare.clusters()[0].tags().is_empty(), "tags only when asked for");
    assert_eq!(bare.failures()[0].reason(), Some("MISSING"));
    let tagged = lab.ecs.describe_clusters().clusters("c").include(ClusterField::Tags).send().await.unwrap();
    assert_eq!(tagged.clusters()[0].tags().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_with_a_task_or_a_service_cannot_be_deleted_and_then_is_inactive() {
    let lab = Lab::quick().await;
    let arn = lab.running("full").await;
    assert_eq!(refused!(lab.ecs.delete_cluster().cluster("full")).0, "ClusterContainsTasksException");
    let service = lab.ecs.create_service().cluster("full").service_name("s").task_definition("full").desired_count(1);
    service.launch_type(LaunchType::Fargate).network_configuration(lab.network()).send().await.unwrap();
    assert_eq!(refused!(lab.ecs.delete_cluster().cluster("full")).0, "ClusterContainsServicesException");
    let described = lab.ecs.describe_clusters().clusters("full").send().await.unwrap();
    let cluster = &described.clusters()[0];
    assert_eq!((cluster.running_tasks_count(), cluster.active_services_count()), (2, 1));
    assert!(refused!(lab.ecs.delete_service().cluster("full").service("s")).1.contains("scaled above 0"));
    lab.ecs.delete_service().cluster("full").service("s").force(true).send().await.unwrap();
    lab.ecs.stop_task().cluster("full").task(&arn).send().await.unwrap();
    lab.ecs.delete_cluster().cluster("full").send().await.unwrap();
    let described = lab.ecs.describe_clusters().clusters("full").send().await.unwrap();
    assert_eq!(described.clusters()[0].status(), Some("INACTIVE"));
    assert!(lab.ecs.list_clusters().send().await.unwrap().cluster_arns().is_empty());
    let (code, message) = refused!(lab.ecs.delete_cluster().cluster("full"));
    assert_eq!((code.as_str(), message.as_str()), ("ClusterNotFoundException", "The referenced cluster was inactive."));
}

#[tokio::test(start_paused = true)]
async fn the_same_token_gives_the_same_task_and_other_parameters_a_conflict() {
    let lab = Lab::quick().await;
    let first = lab.running("t").await;
    let one = lab.run("t", "t:1").client_token("tok").send().await.unwrap();
    let same = lab.run("t", "t:1").client_token("tok").send().await.unwrap();
    assert_eq!(one.tasks()[0].task_arn(), same.tasks()[0].task_arn());
    assert_ne!(one.tasks()[0].task_arn(), Some(first.as_str()));
    let error = lab.run("t", "t:1").client_token("tok").count(2).send().await.unwrap_err().into_service_error();
    let conflict = match error {
        aws_sdk_ecs::operation::run_task::RunTaskError::ConflictException(conflict) => conflict,
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict.resource_ids(), [one.tasks()[0].task_arn().unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_one_task_because_the_retry_bears_the_same_token() {
    let lab = Lab::quick().await;
    lab.cluster("l").await;
    let definition = lab.register("l", lab.container(IMAGE)).await;
    lab.sandbox.add_fault("ecs:RunTask=lost-answer:1".parse::<FaultRule>().unwrap());
    lab.run("l", &definition).client_token("once").send().await.unwrap();
    assert_eq!(lab.sandbox.calls()["ecs:RunTask"], 2, "the SDK tried again");
    assert_eq!(lab.ecs.list_tasks().cluster("l").send().await.unwrap().task_arns().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_task_refuses_what_aws_refuses() {
    let lab = Lab::quick().await;
    lab.running("r").await;
    assert!(
        refused!(lab.ecs.run_task().cluster("r").task_definition("r").launch_type(LaunchType::Fargate))
            .1
            .contains("Network Configuration")
    );
    assert_eq!(refused!(lab.run("r", "r").count(11)).0, "InvalidParameterException");
    assert_eq!(refused!(lab.run("nowhere", "r")).0, "ClusterNotFoundException");
    assert_eq!(refused!(lab.run("r", "r:9")), ("ClientException".to_owned(), "TaskDefinition not found.".to_owned()));
    let strategy = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build().unwrap();
    assert!(refused!(lab.run("r", "r").capacity_provider_strategy(strategy)).1.contains("launch type"));
    let vpc = AwsVpcConfiguration::builder().subnets("subnet-none").build().unwrap();
    let network = NetworkConfiguration::builder().awsvpc_configuration(vpc).build();
    assert!(refused!(lab.run("r", "r").network_configuration(network)).1.contains("does not exist"));
    lab.ecs.deregister_task_definition().task_definition("r:1").send().await.unwrap();
    assert_eq!(refused!(lab.run("r", "r:1")).0, "ClientException");
}

#[tokio::test(start_paused = true)]
async fn lack_of_capacity_is_a_success_with_failures() {
    let lab = Lab::quick().await;
    lab.running("cap").await;
    lab.sandbox.add_fault("ecs:RunTask=capacity:1".parse().unwrap());
    let answer = lab.run("cap", "cap").send().await.unwrap();
    assert!(answer.tasks().is_empty());
    assert!(answer.failures()[0].reason().unwrap().starts_with("Capacity is unavailable at this time"));
    assert_eq!(lab.run("cap", "cap").send().await.unwrap().tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_account_does_not_allow_is_told_by_a_service_s_events_and_by_run_task_itself() {
    let lab = Lab::quick().await;
    lab.running("q").await;
    lab.sandbox.add_fault("ecs:RunTask=quota:1".parse().unwrap());
    let answer = lab.run("q", "q").send().await.unwrap();
    assert!(answer.failures()[0].reason().unwrap().contains("limit on the number of vCPUs you can run concurrently"));
    lab.sandbox.clear_faults();
    lab.sandbox.add_fault("ecs:RunTask=blocked".parse().unwrap());
    let (code, message) = refused!(lab.run("q", "q"));
    assert!(code == "BlockedException" && message.contains("account is currently blocked"), "{code}: {message}");
    let create = lab.ecs.create_service().cluster("q").service_name("web").task_definition("q").desired_count(1);
    create.launch_type(LaunchType::Fargate).network_configuration(lab.network()).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let newest = async || {
        let service = lab.ecs.describe_services().cluster("q").services("web").send().await.unwrap();
        service.services()[0].events()[0].message().unwrap().to_owned()
    };
    let told = newest().await;
    assert!(told.starts_with("(service web) was unable to place a task. Reason: Your account is"), "{told}");
    lab.sandbox.clear_faults();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(newest().await.contains("steady state"), "{}", newest().await);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_and_a_missing_log_group_stop_the_task_before_it_starts() {
    let lab = Lab::quick().await;
    lab.cluster("x").await;
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let role = lab.iam.create_role().role_name("exec").assume_role_policy_document(trust).send().await.unwrap();
    let private = lab.container("000000000000.dkr.ecr.us-east-1.amazonaws.com/none:1");
    let refused = refused!(
        lab.ecs
            .register_task_definition()
            .family("x")
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .container_definitions(private.clone())
    );
    assert!(refused.1.contains("execution role ARN to support ECR images"), "{}", refused.1);
    let role = role.role().unwrap().arn().to_owned();
    let definition = lab.register_as("x", private, Some(role.clone())).await;
    let arn = lab.run("x", &definition).send().await.unwrap().tasks()[0].task_arn().unwrap().to_owned();
    let task = lab.task("x", &arn).await;
    assert_eq!(task.stop_code().unwrap().as_str(), "TaskFailedToStart");
    assert!(task.stopped_reason().unwrap().starts_with("CannotPullContainerError"), "{:?}", task.stopped_reason());
    assert!(task.started_at().is_none());

    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", "/labguard/none")
        .options("awslogs-region", "us-east-1")
        .options("awslogs-stream-prefix", "lab")
        .build()
        .unwrap();
    let container = ContainerDefinition::builder().name("app").image(IMAGE).log_configuration(logs).build();
    let register = lab.ecs.register_task_definition().family("y").requires_compatibilities(Compatibility::Fargate);
    let register = register.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512").container_definitions(container);
    assert!(refused!(register.clone()).1.contains("execution role"));
    register.execution_role_arn(role).send().await.unwrap();
    let arn = lab.run("x", "y").send().await.unwrap().tasks()[0].task_arn().unwrap().to_owned();
    let reason = lab.task("x", &arn).await.stopped_reason().unwrap().to_owned();
    assert!(reason.starts_with("ResourceInitializationError"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_new_role_cannot_be_assumed_at_once() {
    let lab = Lab::with(Latency::aws_like()).await;
    lab.cluster("role").await;
    let trust = r#"{"Statement":[{"Principal":{"Service":"ecs-tasks.amazonaws.com"}}]}"#;
    let role = lab.iam.create_role().role_name("exec").assume_role_policy_document(trust).send().await.unwrap();
    let register = lab.ecs.register_task_definition().family("f").requires_compatibilities(Compatibility::Fargate);
    let register = register.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512");
    let register = register.container_definitions(lab.container(IMAGE)).execution_role_arn(role.role().unwrap().arn());
    register.send().await.unwrap();
    let (code, message) = refused!(lab.run("role", "f"));
    assert_eq!(code, "ClientException");
    assert!(message.starts_with("ECS was unable to assume the role"), "{message}");
    tokio::time::sleep(Duration::from_secs(15)).await;
    lab.run("role", "f").send().await.unwrap();
    let policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
    lab.iam.attach_role_policy().role_name("exec").policy_arn(policy).send().await.unwrap();
    assert_eq!(refused!(lab.iam.delete_role().role_name("exec")).0, "DeleteConflict");
    lab.iam.detach_role_policy().role_name("exec").policy_arn(policy).send().await.unwrap();
    lab.iam.delete_role().role_name("exec").send().await.unwrap();
    assert_eq!(refused!(lab.iam.get_role().role_name("exec")).0, "NoSuchEntity");
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_the_tags_away_and_an_unknown_task_is_refused() {
    let lab = Lab::quick().await;
    lab.running("s").await;
    let tag = Tag::builder().key("labguard:session").value("s").build();
    let arn = lab.run("s", "s").tags(tag).send().await.unwrap().tasks()[0].task_arn().unwrap().to_owned();
    lab.ecs.stop_task().cluster("s").task(&arn).send().await.unwrap();
    assert!(lab.ecs.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags().is_empty());
    let (code, message) = refused!(lab.ecs.stop_task().cluster("s").task("0123456789abcdef0123456789abcdef"));
    assert_eq!((code.as_str(), message.as_str()), ("InvalidParameterException", "The referenced task was not found."));
    assert_eq!(
        refused!(lab.ecs.stop_task().cluster("s").task(&arn).reason("x".repeat(256))).0,
        "InvalidParameterException"
    );
    tokio::time::sleep(Duration::from_secs(3590)).await;
    assert_eq!(lab.task("s", &arn).await.last_status(), Some("STOPPED"), "still there within the hour");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let answer = lab.ecs.describe_tasks().cluster("s").tasks(&arn).send().await.unwrap();
    assert_eq!(answer.failures()[0].reason(), Some("MISSING"));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ignores_sigterm_is_killed_after_its_stop_timeout() {
    let lab = Lab::quick().await;
    lab.containers.on_image(IMAGE, Behaviour { ignores_term: true, ..Behaviour::default() });
    let arn = lab.running("k").await;
    lab.ecs.stop_task().cluster("k").task(&arn).send().await.unwrap();
    assert_eq!(lab.task("k", &arn).await.last_status(), Some("STOPPING"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let task = lab.task("k", &arn).await;
    assert_eq!((task.last_status(), task.containers()[0].exit_code()), (Some("STOPPED"), Some(137)));
}

#[tokio::test(start_paused = true)]
async fn an_essential_container_that_ends_takes_its_task_with_it_as_does_aws() {
    let lab = Lab::quick().await;
    lab.containers.on_image(
        IMAGE,
        Behaviour { crash_after: Some(Span::from_secs(30)), exit_code: Some(3), ..Behaviour::default() },
    );
    let arn = lab.running("e").await;
    assert_eq!(lab.task("e", &arn).await.last_status(), Some("RUNNING"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let task = lab.task("e", &arn).await;
    assert_eq!(task.stop_code().unwrap().as_str(), "EssentialContainerExited");
    assert_eq!(
        (task.stopped_reason(), task.containers()[0].exit_code()),
        (Some("Essential container in task exited"), Some(3))
    );
    let life = task.stopped_at().unwrap().as_secs_f64() - task.started_at().unwrap().as_secs_f64();
    assert!((life - 30.0).abs() < 0.01, "it ended when it ended, not when somebody looked: {life}");

    lab.containers.on_image(IMAGE, Behaviour::default());
    let deadline = KeyValuePair::builder().name("DEADLINE_EPOCH").value("1795400100").build();
    let overrides = TaskOverride::builder()
        .container_overrides(ContainerOverride::builder().name("app").environment(deadline).build())
        .build();
    let arn = lab.run("e", "e").overrides(overrides).send().await.unwrap().tasks()[0].task_arn().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lab.task("e", &arn).await.containers()[0].exit_code(), Some(0), "the fuse has blown");
    let arn = lab.run("e", "e").send().await.unwrap().tasks()[0].task_arn().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lab.sandbox.interrupt_task(&arn, Interruption::Spot));
    assert_eq!(lab.task("e", &arn).await.stop_code().unwrap().as_str(), "SpotInterruption");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_by_what_is_wanted_of_them_page_by_page() {
    let lab = Lab::quick().await;
    let first = lab.running("p").await;
    lab.run("p", "p").count(4).started_by("me").send().await.unwrap();
    lab.ecs.stop_task().cluster("p").task(&first).send().await.unwrap();
    let page = lab.ecs.list_tasks().cluster("p").max_results(3).send().await.unwrap();
    assert_eq!(page.task_arns().len(), 3);
    let rest =
        lab.ecs.list_tasks().cluster("p").max_results(3).next_token(page.next_token().unwrap()).send().await.unwrap();
    assert_eq!((rest.task_arns().len(), rest.next_token()), (1, None));
    let stopped = lab.ecs.list_tasks().cluster("p").desired_status(DesiredStatus::Stopped).send().await.unwrap();
    assert_eq!(stopped.task_arns(), [first]);
    assert_eq!(lab.ecs.list_tasks().cluster("p").started_by("me").send().await.unwrap().task_arns().len(), 4);
    assert_eq!(refused!(lab.ecs.list_tasks().cluster("p").started_by("me").family("p")).0, "InvalidParameterException");
}

#[tokio::test(start_paused = true)]
async fn task_definitions_die_slowly_and_their_numbers_are_never_used_again() {
    let lab = Lab::quick().await;
    let arn = lab.running("d").await;
    let refusal = lab.ecs.delete_task_definitions().task_definitions("d:1").send().await.unwrap();
    assert!(refusal.failures()[0].reason().unwrap().contains("ACTIVE"));
    lab.ecs.deregister_task_definition().task_definition("d:1").send().await.unwrap();
    let deleted = lab.ecs.delete_task_definitions().task_definitions("d:1").send().await.unwrap();
    assert_eq!(deleted.task_definitions()[0].status(), Some(&TaskDefinitionStatus::DeleteInProgress));
    lab.ecs.stop_task().cluster("d").task(&arn).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    lab.ecs.describe_task_definition().task_definition("d:1").send().await.expect("in progress for an hour");
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(refused!(lab.ecs.describe_task_definition().task_definition("d:1")).0, "ClientException");
    assert!(lab.register("d", lab.container(IMAGE)).await.ends_with(":2"));
}

#[tokio::test(start_paused = true)]
async fn a_service_keeps_its_tasks_and_drains_before_it_is_inactive() {
    let lab = Lab::with(Latency::fast()).await;
    lab.cluster("svc").await;
    lab.register("svc", lab.container(IMAGE)).await;
    let create = lab.ecs.create_service().cluster("svc").service_name("web").task_definition("svc").desired_count(2);
    let create = create.launch_type(LaunchType::Fargate).network_configuration(lab.network());
    create.clone().send().await.unwrap();
    assert_eq!(refused!(create).0, "InvalidParameterException");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let arns = lab.ecs.list_tasks().cluster("svc").service_name("web").send().await.unwrap();
    assert_eq!(arns.task_arns().len(), 2);
    let task = lab.task("svc", &arns.task_arns()[0]).await;
    assert!(task.started_by().unwrap().starts_with("ecs-svc/"));
    assert!(lab.sandbox.interrupt_task(task.task_arn().unwrap(), Interruption::Spot));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let service = lab.ecs.describe_services().cluster("svc").services("web").send().await.unwrap();
    assert_eq!(service.services()[0].running_count(), 2, "the lost task was replaced");
    let gone = lab.ecs.delete_service().cluster("svc").service("web").force(true).send().await.unwrap();
    assert_eq!(gone.service().unwrap().status(), Some("DRAINING"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let service = lab.ecs.describe_services().cluster("svc").services("web").send().await.unwrap();
    assert_eq!((service.services()[0].status(), service.services()[0].running_count()), (Some("INACTIVE"), 0));
    lab.ecs.delete_cluster().cluster("svc").send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_tasks_never_start_backs_off_instead_of_spinning() {
    let lab = Lab::quick().await;
    lab.cluster("bad").await;
    lab.register("bad", lab.container("none:1")).await;
    let create = lab.ecs.create_service().cluster("bad").service_name("web").task_definition("bad").desired_count(1);
    create.launch_type(LaunchType::Fargate).network_configuration(lab.network()).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3000)).await;
    let service = lab.ecs.describe_services().cluster("bad").services("web").send().await.unwrap();
    let failed = service.services()[0].deployments()[0].failed_tasks();
    assert!((5..20).contains(&failed), "{failed} attempts in fifty minutes");
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_cannot_be_taken_for_aws_and_throttles_as_aws_does() {
    let lab = Lab::quick().await;
    let me = lab.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(me.account(), Some("000000000000"));
    let (status, body) = raw(&lab.sandbox, "ecs", Some("AmazonEC2ContainerServiceV20141113.Nonsense"), "{}").await;
    assert!(status == 400 && body.contains("UnknownOperationException"), "{body}");
    let lab = Lab::with(Latency { throttled: true, ..Latency::zero() }).await;
    let mut throttled = 0;
    for number in 0..25 {
        let target = Some("AmazonEC2ContainerServiceV20141113.CreateCluster");
        let (_, body) = raw(&lab.sandbox, "ecs", target, &format!("{{\"clusterName\":\"c{number}\"}}")).await;
        throttled += usize::from(body.contains("ThrottlingException") && body.contains("Rate exceeded"));
    }
    assert_eq!(throttled, 5, "a bucket of twenty");
}

#[tokio::test(start_paused = true)]
async fn a_simulated_container_answers_at_its_address_and_counts_its_users() {
    let lab = Lab::quick().await;
    lab.running("web").await;
    let transport = lab.sandbox.transport();
    let get = |path: &str, agent: &str| {
        http::Request::get(format!("http://127.64.0.1:5000{path}"))
            .header("user-agent", agent)
            .body(Bytes::new())
            .unwrap()
    };
    assert!(transport.send(get("/ping", "labguard-probe/1")).await.unwrap().status().is_success());
    transport.send(get("/", "curl/8")).await.unwrap();
    assert!(lab.containers.use_it("127.64.0.1", 2));
    let metrics = transport.send(get("/metrics", "labguard-probe/1")).await.unwrap();
    assert!(String::from_utf8_lossy(metrics.body()).contains("http_requests_total 3"), "the probe does not count");
    let predict = http::Request::post("http://127.64.0.1:5000/predict").body(Bytes::from_static(b"{}")).unwrap();
    let answer = transport.send(predict).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"{\"chance_of_admit\":0.7335}");
}

#[tokio::test(start_paused = true)]
async fn leftovers_name_what_is_there_and_nothing_of_a_fresh_account() {
    let lab = Lab::quick().await;
    assert_eq!(lab.sandbox.leftovers(), Vec::<String>::new());
    let arn = lab.running("left").await;
    let found = lab.sandbox.leftovers();
    for part in [
        "ecs cluster left".to_owned(),
        format!("ecs task {arn} RUNNING"),
        "ecs task-definition left:1 ACTIVE".to_owned(),
    ] {
        assert!(found.contains(&part), "{part} in {found:?}");
    }
    lab.ecs.stop_task().cluster("left").task(&arn).send().await.unwrap();
    lab.ecs.delete_cluster().cluster("left").send().await.unwrap();
    lab.ecs.deregister_task_definition().task_definition("left:1").send().await.unwrap();
    lab.ecs.delete_task_definitions().task_definitions("left:1").send().await.unwrap();
    assert_eq!(lab.sandbox.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn over_tcp_the_same_sandbox_answers_and_a_lost_answer_closes_the_connection() {
    let lab = Lab::quick().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn({
        let (sandbox, stop) = (lab.sandbox.clone(), stop.clone());
        async move { sandbox.serve(listener, stop).await }
    });
    let address = endpoint.strip_prefix("http://").unwrap();
    let ask = |body: &'static str| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.CreateCluster\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=labguard-sandbox/20261122/us-east-1/ecs/aws4_request, Signature=0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    let answer = ask("{\"clusterName\":\"tcp\"}").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-amzn-requestid"), "{answer}");
    lab.sandbox.add_fault("ecs:CreateCluster=lost-answer:1".parse().unwrap());
    assert_eq!(ask("{\"clusterName\":\"lost\"}").await, "");
    assert_eq!(lab.ecs.list_clusters().send().await.unwrap().cluster_arns().len(), 2, "the effect has happened");
    stop.cancel();
    serving.await.unwrap().unwrap();
}
