//! Where the command line meets the daemon, the configuration and the sandbox: one small function each.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Context, ExitCode, error::CliError};
use crate::{
    clock::Clock,
    config::{self, Settings},
    daemon::{self, Daemon, StartError, StartOptions},
    domain::{
        model::{ImageConfig, ImageProgress, ImageSource, Money, Span, Timestamp},
        policy::Policy,
    },
    image::Report,
    reconcile::handle::Handle,
    sandbox::{
        Sandbox, SandboxConfig,
        faults::FaultRule,
        latency::Latency,
        runtime::{Containers, Processes},
    },
    telemetry::log,
};

/// A daemon in this process.
pub(super) struct Hosted {
    /// The engine's door.
    pub handle: Handle,
    /// Where its API listens.
    pub api_url: Option<String>,
    /// Names of the policies it knows.
    pub policies: Vec<String>,
    /// Whether its log is read by people: what is told beside it may be lines of text.
    pub human_log: bool,
    /// Ends it by policy: what is kept or torn down, in words, and whether anything is left that should not be.
    pub drain: Box<dyn FnOnce() -> BoxFuture<'static, Drained> + Send>,
}

/// How a drain went.
pub(super) struct Drained {
    /// For people, one a line.
    pub report: Vec<String>,
    /// Sessions that should have been torn down and are not.
    pub left: usize,
}

/// The demo's policy and the request it shows.
pub(super) struct Script {
    /// The policy's name.
    pub policy: String,
    /// Where the request goes.
    pub path: String,
    /// The exercise's request.
    pub body: serde_json::Value,
}

/// Starts the daemon by the configuration of the context, and reloads it when that changes.
pub(super) async fn start(context: &Context) -> Result<Hosted, CliError> {
    let hangups = daemon::hangups();
    let request = context.request();
    let mut settings = context.settings()?;
    let human_log = begin_log(context, &settings, &settings.daemon.log_level)?;
    take_in(&mut settings)?;
    for warning in settings.warnings_at(Clock::System.now()) {
        tracing::warn!("{warning}");
    }
    let policies = settings.sessions.keys().cloned().collect();
    let options = StartOptions { api: true, launcher: launcher()? };
    let mut daemon = daemon::start(settings.clone(), options).await.map_err(refused)?;
    daemon.reload_on_change(request, settings, hangups);
    Ok(hosted(daemon, policies, human_log))
}

/// Starts a daemon for the demo, with a state folder of its own; limits are longer when it is to be kept.
pub(super) async fn start_demo(context: &Context, keep: bool) -> Result<(Hosted, Script), CliError> {
    let mut request = context.request();
    request.search = false;
    request.embedded.push(("the demo's configuration", config::DEMO_TOML));
    let mut settings = config::load(&request).map_err(CliError::Mistakes)?;
    if !daemon::stays_here(&settings) {
        let origin = settings.origins.get("aws.sandbox.enabled").map_or("the configuration", String::as_str);
        return Err(CliError::Configuration(format!(
            "the demo runs in the sandbox and never on AWS, but {origin} sets aws.sandbox.enabled = false; leave that \
             out for `labguard demo`, or use `labguard run` and `labguard up` for AWS"
        )));
    }
    // The demo tells its story itself; the log only adds what went wrong.
    let human_log = begin_log(context, &settings, "error")?;
    if context.global.state_dir.is_none() && settings.daemon.state_dir.is_none() {
        settings.daemon.state_dir = Some(settings.daemon.state_folder().join("demo"));
    }
    let launcher = launcher()?;
    for policy in settings.sessions.values_mut() {
        policy.image.source = ImageSource::Executable {
            path: launcher.display().to_string(),
            args: vec!["predictor".to_owned(), "serve".to_owned()],
            config: ImageConfig::default(),
        };
        if keep {
            stay(policy);
        }
    }
    let Some(policy) = settings.sessions.values().next() else {
        return Err(CliError::Configuration("the demo's configuration has no session".to_owned()));
    };
    let Some(predict) = &policy.predict else {
        return Err(CliError::Configuration(format!("session {} has no [predict] request to show", policy.name)));
    };
    let script = Script { policy: policy.name.clone(), path: predict.path.clone(), body: predict.body.clone() };
    let policies = settings.sessions.keys().cloned().collect();
    let daemon = daemon::start(settings, StartOptions { api: false, launcher }).await.map_err(refused)?;
    Ok((hosted(daemon, policies, human_log), script))
}

/// `demo --keep`: long enough to play with, and still bounded.
fn stay(policy: &mut Policy) {
    let hour = Span::from_mins(60);
    policy.limits.idle_timeout = Some(Span::from_mins(30));
    policy.limits.lifetime = policy.limits.lifetime.max(hour);
    policy.limits.max_lifetime = policy.limits.max_lifetime.max(hour);
    let dollar = Money::from_nanos(1_000_000_000);
    policy.limits.budget = policy.limits.budget.max(dollar);
    policy.limits.max_budget = policy.limits.max_budget.max(dollar);
}

