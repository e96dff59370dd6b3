//! An engine for tests: boundaries put together as the daemon does, without its API and signals.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use labguard::{
    clock::Clock,
    cloud::{Cloud, CloudConfig},
    domain::{
        meter::RateBook,
        model::{ImageSource, Span},
        policy::{
            ActivityPolicy, FusePolicy, HealthPolicy, ImagePolicy, Limits, Names, Policy, PredictPolicy, SharedBudget,
            samples,
        },
    },
    journal::Journal,
    probe::own_address::Mirror,
    reconcile::{Boundaries, Checkpoint, Engine, budgets, driver, own_address, publish, recovery},
    telemetry::prometheus::Metrics,
    transport::Transport,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running engine.
pub struct Lab {
    pub engine: Arc<Engine>,
    stop: CancellationToken,
    /// Driver and publisher.
    pub tasks: Vec<JoinHandle<()>>,
}

/// What an engine is made of, kept across its crashes.
#[derive(Clone)]
pub struct Parts {
    pub cloud: Cloud,
    pub journal: Journal,
    pub clock: Clock,
    pub transport: Arc<dyn Transport>,
    /// Where images are spooled.
    pub workspace: PathBuf,
    pub seed: u64,
    pub max_sessions: usize,
    /// Who says which address labguard calls from.
    pub mirror: Arc<dyn Mirror>,
}

impl Lab {
    /// Starts an engine on these parts and takes over what the journal holds.
    pub async fn start(parts: &Parts, book: BTreeMap<String, Policy>, checkpoint: Option<Checkpoint>) -> Lab {
        Lab::start_with(parts, book, Vec::new(), checkpoint).await
    }

    /// The same, with budgets that sessions share.
    pub async fn start_with(
        parts: &Parts,
        book: BTreeMap<String, Policy>,
        shared: Vec<SharedBudget>,
        checkpoint: Option<Checkpoint>,
    ) -> Lab {
        let boundaries = Boundaries {
            cloud: parts.cloud.clone(),
            journal: parts.journal.clone(),
            clock: parts.clock.clone(),
            transport: Arc::clone(&parts.transport),
            card: RateBook::embedded().card("us-east-1"),
            metrics: Arc::new(Metrics::new()),
            workspace: parts.workspace.clone(),
            seed: parts.seed,
            secret: [7; 32].into(),
            // A policy that wants a sentinel names a program.
            sentinel_program: PathBuf::from("no-sentinel-at-hand"),
            mirror: Arc::clone(&parts.mirror),
            max_sessions: parts.max_sessions,
            checkpoint,
        };
        let (engine, ear) = Engine::new(boundaries, book);
        recovery::recover(&engine).await.expect("the journal is readable");
        engine.replace_budgets(shared).await.expect("the journal is readable");
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(driver::drive(Arc::clone(&engine), ear, stop.clone())),
            tokio::spawn(publish::publish(Arc::clone(&engine), stop.clone())),
            tokio::spawn(budgets::keep(Arc::clone(&engine), stop.clone())),
            tokio::spawn(own_address::keep(Arc::clone(&engine), stop.clone())),
        ];
        Lab { engine, stop, tasks }
    }

    /// Stops it as a clean shutdown does.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// A cloud adapter without pacing, for an endpoint or an in-memory client.
pub fn cloud_config(clock: &Clock) -> CloudConfig {
    CloudConfig {
        region: "us-east-1".to_owned(),
        endpoint_url: None,
        service_endpoints: BTreeMap::new(),
        registry_endpoint: None,
        profile: None,
        static_credentials: Some(("labguard-sandbox".to_owned(), "labguard-sandbox".to_owned())),
        http_client: None,
        registry_transport: None,
        clock: clock.clone(),
        max_attempts: 3,
        operation_timeout: Span::from_secs(30),
        attempt_timeout: Span::from_secs(10),
        connect_timeout: Span::from_secs(3),
        read_timeout: Span::from_secs(10),
        pace: false,
        on_call: None,
    }
}

/// A policy with short limits and the session's id in every name.
pub fn policy(name: &str, source: ImageSource) -> Policy {
    let named = |what: &str| format!("labguard-{{session}}-{what}");
    let sample = samples::policy();
    Policy {
        name: name.to_owned(),
        owner: "tests".to_owned(),
        names: Names {
            repository: "labguard/{session}".to_owned(),
            cluster: named("cluster"),
            task_definition: named("task"),
            container: named("container"),
            service: named("service"),
            security_group: named("sg"),
            log_group: "/labguard/{session}".to_owned(),
            execution_role: "labguard-{session}".to_owned(),
        },
        image: ImagePolicy::plain(source, "latest"),
        // As the configuration has it by default.
        fuse: FusePolicy { scheduler: true, ..FusePolicy::default() },
        health: HealthPolicy { start_grace: Span::from_mins(3), healthy_after: 1, ..sample.health },
        predict: Some(PredictPolicy {
            path: "/predict".to_owned(),
            body: serde_json::json!({
                "gre_score": 300, "toefl_score": 100, "university_rating": 4, "sop": 3, "lor": 4, "cgpa": 8.90, "research": "Yes"
            }),
            answer_key: "chance_of_admit".to_owned(),
            at_least: serde_json::Number::from_f64(0.0),
            at_most: serde_json::Number::from_f64(1.0),
            interval: Span::from_mins(1),
        }),
        activity: ActivityPolicy {
            labels: vec![("client".to_owned(), "user".to_owned())],
            ..ActivityPolicy::counting("/metrics", "http_requests_total", Span::from_secs(10))
        },
        limits: Limits { warn_before: vec![Span::from_mins(2)], ..sample.limits },
        ..sample
    }
}

/// A file that looks like an executable for the task's platform, small enough to push thousands of times.
pub fn tiny_executable(folder: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("app");
    let mut elf = vec![0u8; 128];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[4] = 2; // 64-bit
    elf[5] = 1; // little-endian
    elf[6] = 1; // version
    elf[16] = 2; // ET_EXEC
    elf[18] = 0x3e; // x86-64
    std::fs::write(&path, elf).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
