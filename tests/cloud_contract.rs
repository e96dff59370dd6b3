//! One contract for every endpoint that speaks AWS's protocol: make, find again, look, remove, prove gone.
//!
//! Kept by the sandbox in memory and over TCP, by moto and by ministack, each started here. With
//! `LABGUARD_TEST_ENDPOINT` (and `LABGUARD_TEST_CLOUDWATCH`, `LABGUARD_TEST_REGISTRY` for an endpoint that serves
//! those apart) one more endpoint stands in for the sandbox over TCP. What an emulator does not have (a route out of
//! the default VPC, a registry) is the fixture's to give, never the adapter's to overlook.

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "no engine runs here")]
mod lab;
#[expect(dead_code, reason = "no session runs here, so no task is given an address")]
mod support;

use std::{collections::BTreeMap, sync::Arc};

use labguard::{
    clock::Clock,
    cloud::{Cloud, CloudConfig, Datum, Owner},
    domain::model::{
        Arming, Effect, FaultClass, ImageConfig, ImageSource, ImageSpec, Ingress, Observed, Removal,
        RepositorySettings, ResourceKey, ResourceKind, Scheduled, ScheduledCall, SessionId, Span, Spec,
        TaskDefinitionSpec, TaskSize, TaskSpec,
    },
    image::{self, Desk},
    sandbox::{
        Sandbox, SandboxConfig,
        latency::Latency,
        runtime::{Behaviour, Simulated},
    },
};
use support::emulators::{Ministack, Moto};
use tokio_util::sync::CancellationToken;

fn config() -> CloudConfig {
    let mut config = CloudConfig::new("us-east-1", Clock::System);
    config.static_credentials = Some(("labguard-sandbox".into(), "labguard-sandbox".into()));
    config.max_attempts = 2;
    config.pace = false;
    config
}

/// What the contract's task is of; no registry need have it.
const IMAGE: &str = "example.com/web:1";

fn sandbox(endpoint: Option<String>) -> Sandbox {
    let containers = Simulated::new();
    containers.on_image(IMAGE, Behaviour::default());
    Sandbox::new(SandboxConfig {
        seed: 1,
        faults: Vec::new(),
        latency: Latency::zero(),
        clock: Clock::System,
        containers: Arc::new(containers),
        region: "us-east-1".to_owned(),
        endpoint,
    })
}

/// Which parts of the contract an endpoint has a service for.
#[derive(Clone, Copy)]
struct Has {
    registry: bool,
    /// Whether its tagging service knows clusters.
    tagging: bool,
    /// Whether a schedule group is made once only.
    scheduler: bool,
}

const ALL: Has = Has { registry: true, tagging: true, scheduler: true };

async fn keeps_the_contract(cloud: &Cloud, has: Has) {
    every_plain_resource_is_made_once_and_removed_once_and_strangers_are_left_alone(cloud).await;
    a_security_group_lives_and_dies_in_the_surveyed_vpc(cloud).await;
    if has.scheduler {
        a_schedule_group_lives_and_dies_with_its_schedules(cloud).await;
    }
    a_task_runs_is_found_and_stops(cloud).await;
    identity_and_metrics_are_answered(cloud).await;
    if has.registry {
        an_assembled_image_is_pushed_once_and_resolved_to_the_same_digest(cloud).await;
    }
    if has.tagging {
        what_is_tagged_is_found_by_its_tag(cloud).await;
    }
}

