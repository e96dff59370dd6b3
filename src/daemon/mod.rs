//! Wiring only: configuration and boundaries become a running service.
//!
//! [`start`] opens the journal, reaches AWS (or starts the embedded sandbox), takes over what the journal
//! holds, and starts the loop, the publisher, the cron wake-ups and the local API. [`Daemon::drain`] ends it
//! cleanly: sessions are kept or torn down as their policy says, then the journal is closed.

mod by_hand;
mod connection;
pub mod rates;
mod reload;
pub mod systemd;

pub use by_hand::ByHand;
pub use connection::SANDBOX_CREDENTIALS;
pub use reload::{Hangups, hangups};

use connection::cloud_config;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    clock::Clock,
    cloud::Cloud,
    config::{self, Settings},
    domain::{
        model::{RateCard, Request, sentinel},
        policy::{Policy, ShutdownPolicy},
    },
    journal::{Journal, JournalError},
    probe::{
        own_address::{Fixed, Mirror, Service, is_on_this_machine},
        tcp::TcpTransport,
    },
    rates::RatesError,
    reconcile::{
        Boundaries, Engine, budgets, driver,
        handle::{Control, Handle},
        own_address, publish, recovery,
    },
    sandbox::{
        Sandbox, SandboxConfig, faults,
        latency::Latency,
        runtime::{Containers, Processes},
    },
    schedule::{Schedule, ScheduleError},
    telemetry::{prometheus::Metrics, redact::Secret},
};

/// How often systemd hears that a drain goes on; well within what it then waits longer.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How to start, beside the configuration.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Whether the local API is served.
    pub api: bool,
    /// The labguard binary, which starts the sandbox's containers.
    pub launcher: PathBuf,
}

