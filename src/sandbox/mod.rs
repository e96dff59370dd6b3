//! AWS's wire protocol without AWS: the sandbox.
//!
//! One account (000000000000) in one region, all services in one state, reached over TCP or in memory by the SDK's own
//! client. It keeps AWS's awkward truths, because those are what a teardown must survive: `failures[]` under HTTP 200,
//! MISSING just after creation, `clientToken` idempotency, DeleteCluster refusing, interfaces that outlive their tasks.
//!
//! Guarantees: deterministic for a seed under a simulated clock; faults and latencies by name; refuses credentials that
//! look real; leaves no process behind. Must never be taken for AWS, and never talks to it.
//!
//! # Known differences from AWS
//! - Signatures are not verified; IAM policies are not evaluated (roles and trust are).
//! - Container health checks are checked and filled in when they are registered, and not run: `healthStatus` stays
//!   `UNKNOWN`.
//! - `dependsOn` orders the starts but its conditions COMPLETE, SUCCESS and HEALTHY do not delay them.
//! - `restartPolicy`, secrets, volumes, Service Connect, load balancers, capacity providers of one's own and container
//!   instances are stored or refused, not acted on.
//! - Real processes share the machine: no memory or CPU limit, host network on a loopback address of their own.
//! - A service's deployments are replaced at once: no rolling percentages, no circuit breaker.
//! - Schedules fire once, at the end of their minute; of the role's rights only the actions are looked at.
//! - Alarms are kept, not evaluated; metric math is refused.
//! - Container Insights has CPU, network and the number of tasks; of real processes no network: it is the machine's.

pub mod cbor;
pub mod cloudwatch;
pub mod connector;
pub mod cost_explorer;
pub mod credentials;
pub mod dispatch;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod faults;
pub mod iam;
pub mod ids;
pub mod latency;
pub mod logs;
pub mod operations;
pub mod params;
pub mod pricing;
pub mod registry;
pub mod runtime;
pub mod scheduler;
mod server;
pub mod state;
pub mod sts;
pub mod tagging;
pub mod throttle;
pub mod wire;
pub mod xml;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};

use crate::{
    clock::Clock,
    transport::{Transport, TransportError},
};

use faults::{FaultKind, FaultRule, Faults};
use state::{Bend, World};
use wire::{ApiError, Protocol};

pub use ecs::Interruption;

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Seed of ids and faults.
    pub seed: u64,
    /// Faults from the start.
    pub faults: Vec<FaultRule>,
    /// How long things take.
    pub latency: latency::Latency,
    /// Where the time comes from.
    pub clock: Clock,
    /// What runs containers.
    pub containers: Arc<dyn runtime::Containers>,
    /// For example `us-east-1`.
    pub region: String,
    /// Where it will listen, for registry host names; none in memory.
    pub endpoint: Option<String>,
}

/// The connection broke, on purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox broke the connection: {0}")]
pub struct NoAnswer(String);

/// A running sandbox. Clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    control: Mutex<Control>,
    clock: Clock,
    containers: Arc<dyn runtime::Containers>,
}

