//! From configuration to clients: one endpoint, one clock, one retry and time-out rule for all of them.
//!
//! Connecting never fails and never calls: trouble with credentials or the network shows at the first call.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region, timeout::TimeoutConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecs::config::StalledStreamProtectionConfig;
use aws_smithy_async::{rt::sleep::TokioSleep, time::TimeSource};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;

use super::{
    Cloud, Inner,
    calls::{Actions, CallReport, Note},
    cost_explorer::CostExplorer,
    credentials::{Keyring, Provider},
    ec2::Ec2,
    pace::Pace,
    pricing::Pricing,
    retries::Retries,
    scheduler::Scheduler,
    skew::Skew,
};
use crate::{
    clock::Clock,
    domain::model::{Span, Timestamp},
    transport::Transport,
};

/// Told of every call; must not block.
pub type OnCall = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// Where AWS is, who we are to it, and how patient we are.
#[derive(Clone)]
pub struct CloudConfig {
    /// For example `us-east-1`.
    pub region: String,
    /// One endpoint for every service; absent: AWS itself (or `AWS_ENDPOINT_URL`).
    pub endpoint_url: Option<String>,
    /// Endpoints of single services, by `sts, ecs, ecr, ec2, iam, logs, cloudwatch, tagging, pricing, scheduler`.
    pub service_endpoints: BTreeMap<String, String>,
    /// Overrides `GetAuthorizationToken`'s proxyEndpoint: where images are pushed to.
    pub registry_endpoint: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Access key id and secret of the sandbox.
    pub static_credentials: Option<(String, String)>,
    /// Reaches AWS's protocol in memory instead of over TCP.
    pub http_client: Option<SharedHttpClient>,
    /// Reaches the registry in memory instead of over TCP.
    pub registry_transport: Option<Arc<dyn Transport>>,
    /// The time of day, for signatures and expiries.
    pub clock: Clock,
    /// Tries of one call, the first included.
    pub max_attempts: u32,
    /// Longest time of one call with its retries.
    pub operation_timeout: Span,
    /// Longest time of one try.
    pub attempt_timeout: Span,
    /// Longest time until a connection is open.
    pub connect_timeout: Span,
    /// Longest time from a request to the first byte of its answer.
    pub read_timeout: Span,
    /// Whether to stay below AWS's token buckets by ourselves.
    pub pace: bool,
    /// Told of every call.
    pub on_call: Option<OnCall>,
}

impl CloudConfig {
    /// AWS itself in `region`: five tries, 10 s each and 3 s of them to connect, 45 s in all, paced.
    #[must_use]
    pub fn new(region: impl Into<String>, clock: Clock) -> Self {
        Self {
            region: region.into(),
            endpoint_url: None,
            service_endpoints: BTreeMap::new(),
            registry_endpoint: None,
            profile: None,
            static_credentials: None,
            http_client: None,
            registry_transport: None,
            clock,
            max_attempts: 5,
            operation_timeout: Span::from_secs(45),
            attempt_timeout: Span::from_secs(10),
            connect_timeout: Span::from_secs(3),
            read_timeout: Span::from_secs(10),
            pace: true,
            on_call: None,
        }
    }
}

/// The clock as the SDK wants it.
#[derive(Clone, Debug)]
struct SdkClock(Clock);

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        let millis = u64::try_from(self.0.now().as_millis()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(millis)
    }
}

/// AWS's instant as ours.
pub(crate) fn timestamp(at: &aws_smithy_types::DateTime) -> Timestamp {
    Timestamp::from_millis(at.to_millis().unwrap_or(i64::MAX))
}

/// The client of everything that goes over the network.
pub(crate) fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

impl Cloud {
    /// Makes the clients. Calls nothing.
    pub async fn connect(config: CloudConfig) -> Cloud {
        let actions = Actions::default();
        let http = config.http_client.clone().unwrap_or_else(https);
        let keyring = Arc::new(Keyring::new(
            config.static_credentials.clone(),
            config.profile.clone(),
            config.region.clone(),
            http.clone(),
            config.clock.clone(),
        ));
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(config.operation_timeout.as_duration())
            .operation_attempt_timeout(config.attempt_timeout.as_duration())
            .connect_timeout(config.connect_timeout.as_duration())
            .read_timeout(config.read_timeout.as_duration())
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .http_client(http)
            .sleep_impl(TokioSleep::new())
            .time_source(SdkClock(config.clock.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(config.max_attempts.max(1)))
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_min_compression_size_bytes(1024)
            .credentials_provider(SharedCredentialsProvider::new(Provider(keyring.clone())))
            .identity_cache(aws_config::identity::IdentityCache::no_cache());
        if let Some(url) = &config.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &config.profile {
            loader = loader.profile_name(profile);
        }
        let sdk = loader.load().await;
        let skew = Skew::by(config.clock.clone());
        let note = Note { actions: actions.clone(), skew: skew.clone(), retries: Retries::default() };
        // Every SDK crate has its own builder type with the same methods.
        macro_rules! client {
            ($sdk:ident, $name:literal) => {{
                let mut builder =
                    $sdk::config::Builder::from(&sdk).interceptor(note.clone()).retry_partition(note.retries.of($name));
                if let Some(url) = config.service_endpoints.get($name) {
                    builder = builder.endpoint_url(url);
                }
                $sdk::Client::from_conf(builder.build())
            }};
        }
        let inner = Inner {
            sts: client!(aws_sdk_sts, "sts"),
            ecs: client!(aws_sdk_ecs, "ecs"),
            ecr: client!(aws_sdk_ecr, "ecr"),
            iam: client!(aws_sdk_iam, "iam"),
            logs: client!(aws_sdk_cloudwatchlogs, "logs"),
            metrics: client!(aws_sdk_cloudwatch, "cloudwatch"),
            tagging: client!(aws_sdk_resourcegroupstagging, "tagging"),
            ec2: Ec2::new(&sdk, config.service_endpoints.get("ec2").map(String::as_str), note.clone()),
            cost_explorer: CostExplorer::new(
                &sdk,
                config.service_endpoints.get("ce").map(String::as_str),
                note.clone(),
            ),
            scheduler: Scheduler::new(
                &sdk,
                &config.region,
                config.service_endpoints.get("scheduler").map(String::as_str),
                &note,
            ),
            pricing: Pricing::new(&sdk, config.service_endpoints.get("pricing").map(String::as_str), note),
            region: config.region,
            own_endpoint: sdk.endpoint_url().is_some(),
            registry_endpoint: config.registry_endpoint,
            registry_transport: config.registry_transport,
            pace: config.pace.then(Pace::new),
            on_call: config.on_call,
            credentials: keyring,
            skew,
            actions,
            identity: std::sync::OnceLock::new(),
        };
        Cloud { inner: Arc::new(inner) }
    }
}