/// Why the daemon cannot start. Nothing was changed in the cloud.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal is in use, damaged, foreign, or cannot be opened.
    #[error("failed to open the journal {path}")]
    Journal {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: JournalError,
    },
    /// The imported prices cannot be used.
    #[error("failed to read the imported prices")]
    Rates(#[source] RatesError),
    /// What the journal holds cannot be taken over.
    #[error("failed to take over the journal's sessions")]
    Recovery(#[source] recovery::RecoveryError),
    /// The API's address cannot be used.
    #[error("failed to listen on {address}; give another `daemon.listen`, or stop what uses it")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The API's address is not allowed as configured.
    #[error("the API may not listen on {address}")]
    Exposed {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: api::AuthError,
    },
    /// The token file cannot be made or read.
    #[error("failed to prepare the API's token file {path}")]
    Token {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: api::AuthError,
    },
    /// A cron window cannot be scheduled.
    #[error("failed to schedule the sessions' hours")]
    Schedule(#[source] ScheduleError),
    /// The embedded sandbox cannot start.
    #[error("failed to start the embedded sandbox")]
    Sandbox(#[source] std::io::Error),
}

/// A running service.
pub struct Daemon {
    /// The door to its engine.
    pub handle: Handle,
    /// Prometheus text.
    pub metrics_text: Arc<dyn Fn() -> String + Send + Sync>,
    /// Where its API listens.
    pub api_url: Option<String>,
    /// Where the embedded sandbox listens.
    pub sandbox_url: Option<String>,
    engine: Arc<Engine>,
    journal: Journal,
    schedule: Arc<Mutex<Option<Schedule>>>,
    sandbox: Option<Sandbox>,
    grace: Duration,
    /// Ends API, publisher and sandbox.
    stop: CancellationToken,
    /// Ends the loop.
    stop_driver: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    driver: JoinHandle<()>,
}

/// How a shutdown went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that live on in the cloud, for the next daemon.
    pub kept: Vec<String>,
    /// Sessions that should have been torn down and were not within the grace.
    pub unfinished: Vec<String>,
}

/// Starts everything.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn start(mut settings: Settings, options: StartOptions) -> Result<Daemon, StartError> {
    rates::take_in(&mut settings).map_err(StartError::Rates)?;
    let clock = Clock::System;
    let stop = CancellationToken::new();
    // Whatever was started before something fails is ended with it.
    let guard = stop.clone().drop_guard();
    // The sandbox has a journal of its own: its sessions are nobody's money and must not mix with real ones.
    let name = if settings.aws.sandbox.enabled { "sandbox-journal.sqlite" } else { "journal.sqlite" };
    let path = settings.daemon.state_folder().join(name);
    let journal =
        Journal::open(&path, clock.clone()).map_err(|source| StartError::Journal { path: path.clone(), source })?;
    let metrics = Arc::new(Metrics::new());
    let mut tasks = Vec::new();

    let (sandbox, sandbox_url) = if settings.aws.sandbox.enabled {
        let (sandbox, url, task) =
            embed_sandbox(&settings, &options, &clock, &stop).await.map_err(StartError::Sandbox)?;
        tasks.push(task);
        (Some(sandbox), Some(url))
    } else {
        (None, None)
    };
    let cloud = Cloud::connect(cloud_config(&settings, sandbox_url.as_deref(), &clock, &metrics)).await;
    let boundaries = Boundaries {
        cloud,
        journal: journal.clone(),
        clock: clock.clone(),
        transport: Arc::new(TcpTransport::default()),
        card: rate_card(&settings),
        metrics: Arc::clone(&metrics),
        workspace: settings.daemon.state_folder().join("images"),
        seed: seed(&clock),
        secret: fuse_secret(&settings)?,
        sentinel_program: sentinel_program(&options.launcher),
        mirror: mirror(&settings),
        max_sessions: settings.daemon.max_sessions as usize,
        checkpoint: None,
    };
    let (engine, ear) = Engine::new(boundaries, settings.sessions.clone());
    engine.warn_of_age(settings.daemon.rates_max_age);
    recovery::recover(&engine).await.map_err(StartError::Recovery)?;
    if sandbox.is_some() {
        // A sandbox of ours begins empty: what an earlier one held is gone, and cannot be gone on with.
        end_all(&engine, "the sandbox that it ran in is gone: it ended with the labguard before").await;
    }
    let summed = engine.replace_budgets(settings.budgets.clone()).await;
    summed.map_err(|source| StartError::Journal { path: path.clone(), source })?;
    let handle: Handle = Arc::new(Arc::clone(&engine));
    let metrics_text: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(move || metrics.render());

    let api_url = if options.api {
        let (url, task) = serve_api(&settings, &handle, &metrics_text, &stop).await?;
        tasks.push(task);
        Some(url)
    } else {
        None
    };
    let stop_driver = CancellationToken::new();
    let driver = tokio::spawn(driver::drive(Arc::clone(&engine), ear, stop_driver.clone()));
    tasks.push(tokio::spawn(publish::publish(Arc::clone(&engine), stop.clone())));
    tasks.push(tokio::spawn(budgets::keep(Arc::clone(&engine), stop.clone())));
    tasks.push(tokio::spawn(own_address::keep(Arc::clone(&engine), stop.clone())));
    tasks.push(tokio::spawn(systemd::watchdog(
        {
            let handle = Arc::clone(&handle);
            move || handle.lives()
        },
        stop.clone(),
    )));
    let schedule =
        Schedule::start(Arc::clone(&handle), hours(&settings.sessions)).await.map_err(StartError::Schedule)?;
    systemd::ready();
    guard.disarm();
    Ok(Daemon {
        handle,
        metrics_text,
        api_url,
        sandbox_url,
        engine,
        journal,
        schedule: Arc::new(Mutex::new(Some(schedule))),
        sandbox,
        grace: settings.daemon.shutdown_grace.as_duration(),
        stop,
        stop_driver,
        tasks,
        driver,
    })
}

impl Daemon {
    /// From now on the configuration is reloaded on SIGHUP and when its files change.
    /// What has changed since they were read is taken up at once.
    pub fn reload_on_change(&mut self, request: config::Request, settings: Settings, hangups: Hangups) {
        let reload = reload::Reload {
            engine: Arc::clone(&self.engine),
            schedule: Arc::clone(&self.schedule),
            request,
            region: settings.region().to_owned(),
            settings,
            hangups,
        };
        self.tasks.push(tokio::spawn(reload.run(self.stop.clone())));
    }

    /// Ends cleanly: what its policy tears down on shutdown is torn down within the grace, the rest is kept;
    /// then the loop, the API and the sandbox stop and the journal is closed.
    pub async fn drain(self) -> DrainReport {
        if self.sandbox.is_some() {
            end_all(&self.engine, "the sandbox that it runs in ends with labguard").await;
        }
        self.engine.begin_drain();
        let until = tokio::time::Instant::now() + self.grace;
        let mut unfinished = self.ending().await;
        systemd::stopping(unfinished.len());
        let mut told = tokio::time::Instant::now();
        while !unfinished.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(200)).await;
            unfinished = self.ending().await;
            if told.elapsed() >= TELL_EVERY {
                systemd::draining(unfinished.len());
                told = tokio::time::Instant::now();
            }
        }
        let mut kept = Vec::new();
        for slot in self.engine.slots() {
            let id = slot.id.to_string();
            if !slot.snapshot().await.record.is_closed() && !unfinished.contains(&id) {
                kept.push(id);
            }
        }
        if let Some(schedule) = self.schedule.lock().await.take()
            && let Err(error) = schedule.stop().await
        {
            tracing::error!(%error, "the scheduler could not be stopped cleanly");
        }
        self.stop_driver.cancel();
        if let Err(error) = self.driver.await {
            tracing::error!(%error, "the loop ended abnormally");
        }
        self.engine.rest().await;
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the daemon ended abnormally");
            }
        }
        if let Some(sandbox) = &self.sandbox {
            sandbox.shutdown().await;
        }
        if let Err(error) = self.journal.close().await {
            tracing::error!(%error, "the journal could not be closed cleanly; the next start replays it all the same");
        }
        DrainReport { kept, unfinished }
    }

    /// Sessions that must be gone before the daemon is.
    async fn ending(&self) -> Vec<String> {
        let mut ending = Vec::new();
        for slot in self.engine.slots() {
            let seen = slot.snapshot().await;
            // What runs in a sandbox of ours ends with it: nothing can be kept there.
            let leaves = self.sandbox.is_some()
                || seen.policy.end.on_shutdown == ShutdownPolicy::Teardown
                || seen.record.phase.is_dismantling();
            if leaves && !seen.record.is_closed() {
                ending.push(slot.id.to_string());
            }
        }
        ending
    }
}