struct Control {
    faults: Arc<Mutex<Faults>>,
    buckets: throttle::Buckets,
    calls: BTreeMap<String, u64>,
    ticking: bool,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sandbox {
    /// A fresh account.
    #[must_use]
    pub fn new(config: SandboxConfig) -> Sandbox {
        let SandboxConfig { seed, faults, latency, clock, containers, region, endpoint } = config;
        let faults = Arc::new(Mutex::new(Faults::new(faults, seed)));
        let shared = Arc::clone(&faults);
        let world = World::new(seed, clock.now(), &region, endpoint, latency, Arc::clone(&containers), shared);
        let control = Control { faults, buckets: throttle::Buckets::default(), calls: BTreeMap::new(), ticking: false };
        let sandbox =
            Sandbox(Arc::new(Inner { world: Mutex::new(world), control: Mutex::new(control), clock, containers }));
        sandbox.tick_along();
        sandbox
    }

    /// Answers one request; a broken connection is told as a 504 with `x-labguard-no-answer`.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.answer(request).await.unwrap_or_else(|lost| {
            let mut response = Response::new(Bytes::from(lost.to_string()));
            *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            response.headers_mut().insert("x-labguard-no-answer", http::HeaderValue::from_static("1"));
            response
        })
    }

    /// Answers one request, or breaks the connection where a fault says so.
    ///
    /// # Errors
    /// [`NoAnswer`] for the faults `no-answer` and `lost-answer`.
    pub async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        let mut response = self.undated(request).await?;
        let date = self.0.clock.now().to_chrono().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = http::HeaderValue::from_str(&date) {
            response.headers_mut().insert(http::header::DATE, date);
        }
        Ok(response)
    }

    async fn undated(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        if dispatch::is_registry(&request) {
            return self.registry(request).await;
        }
        if request.method() == http::Method::GET && request.uri().path() == "/" && request.uri().query().is_none() {
            return Ok(dispatch::banner());
        }
        let call = match dispatch::route(&request) {
            Ok(call) => call,
            Err((protocol, error)) => {
                let id = locked(&self.0.world).rng.request_id();
                return Ok(wire::render(protocol, "", &id, Err(error)));
            }
        };
        let name = call.name();
        let (protocol, op) = (call.protocol, call.op.clone());
        let struck = self.count_and_strike(&name);
        let before = self.world().latency.call;
        let slow = struck.iter().filter_map(|kind| if let FaultKind::Slow(span) = kind { Some(*span) } else { None });
        let wait = slow.fold(before, |sum, span| sum + span);
        if wait.as_millis() > 0 {
            tokio::time::sleep(wait.as_duration()).await;
        }
        let mut world = self.world();
        let id = world.rng.request_id();
        let throttled = world.latency.throttled && !locked(&self.0.control).buckets.take(&name, world.now);
        if struck.contains(&FaultKind::NoAnswer) {
            return Err(NoAnswer(format!("{name}, before anything happened")));
        }
        if let Some(error) = refusal(protocol, &struck, throttled) {
            return Ok(wire::render(protocol, &op, &id, Err(error)));
        }
        world.bend = Bend {
            unplaced: ecs::Unplaced::of(&struck),
            no_default_vpc: struck.contains(&FaultKind::NoDefaultVpc),
            service_linked_role: struck.contains(&FaultKind::ServiceLinkedRole),
            missing: struck
                .iter()
                .find_map(|kind| if let FaultKind::Missing(span) = kind { Some(*span) } else { None }),
        };
        let result = call.perform(&mut world);
        world.bend = Bend::default();
        if struck.contains(&FaultKind::LostAnswer) {
            return Err(NoAnswer(format!("{name}, after its effect")));
        }
        Ok(wire::render(protocol, &op, &id, result))
    }

    async fn registry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
        let name = format!("registry:{}", request.method());
        let struck = self.count_and_strike(&name);
        for kind in &struck {
            if let FaultKind::Slow(span) = kind {
                tokio::time::sleep(span.as_duration()).await;
            }
        }
        if struck.contains(&FaultKind::NoAnswer) {
            return Err(NoAnswer(format!("{name}, before anything happened")));
        }
        if let Some(error) = refusal(Protocol::Json11, &struck, false) {
            let mut response = Response::new(Bytes::from(error.message));
            *response.status_mut() = match error.code.as_str() {
                "ThrottlingException" => StatusCode::TOO_MANY_REQUESTS,
                "ServerException" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::FORBIDDEN,
            };
            return Ok(response);
        }
        let response = registry::handle(&mut self.world(), request);
        if struck.contains(&FaultKind::LostAnswer) {
            Err(NoAnswer(format!("{name}, after its effect")))
        } else {
            Ok(response)
        }
    }

    fn count_and_strike(&self, name: &str) -> Vec<FaultKind> {
        let mut control = locked(&self.0.control);
        *control.calls.entry(name.to_owned()).or_default() += 1;
        locked(&control.faults).strike(name)
    }

    /// The world as of now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = locked(&self.0.world);
        world.advance(self.0.clock.now());
        world
    }

    /// An HTTP client for AWS SDKs that reaches this sandbox in memory.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(connector::InMemory(self.clone()))
    }

    /// The way to its containers by their addresses, and to its registry's `/v2/`.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(ToContainers(self.clone()))
    }

    /// Serves over TCP until `stop`.
    ///
    /// # Errors
    /// None today; the signature leaves room for the listener's.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        stop: tokio_util::sync::CancellationToken,
    ) -> std::io::Result<()> {
        self.tick_along();
        server::serve(self.clone(), listener, stop).await
    }

    /// Everything beyond a fresh account, as `ecs cluster NAME`, `ecs task ARN RUNNING` and so on. Service-linked roles,
    /// INACTIVE clusters, STOPPED tasks and definitions in DELETE_IN_PROGRESS do not count.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let world = self.world();
        let mut found = world.ecs.leftovers();
        found.extend(world.iam.leftovers());
        found.extend(world.ec2.leftovers(world.now));
        found.extend(world.ecr.leftovers());
        found.extend(world.logs.leftovers());
        found.extend(world.cloudwatch.leftovers());
        found.extend(world.scheduler.leftovers());
        found
    }

    /// A load balancer of somebody's took so many requests at that time, for a target group if one is named; none: it is
    /// there, and idle in that minute. CloudWatch shows it `late` after the minute's end.
    pub fn load_balancer_took(
        &self,
        load_balancer: &str,
        target_group: Option<&str>,
        at: crate::domain::model::Timestamp,
        requests: u32,
        late: crate::domain::model::Span,
    ) {
        self.world().cloudwatch.load_balancer_took(load_balancer, target_group, at, requests, late);
    }

    /// Every call that schedules made by themselves, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<scheduler::Fired> {
        self.world().scheduler.fired()
    }

    /// Each schedule's `GROUP/NAME`, with the instant it is set for.
    #[must_use]
    pub fn scheduled(&self) -> Vec<(String, crate::domain::model::Timestamp)> {
        self.world().scheduler.due()
    }

    /// Who may reach which port of the security groups that were made: `5000 192.0.2.1/32`.
    #[must_use]
    pub fn ingress(&self) -> Vec<String> {
        self.world().ec2.ingress()
    }

    /// How often each operation was called, faulted calls included.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        locked(&self.0.control).calls.clone()
    }

    /// Adds a fault from now on.
    pub fn add_fault(&self, rule: FaultRule) {
        locked(&locked(&self.0.control).faults).add(rule);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        locked(&locked(&self.0.control).faults).clear();
    }

    /// AWS takes a running task away; false when there is no such task, or it is stopping already.
    pub fn interrupt_task(&self, arn: &str, kind: Interruption) -> bool {
        ecs::lifecycle::interrupt(&mut self.world(), arn, kind)
    }

    /// Ends all containers.
    pub async fn shutdown(&self) {
        let containers = Arc::clone(&self.0.containers);
        if tokio::task::spawn_blocking(move || containers.shutdown()).await.is_err() {
            self.0.containers.shutdown();
        }
    }

    /// Starts the task that polls real processes when nobody calls; once, and only where a runtime is at hand.
    fn tick_along(&self) {
        if !self.0.containers.needs_ticker() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if std::mem::replace(&mut locked(&self.0.control).ticking, true) {
            return;
        }
        let weak: Weak<Inner> = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let Some(inner) = weak.upgrade() else { return };
                drop(Sandbox(inner).world());
            }
        });
    }
}