#[tokio::test]
async fn the_sandbox_in_memory_keeps_the_contract() {
    let sandbox = sandbox(None);
    let mut config = config();
    config.http_client = Some(sandbox.http_client());
    config.registry_transport = Some(sandbox.transport());
    keeps_the_contract(&Cloud::connect(config).await, ALL).await;
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_over_tcp_or_the_endpoint_given_keeps_the_contract() {
    let mut config = config();
    let given = |name: &str| std::env::var(name).ok();
    if let Some(endpoint) = given("LABGUARD_TEST_ENDPOINT") {
        config.endpoint_url = Some(endpoint);
        config.registry_endpoint = given("LABGUARD_TEST_REGISTRY");
        config.service_endpoints =
            given("LABGUARD_TEST_CLOUDWATCH").map(|url| ("cloudwatch".to_owned(), url)).into_iter().collect();
        return keeps_the_contract(&Cloud::connect(config).await, ALL).await;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let sandbox = sandbox(Some(endpoint.clone()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (sandbox, stop) = (sandbox.clone(), stop.clone());
        async move { sandbox.serve(listener, stop).await }
    });
    config.endpoint_url = Some(endpoint);
    keeps_the_contract(&Cloud::connect(config).await, ALL).await;
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    stop.cancel();
    serving.await.unwrap().unwrap();
}

/// moto has no registry and does not speak CBOR: pushes and metrics go to ministack.
#[tokio::test(flavor = "multi_thread")]
async fn moto_keeps_the_contract() {
    let (moto, ministack) = (Moto::start(), Ministack::start());
    moto.ec2().open_default_vpc();
    let mut config = config();
    config.endpoint_url = Some(moto.endpoint());
    config.service_endpoints = BTreeMap::from([("cloudwatch".to_owned(), ministack.endpoint())]);
    // It answers a second CreateScheduleGroup of the same name with success.
    // An image pushed to the one would not be in the other's listing: the registry's part is ministack's.
    keeps_the_contract(&Cloud::connect(config).await, Has { registry: false, tagging: true, scheduler: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ministack_keeps_the_contract() {
    let ministack = Ministack::start();
    ministack.ec2().open_default_vpc();
    let mut config = config();
    config.endpoint_url = Some(ministack.endpoint());
    config.registry_endpoint = Some(ministack.endpoint());
    keeps_the_contract(&Cloud::connect(config).await, ALL).await;
}

fn session(name: &str) -> SessionId {
    SessionId::new(name, u64::from(std::process::id()))
}

fn removal(name: &str) -> Removal {
    Removal {
        name: name.into(),
        id: None,
        cluster: None,
        vpc: None,
        reason: "labguard: contract".into(),
        mark: None,
        address: None,
    }
}

/// Make twice, look, meet a stranger, remove twice, look again.
async fn lives_and_dies(cloud: &Cloud, kind: ResourceKind, spec: &Spec, removal: &mut Removal) {
    let (session, stranger) = (session("contract"), session("stranger"));
    let owner = Owner { session: &session, owner: "contract" };
    let other = Owner { session: &stranger, owner: "stranger" };
    let key = ResourceKey::only(kind);
    assert_eq!(cloud.look(owner, kind, removal).await.unwrap(), Observed::Absent, "{kind} before");
    let made = cloud.ensure(owner, key, spec, false).await.unwrap();
    assert_eq!(made.effect, Effect::Created, "{kind}");
    let again = cloud.ensure(owner, key, spec, false).await.unwrap();
    assert_eq!((again.effect, &again.id), (Effect::AlreadyThere, &made.id), "{kind} again");
    let seen = cloud.look(owner, kind, removal).await.unwrap();
    assert!(seen.present().is_some_and(|seen| seen.ours), "{kind}: {seen:?}");
    if kind != ResourceKind::TaskDefinition {
        let refused = cloud.ensure(other, key, spec, false).await.unwrap_err();
        assert_eq!(refused.class, FaultClass::Conflict, "{kind}: {refused}");
        assert_eq!(cloud.ensure(other, key, spec, true).await.unwrap().effect, Effect::Adopted, "{kind}");
        assert_eq!(cloud.remove(other, kind, removal).await.unwrap(), Effect::NotOurs, "{kind}");
    }
    let gone = if kind == ResourceKind::TaskDefinition { Effect::RemovalRequested } else { Effect::Removed };
    assert_eq!(cloud.remove(owner, kind, removal).await.unwrap(), gone, "{kind}");
    assert_eq!(cloud.remove(owner, kind, removal).await.unwrap(), Effect::AlreadyGone, "{kind} again");
    assert_eq!(cloud.look(owner, kind, removal).await.unwrap(), Observed::Absent, "{kind} after");
}

async fn every_plain_resource_is_made_once_and_removed_once_and_strangers_are_left_alone(cloud: &Cloud) {
    let name = session("labguard-contract").to_string();
    let settings =
        RepositorySettings { scan_on_push: true, immutable_tags: true, expire_days: Some(1), ..Default::default() };
    let specs = [
        (ResourceKind::Repository, Spec::Repository { name: format!("labguard/{name}"), settings }),
        (ResourceKind::LogGroup, Spec::LogGroup { name: format!("/labguard/{name}"), retention_days: 1 }),
        (ResourceKind::ExecutionRole, Spec::ExecutionRole { name: name.clone() }),
        (ResourceKind::Cluster, Spec::Cluster { name: name.clone(), spot: false, insights: false }),
        (ResourceKind::TaskDefinition, Spec::TaskDefinition(definition(&name, IMAGE))),
    ];
    for (kind, spec) in specs {
        let named = match &spec {
            Spec::Repository { name, .. } | Spec::LogGroup { name, .. } => name,
            _ => &name,
        };
        lives_and_dies(cloud, kind, &spec, &mut removal(named)).await;
    }
}

/// A group of schedules, with a schedule in it that is set, set again as after a lost answer, moved, and gone with it.
async fn a_schedule_group_lives_and_dies_with_its_schedules(cloud: &Cloud) {
    let (session, stranger) = (session("contract"), session("stranger"));
    let owner = Owner { session: &session, owner: "contract" };
    let other = Owner { session: &stranger, owner: "stranger" };
    let name = format!("labguard-{session}");
    let (kind, key) = (ResourceKind::ScheduleGroup, ResourceKey::only(ResourceKind::ScheduleGroup));
    let role = ResourceKey::only(ResourceKind::SchedulerRole);
    let spec = Spec::ScheduleGroup { name: name.clone() };
    assert_eq!(cloud.look(owner, kind, &removal(&name)).await.unwrap(), Observed::Absent);
    assert_eq!(cloud.ensure(owner, key, &spec, false).await.unwrap().effect, Effect::Created);
    assert_eq!(cloud.ensure(owner, key, &spec, false).await.unwrap().effect, Effect::AlreadyThere);
    assert_eq!(cloud.ensure(other, key, &spec, false).await.unwrap_err().class, FaultClass::Conflict);
    assert_eq!(cloud.remove(other, kind, &removal(&name)).await.unwrap(), Effect::NotOurs);
    let role_name = format!("{name}-fuse");
    let made = Spec::SchedulerRole { name: role_name.clone(), group: name.clone(), cluster: name.clone() };
    let made = cloud.ensure(owner, role, &made, false).await.unwrap();
    let mut schedule = Scheduled {
        name: "cluster-delete".to_owned(),
        at: Clock::System.now() + Span::from_mins(600),
        call: ScheduledCall::DeleteCluster { cluster: name.clone() },
        known: false,
    };
    let arming =
        |it: &Scheduled| Arming { group: name.clone(), role: made.id.clone().unwrap(), schedules: vec![it.clone()] };
    for _ in 0..200 {
        match cloud.arm(owner, &arming(&schedule)).await {
            Ok(_) => break,
            Err((_, fault)) if fault.class.may_pass() => {
                tokio::time::sleep(std::time::Duration::from_millis(250)).await
            }
            Err((_, fault)) => panic!("{fault}"),
        }
    }
    cloud.arm(owner, &arming(&schedule)).await.unwrap();
    (schedule.known, schedule.at) = (true, schedule.at + Span::from_mins(60));
    assert_eq!(cloud.arm(owner, &arming(&schedule)).await.unwrap(), [(schedule.name.clone(), schedule.at)]);
    assert_eq!(cloud.remove(owner, kind, &removal(&name)).await.unwrap(), Effect::Removed);
    assert_eq!(cloud.remove(owner, kind, &removal(&name)).await.unwrap(), Effect::AlreadyGone);
    let role = removal(&role_name);
    assert_eq!(cloud.remove(owner, ResourceKind::SchedulerRole, &role).await.unwrap(), Effect::Removed);
}

async fn a_security_group_lives_and_dies_in_the_surveyed_vpc(cloud: &Cloud) {
    let network = cloud.survey(None, &[]).await.unwrap();
    assert!(!network.subnets.is_empty());
    let name = session("labguard-contract").to_string();
    let ingress = vec![Ingress { port: 80, sources: vec!["0.0.0.0/0".into(), "::/0".into()] }];
    let spec = Spec::SecurityGroup { name: name.clone(), vpc: network.vpc.clone(), ingress };
    let mut removal = removal(&name);
    removal.vpc = Some(network.vpc);
    lives_and_dies(cloud, ResourceKind::SecurityGroup, &spec, &mut removal).await;
}

async fn a_task_runs_is_found_and_stops(cloud: &Cloud) {
    let session = session("task");
    let owner = Owner { session: &session, owner: "contract" };
    let name = session.to_string();
    let network = cloud.survey(None, &[]).await.unwrap();
    let make = async |kind, spec: Spec| cloud.ensure(owner, ResourceKey::only(kind), &spec, false).await.unwrap();
    make(ResourceKind::Cluster, Spec::Cluster { name: name.clone(), spot: false, insights: false }).await;
    let group = Spec::SecurityGroup { name: name.clone(), vpc: network.vpc.clone(), ingress: vec![] };
    let group = make(ResourceKind::SecurityGroup, group).await.id.unwrap();
    let uri = IMAGE;
    let revision = make(ResourceKind::TaskDefinition, Spec::TaskDefinition(definition(&name, uri))).await;
    let spec = TaskSpec {
        cluster: name.clone(),
        task_definition: revision.id.unwrap(),
        subnets: network.subnets.iter().map(|subnet| subnet.id.clone()).collect(),
        security_groups: vec![group],
        token: format!("{name}-1"),
        spot: false,
        public_ip: true,
        size: TaskSize::SMALLEST,
        sentinel: None,
    };
    let ran = make(ResourceKind::Task, Spec::Task(spec)).await;
    assert!(ran.id.as_deref().is_some_and(|arn| arn.contains(":task/")), "{ran:?}");
    let mut task = removal(&format!("{name}-1"));
    (task.cluster, task.id) = (Some(name.clone()), ran.id.clone());
    let seen = cloud.look(owner, ResourceKind::Task, &task).await.unwrap();
    assert!(seen.present().is_some_and(|seen| seen.ours && seen.task.is_some()), "{seen:?}");
    let listed = cloud.tasks(owner, &name, None).await.unwrap();
    assert_eq!(listed.present().map(|listed| listed.tasks.len()), Some(1), "{listed:?}");
    let stranger = SessionId::new("stranger", 1);
    let other = Owner { session: &stranger, owner: "stranger" };
    assert_eq!(cloud.stop_task(other, &task).await.unwrap(), Effect::NotOurs);
    assert_eq!(cloud.stop_task(owner, &task).await.unwrap(), Effect::StopRequested);
    for _ in 0..200 {
        let seen = cloud.look(owner, ResourceKind::Task, &task).await.unwrap();
        if seen.present().and_then(|seen| seen.task.as_ref()).is_none_or(|task| task.is_stopped()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert_eq!(cloud.stop_task(owner, &task).await.unwrap(), Effect::AlreadyGone);
    let mut group = removal(&name);
    group.vpc = Some(network.vpc);
    for (kind, removal) in [
        (ResourceKind::Cluster, removal(&name)),
        (ResourceKind::TaskDefinition, removal(&name)),
        (ResourceKind::SecurityGroup, group),
    ] {
        for _ in 0..200 {
            match cloud.remove(owner, kind, &removal).await {
                Ok(_) => break,
                Err(fault) if fault.class.may_pass() => tokio::time::sleep(std::time::Duration::from_millis(250)).await,
                Err(fault) => panic!("{fault}"),
            }
        }
        assert_eq!(cloud.look(owner, kind, &removal).await.unwrap(), Observed::Absent, "{kind}");
    }
    let left = cloud.tasks(owner, &name, None).await.unwrap();
    assert!(left.present().is_none_or(|left| left.tasks.iter().all(|task| task.is_stopped())), "{left:?}");
}

async fn an_assembled_image_is_pushed_once_and_resolved_to_the_same_digest(cloud: &Cloud) {
    let session = session("image");
    let owner = Owner { session: &session, owner: "contract" };
    let name = format!("labguard/{session}");
    let key = ResourceKey::only(ResourceKind::Repository);
    cloud.ensure(owner, key, &Spec::repository(name.clone()), false).await.unwrap();
    let desk = Desk::silent(cloud, owner);
    let folder = tempfile::tempdir().unwrap();
    let path = lab::tiny_executable(folder.path()).display().to_string();
    let image = |source| ImageSpec::plain(&name, "v1", source);
    let spec = image(ImageSource::Executable { path, args: vec![], config: ImageConfig::default() });
    let pushed = image::ensure(&desk, &spec).await.unwrap();
    assert_eq!(pushed.effect, Effect::Created);
    let again = image::ensure(&desk, &spec).await.unwrap();
    assert_eq!((again.effect, &again.id), (Effect::AlreadyThere, &pushed.id));
    let id = pushed.id.unwrap();
    let by_tag = format!("{}:v1", id.split('@').next().unwrap());
    let found = image::ensure(&desk, &image(ImageSource::Registry { uri: by_tag, mirror: false })).await.unwrap();
    assert_eq!((found.effect, found.id.as_deref()), (Effect::Adopted, Some(id.as_str())));
    let mut removal = removal("image");
    removal.id = Some(id);
    assert!(image::look(cloud, owner, &removal).await.unwrap().present().is_some());
    assert_eq!(image::remove(cloud, owner, &removal).await.unwrap(), Effect::Removed);
    assert_eq!(image::look(cloud, owner, &removal).await.unwrap(), Observed::Absent);
    removal.name = name;
    assert_eq!(cloud.remove(owner, ResourceKind::Repository, &removal).await.unwrap(), Effect::Removed);
}

async fn identity_and_metrics_are_answered(cloud: &Cloud) {
    assert_eq!(cloud.identity().await.unwrap().account.len(), 12);
    let at = Clock::System.now();
    let datum = |n: u32| Datum {
        name: "Spend".into(),
        value: f64::from(n),
        unit: "None".into(),
        dimensions: vec![("Session".into(), "contract".into())],
        at,
    };
    let data: Vec<Datum> = (0..1001).map(datum).collect();
    assert_eq!(cloud.put_metrics("Labguard", &data).await.unwrap(), 2);
    assert!(cloud.actions().contains("cloudwatch:PutMetricData") && !cloud.credentials(Span::ZERO).refused);
}

async fn what_is_tagged_is_found_by_its_tag(cloud: &Cloud) {
    let session = session("tagged");
    let owner = Owner { session: &session, owner: "contract" };
    let name = session.to_string();
    let spec = Spec::Cluster { name: name.clone(), spot: false, insights: false };
    cloud.ensure(owner, ResourceKey::only(ResourceKind::Cluster), &spec, false).await.unwrap();
    let found = cloud.tagged().await.unwrap();
    let ours = found.things.iter().find(|tagged| tagged.session == name);
    assert_eq!(
        ours.map(|tagged| (tagged.kind, tagged.name.as_str())),
        Some((Some(ResourceKind::Cluster), name.as_str()))
    );
    assert_eq!(cloud.remove(owner, ResourceKind::Cluster, &removal(&name)).await.unwrap(), Effect::Removed);
}

fn definition(family: &str, image: &str) -> TaskDefinitionSpec {
    TaskDefinitionSpec {
        family: family.into(),
        size: TaskSize::SMALLEST,
        image: image.into(),
        container: "app".into(),
        ports: vec![80, 5000],
        environment: vec![("A".into(), "b".into())],
        command: vec![],
        execution_role: None,
        task_role: None,
        log_group: None,
        stop_timeout: Span::from_secs(30),
        sentinel: None,
    }
}
