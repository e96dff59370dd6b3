//! A whole house in memory: sandbox, simulated containers and engine parts under tokio's paused clock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use labguard::{
    clock::Clock,
    cloud::{Cloud, Owner},
    domain::{
        model::{
            Cause, ImageConfig, ImageSource, ImageSpec, Ingress, Receipt, Request, ResourceKey, ResourceKind,
            SessionId, Spec, Timestamp,
        },
        policy::Policy,
    },
    image::Desk,
    journal::Journal,
    probe::own_address::Fixed,
    reconcile::{handle::Control, status::SessionStatus},
    sandbox::{
        Sandbox, SandboxConfig,
        latency::Latency,
        runtime::{Containers, Simulated},
    },
};

use super::lab::{self, Lab, Parts};

/// Longest simulated time that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// One sandbox with what an engine on it is made of.
pub struct House {
    pub sandbox: Sandbox,
    pub containers: Arc<Simulated>,
    pub parts: Parts,
    folder: tempfile::TempDir,
}

/// What a house is built by.
pub struct Blueprint {
    pub seed: u64,
    /// When it begins.
    pub epoch: Timestamp,
    /// By how many milliseconds AWS's clock is ahead of ours. It is a clock of its own: nobody sets it.
    pub apart: i64,
    pub latency: Latency,
    pub max_sessions: usize,
    /// Whether calls are paced as AWS wants them.
    pub pace: bool,
}

impl Blueprint {
    pub fn new(seed: u64, latency: Latency) -> Self {
        let epoch = Timestamp::from_millis(1_795_000_000_000);
        Self { seed, epoch, apart: 0, latency, max_sessions: 10, pace: false }
    }
}

impl House {
    pub async fn new(latency: Latency) -> House {
        House::build(Blueprint::new(7, latency)).await
    }

    pub async fn build(blueprint: Blueprint) -> House {
        let Blueprint { seed, epoch, apart, latency, max_sessions, pace } = blueprint;
        let clock = Clock::simulated(epoch);
        let containers = Arc::new(Simulated::new());
        let sandbox = Sandbox::new(SandboxConfig {
            seed,
            faults: Vec::new(),
            latency,
            clock: Clock::simulated(Timestamp::from_millis(epoch.as_millis() + apart)),
            containers: Arc::clone(&containers) as Arc<dyn Containers>,
            region: "us-east-1".to_owned(),
            endpoint: None,
        });
        let mut cloud = lab::cloud_config(&clock);
        cloud.http_client = Some(sandbox.http_client());
        cloud.registry_transport = Some(sandbox.transport());
        cloud.pace = pace;
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts {
            cloud: Cloud::connect(cloud).await,
            journal: Journal::in_memory(clock.clone()),
            clock,
            transport: sandbox.transport(),
            workspace: folder.path().join("images"),
            seed,
            max_sessions,
            mirror: Arc::new(Fixed(std::net::Ipv4Addr::LOCALHOST)),
        };
        House { sandbox, containers, parts, folder }
    }

    /// An image assembled from a program that is small enough to push thousands of times.
    pub fn program(&self, args: &[&str]) -> ImageSource {
        let path = lab::tiny_executable(self.folder.path()).display().to_string();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        ImageSource::Executable { path, args, config: ImageConfig::default() }
    }

    /// What AWS's own SDK speaks to the same sandbox with.
    pub async fn sdk(&self) -> aws_config::SdkConfig {
        let (key, region) = ("labguard-sandbox", aws_config::Region::from_static("us-east-1"));
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(region)
            .credentials_provider(aws_credential_types::Credentials::new(key, key, None, None, "test"))
            .http_client(self.sandbox.http_client())
            .load()
            .await
    }

    /// A session called `lab` from an assembled image, with every name its own.
    pub fn policy(&self) -> Policy {
        let mut policy = lab::policy("lab", self.program(&[]));
        // The simulated container's counter counts users only.
        policy.activity.labels.clear();
        policy
    }