/// The error that the struck faults answer with.
fn refusal(protocol: Protocol, struck: &[FaultKind], throttled: bool) -> Option<ApiError> {
    let ec2 = protocol == Protocol::Ec2Query;
    for kind in struck {
        match kind {
            FaultKind::Throttle => return Some(throttling(protocol)),
            FaultKind::ServerError(status) => {
                let code = if ec2 { "InternalError" } else { "ServerException" };
                return Some(ApiError::new(*status, code, "Service Unavailable. Please try again later."));
            }
            FaultKind::AccessDenied if ec2 => {
                return Some(ApiError::new(
                    403,
                    "UnauthorizedOperation",
                    "You are not authorized to perform this operation.",
                ));
            }
            FaultKind::AccessDenied => {
                return Some(ApiError::new(
                    400,
                    "AccessDeniedException",
                    "User is not authorized to perform this operation because no identity-based policy allows it",
                ));
            }
            FaultKind::ExpiredToken if ec2 => {
                return Some(ApiError::new(400, "RequestExpired", "Request has expired."));
            }
            FaultKind::ExpiredToken => {
                let code = if protocol.is_query() { "ExpiredToken" } else { "ExpiredTokenException" };
                return Some(ApiError::new(400, code, "The security token included in the request is expired"));
            }
            FaultKind::NoAnswer
            | FaultKind::LostAnswer
            | FaultKind::Capacity
            | FaultKind::Quota
            | FaultKind::Blocked
            | FaultKind::NoDefaultVpc
            | FaultKind::Missing(_)
            | FaultKind::Slow(_)
            | FaultKind::ServiceLinkedRole => {}
        }
    }
    throttled.then(|| throttling(protocol))
}

fn throttling(protocol: Protocol) -> ApiError {
    match protocol {
        Protocol::Ec2Query => ApiError::new(503, "RequestLimitExceeded", "Request limit exceeded."),
        Protocol::Query(_) => ApiError::new(400, "Throttling", "Rate exceeded"),
        Protocol::Json11 | Protocol::Json10 | Protocol::RestJson | Protocol::Cbor => {
            ApiError::bad("ThrottlingException", "Rate exceeded")
        }
    }
}

/// See [`Sandbox::transport`].
#[derive(Debug)]
struct ToContainers(Sandbox);

impl Transport for ToContainers {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let registry = dispatch::is_registry(&request);
            let host = request.uri().host().unwrap_or_default().to_owned();
            if registry && !host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.octets()[1] >= 64) {
                return self.0.answer(request).await.map_err(|lost| TransportError::Connection(lost.to_string()));
            }
            let now = self.0.0.clock.now();
            drop(self.0.world());
            self.0.0.containers.send(now, request).await
        })
    }
}