/// Asks for the end of every session that lives.
async fn end_all(engine: &Arc<Engine>, reason: &str) {
    for status in engine.list().iter().filter(|status| status.closed_at.is_none()) {
        let end = Request::End { reason: reason.to_owned() };
        if let Err(error) = engine.request(status.id.to_string(), end).await {
            tracing::warn!(session.id = %status.id, %error, "its end could not be asked for");
        }
    }
}

async fn embed_sandbox(
    settings: &Settings,
    options: &StartOptions,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(Sandbox, String, JoinHandle<()>), std::io::Error> {
    let wanted = &settings.aws.sandbox;
    // A loaded configuration holds sound ones only.
    let faults = faults::read_all(&wanted.faults).map_err(|wrong| {
        let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        std::io::Error::new(std::io::ErrorKind::InvalidInput, all.join("; "))
    })?;
    let listener = TcpListener::bind(wanted.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let containers =
        Arc::new(Processes::new(options.launcher.clone(), settings.daemon.state_folder().join("sandbox"))?);
    let sandbox = Sandbox::new(SandboxConfig {
        seed: wanted.seed,
        faults,
        latency: Latency::named(&wanted.latency).unwrap_or_default(),
        clock: clock.clone(),
        containers: containers as Arc<dyn Containers>,
        region: settings.region().to_owned(),
        endpoint: Some(url.clone()),
    });
    let served = sandbox.clone();
    let stop = stop.clone();
    let task = tokio::spawn(async move {
        if let Err(error) = served.serve(listener, stop).await {
            tracing::error!(%error, "the sandbox stopped answering");
        }
    });
    Ok((sandbox, url, task))
}

/// The sentinel's own program beside ours; where it is not, ours does its work, too.
fn sentinel_program(launcher: &Path) -> PathBuf {
    let beside = launcher.with_file_name("labguard-sentinel");
    if beside.is_file() { beside } else { launcher.to_owned() }
}

/// Whether sessions never leave this machine: in the sandbox, or at an endpoint that is here.
#[must_use]
pub fn stays_here(settings: &Settings) -> bool {
    settings.aws.sandbox.enabled || settings.aws.endpoint_url.as_deref().is_some_and(is_on_this_machine)
}

/// Who says which address we call from: of a sandbox, where all is on this machine, nobody is asked.
fn mirror(settings: &Settings) -> Arc<dyn Mirror> {
    if stays_here(settings) {
        Arc::new(Fixed(Ipv4Addr::LOCALHOST))
    } else {
        Arc::new(Service(settings.aws.own_address_url.clone()))
    }
}

/// What sentinels' keys are made of: kept beside the journal, for the owner's eyes only.
fn fuse_secret(settings: &Settings) -> Result<Secret<[u8; 32]>, StartError> {
    let path = settings.daemon.state_folder().join("fuse.key");
    let text = api::ensure_token(&path).map_err(|source| StartError::Token { path: path.clone(), source })?;
    let secret = sentinel::unhex::<32>(&text);
    let malformed =
        || StartError::Token { path: path.clone(), source: api::AuthError::Malformed { path: path.clone() } };
    secret.map(Secret::from).ok_or_else(malformed)
}

async fn serve_api(
    settings: &Settings,
    handle: &Handle,
    metrics_text: &Arc<dyn Fn() -> String + Send + Sync>,
    stop: &CancellationToken,
) -> Result<(String, JoinHandle<()>), StartError> {
    let daemon = &settings.daemon;
    let address = daemon.listen;
    // Whoever lets others in has said which token and which names they use.
    let explicit = daemon.token_file.is_some() && !daemon.allowed_hosts.is_empty();
    api::check_listen(address, explicit).map_err(|source| StartError::Exposed { address, source })?;
    let path = daemon.token_path();
    let token = api::ensure_token(&path).map_err(|source| StartError::Token { path, source })?;
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
    let auth = api::Auth { token: token.into(), allowed_hosts: daemon.allowed_hosts.clone() };
    let router = api::router(Arc::clone(handle), Arc::clone(metrics_text), auth);
    let stop = stop.clone();
    let task = tokio::spawn(async move {
        if let Err(error) = api::serve(listener, router, stop).await {
            tracing::error!(%error, "the API stopped answering");
        }
    });
    Ok((format!("http://{address}"), task))
}

/// The card of the daemon's region. [`Settings::warnings`] says what of it is estimated.
fn rate_card(settings: &Settings) -> RateCard {
    settings.rates.card(settings.region())
}

fn hours(sessions: &BTreeMap<String, Policy>) -> Vec<(String, String)> {
    let windows = sessions.values().filter_map(|policy| policy.limits.hours.as_ref());
    windows.map(|hours| (hours.end_cron.clone(), hours.zone.clone())).collect()
}

/// Different at each start; session ids must not repeat across restarts.
fn seed(clock: &Clock) -> u64 {
    u64::from_ne_bytes(clock.now().as_millis().to_ne_bytes()) ^ u64::from(std::process::id()).rotate_left(40)
}