fn hosted(daemon: Daemon, policies: Vec<String>, human_log: bool) -> Hosted {
    Hosted {
        handle: Arc::clone(&daemon.handle),
        api_url: daemon.api_url.clone(),
        policies,
        human_log,
        drain: Box::new(move || drain(daemon).boxed()),
    }
}

async fn drain(daemon: Daemon) -> Drained {
    let report = daemon.drain().await;
    let mut lines = Vec::new();
    if !report.kept.is_empty() {
        lines.push(format!("kept, for the next daemon: {}", report.kept.join(", ")));
    }
    if !report.unfinished.is_empty() {
        lines.push(format!("not torn down in time, the next start goes on with it: {}", report.unfinished.join(", ")));
    }
    Drained { report: lines, left: report.unfinished.len() }
}

/// Begins the log; whether it is for people.
fn begin_log(context: &Context, settings: &Settings, usual: &str) -> Result<bool, CliError> {
    let level = match (context.global.quiet, context.global.verbose) {
        (true, _) => "warn".to_owned(),
        (false, 0) => usual.to_owned(),
        (false, 1) => "labguard=debug,info".to_owned(),
        (false, _) => "trace".to_owned(),
    };
    let format = match settings.daemon.log_format {
        config::LogFormat::Auto => log::Format::Auto,
        config::LogFormat::Human => log::Format::Human,
        config::LogFormat::Json => log::Format::Json,
    };
    let begun = log::init(&log::LogOptions { level, format, colours: context.output.talk.color });
    begun.map(|_| format.is_human()).map_err(|error| CliError::Configuration(error.to_string()))
}

fn launcher() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|source| CliError::Local { what: "find labguard's own program".into(), source })
}

/// With the causes, since they say what to do.
fn refused(error: StartError) -> CliError {
    let code = match &error {
        StartError::Exposed { .. } | StartError::Schedule(_) => ExitCode::Configuration,
        StartError::Journal { .. }
        | StartError::Recovery(_)
        | StartError::Rates(_)
        | StartError::Listen { .. }
        | StartError::Token { .. }
        | StartError::Sandbox(_) => ExitCode::Internal,
    };
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    CliError::Start { message, code }
}

/// What pushes images without a daemon, and how far it has come.
pub(super) async fn by_hand(
    context: &Context,
) -> Result<(daemon::ByHand, Report, watch::Receiver<Option<ImageProgress>>), CliError> {
    let settings = context.settings()?;
    begin_log(context, &settings, "warn")?;
    let (report, ear) = Report::new(Clock::System);
    Ok((daemon::ByHand::new(&settings).await, report, ear))
}

/// Takes what was imported into the settings' prices.
pub(super) fn take_in(settings: &mut Settings) -> Result<(), CliError> {
    daemon::rates::take_in(settings).map_err(CliError::Rates)
}

/// A region's prices by the settings, and how old they are; none where nothing is known of it.
pub(super) fn rates_of(settings: &Settings, region: &str, now: Timestamp) -> Option<daemon::rates::Shown> {
    daemon::rates::shown(settings, region, now)
}

/// Prices of a file, kept from now on.
pub(super) async fn import_file(
    settings: &Settings,
    path: &Path,
    region: Option<&str>,
) -> Result<daemon::rates::Taken, CliError> {
    daemon::rates::import_file(settings, path, region).await.map_err(CliError::Rates)
}

/// Prices of the files at these addresses, kept from now on.
pub(super) async fn import_urls(
    settings: &Settings,
    urls: &[String],
    region: Option<&str>,
) -> Result<daemon::rates::Taken, CliError> {
    daemon::rates::import_urls(settings, urls, region).await.map_err(CliError::Rates)
}

/// Prices of AWS's Price List, kept from now on.
pub(super) async fn refresh_rates(settings: &Settings, region: &str) -> Result<daemon::rates::Taken, CliError> {
    daemon::rates::refresh(settings, region).await.map_err(CliError::Refresh)
}

/// Serves the sandbox until `stop`.
pub(super) async fn serve_sandbox(
    listener: tokio::net::TcpListener,
    seed: u64,
    faults: Vec<FaultRule>,
    latency: Latency,
    stop: CancellationToken,
) -> Result<(), CliError> {
    let failed = |source| CliError::Local { what: "serve the sandbox".into(), source };
    let endpoint = format!("http://{}", listener.local_addr().map_err(failed)?);
    let scratch = config::folders::state().join("sandbox");
    let containers = Arc::new(Processes::new(launcher()?, scratch).map_err(failed)?);
    let sandbox = Sandbox::new(SandboxConfig {
        seed,
        faults,
        latency,
        clock: Clock::System,
        containers: containers as Arc<dyn Containers>,
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint),
    });
    let served = sandbox.serve(listener, stop).await.map_err(failed);
    sandbox.shutdown().await;
    served
}