    /// An engine that knows this policy, and its session.
    pub async fn open(&self, policy: Policy) -> Session<'_> {
        let lab = Lab::start(&self.parts, BTreeMap::from([("lab".to_owned(), policy)]), None).await;
        let id = lab.engine.up("lab".to_owned()).await.unwrap().to_string();
        Session { house: self, lab, id }
    }

    /// Makes things of somebody else; returns what there is then.
    pub async fn plant(&self, specs: Vec<Spec>) -> Vec<String> {
        let stranger = SessionId::new("somebody-else", 7);
        let owner = Owner { session: &stranger, owner: "stranger" };
        for spec in specs {
            match &spec {
                Spec::Image(image) => {
                    labguard::image::ensure(&Desk::silent(&self.parts.cloud, owner), image).await.unwrap()
                }
                _ => self.parts.cloud.ensure(owner, ResourceKey::only(kind(&spec)), &spec, false).await.unwrap(),
            };
        }
        self.left()
    }

    /// The five kinds that bear a name, as somebody else's session would have made them.
    pub async fn foreign(&self, kind: ResourceKind, name: &str) -> Spec {
        let name = name.to_owned();
        match kind {
            ResourceKind::Repository => Spec::repository(name),
            ResourceKind::LogGroup => Spec::LogGroup { name, retention_days: 1 },
            ResourceKind::ExecutionRole => Spec::ExecutionRole { name },
            ResourceKind::Cluster => Spec::Cluster { name, spot: false, insights: false },
            ResourceKind::SecurityGroup => {
                let vpc = self.parts.cloud.survey(None, &[]).await.unwrap().vpc;
                Spec::SecurityGroup {
                    name,
                    vpc,
                    ingress: vec![Ingress { port: 5000, sources: vec!["0.0.0.0/0".to_owned()] }],
                }
            }
            other => panic!("{other} bears no name of its own"),
        }
    }

    /// An image like the session's own, in somebody's repository.
    pub fn image(&self, repository: &str) -> Spec {
        Spec::Image(ImageSpec::plain(repository, "v1", self.policy().image.source))
    }

    /// Everything beyond a fresh account.
    pub fn left(&self) -> Vec<String> {
        let mut left = self.sandbox.leftovers();
        left.sort();
        left
    }
}

fn kind(spec: &Spec) -> ResourceKind {
    match spec {
        Spec::Repository { .. } => ResourceKind::Repository,
        Spec::Image(_) => ResourceKind::Image,
        Spec::LogGroup { .. } => ResourceKind::LogGroup,
        Spec::ExecutionRole { .. } => ResourceKind::ExecutionRole,
        Spec::Cluster { .. } => ResourceKind::Cluster,
        Spec::SecurityGroup { .. } => ResourceKind::SecurityGroup,
        Spec::TaskDefinition(_) => ResourceKind::TaskDefinition,
        Spec::Task(_) => ResourceKind::Task,
        Spec::Service { .. } => ResourceKind::Service,
        Spec::SchedulerRole { .. } => ResourceKind::SchedulerRole,
        Spec::ScheduleGroup { .. } => ResourceKind::ScheduleGroup,
    }
}

/// A session on a house.
pub struct Session<'h> {
    house: &'h House,
    pub lab: Lab,
    pub id: String,
}

impl Session<'_> {
    pub fn status(&self) -> Arc<SessionStatus> {
        self.lab.engine.get(&self.id).unwrap()
    }

    pub async fn ask(&self, request: Request) {
        self.lab.engine.request(self.id.clone(), request).await.unwrap();
    }

    /// Waits until `done`; fails when the session closes before.
    pub async fn until(&self, what: &str, done: impl Fn(&SessionStatus) -> bool) -> Arc<SessionStatus> {
        let mut status = self.lab.engine.follow(&self.id).unwrap();
        let settled = status.wait_for(|status| done(status) || status.closed_at.is_some());
        let reached = tokio::time::timeout(PATIENCE, settled).await;
        let reached = reached.ok().and_then(Result::ok).map(|status| Arc::clone(&status));
        match reached {
            Some(status) if done(&status) => status,
            _ => panic!("never {what}: {:#?}", self.status()),
        }
    }

    /// Waits until it answers, and returns its address.
    pub async fn until_live(&self) -> String {
        let status = self.until("live", |status| status.url.is_some()).await;
        let url = status.url.clone().unwrap();
        url.trim_start_matches("http://").split(':').next().unwrap().to_owned()
    }

    /// Waits for its receipt, whatever it says, and stops the engine.
    pub async fn account(self) -> Receipt {
        self.until("closed", |status| status.closed_at.is_some()).await;
        let receipt = self.lab.engine.receipt(self.id.clone()).await.unwrap();
        self.lab.stop().await;
        receipt
    }

    /// Waits for its receipt and stops the engine.
    pub async fn closed(self) -> Receipt {
        let receipt = self.account().await;
        assert!(receipt.proven_clean, "{receipt:#?}");
        receipt
    }

    /// Ends it as its operator does.
    pub async fn ended(self) -> Receipt {
        self.ask(Request::End { reason: "the test is over".to_owned() }).await;
        let left = self.house;
        let receipt = self.closed().await;
        assert_eq!(receipt.cause, Some(Cause::Operator), "{} {:?}", receipt.cause_detail, left.left());
        receipt
    }
}
