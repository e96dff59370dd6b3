//! Sends one EC2 action: form-encoded request, XML answer or XML error.
//!
//! Uses the generic `Operation` of aws-smithy-runtime with SigV4, so that an EC2 call behaves like any SDK
//! call: throttling, 5xx and time-outs are retried, the code, message and request id of a refusal are kept.

use std::{collections::BTreeMap, fmt};

use aws_runtime::{
    auth::{SigV4OperationSigningConfig, SigningOptions, sigv4},
    retries::classifiers::AwsErrorCodeClassifier,
    user_agent::{ApiMetadata, UserAgentInterceptor},
};
use aws_sdk_ecs::config::SharedInterceptor;
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        identity::SharedIdentityResolver,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::Layer,
    error::{ErrorMetadata, metadata::ProvideErrorMetadata},
    retry::{ErrorKind, ProvideErrorKind, RetryConfig},
    timeout::TimeoutConfig,
};
use aws_types::{
    SdkConfig, SigningName,
    region::{Region, SigningRegion},
    service_config::ServiceConfigKey,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::cloud::{
    Cloud,
    calls::Note,
    fault::{self, Refusal},
};
use crate::domain::model::FaultClass;

/// The API version whose shapes `answers` reads.
const VERSION: &str = "2016-11-15";

/// What we call.
const ACTIONS: [&str; 8] = [
    "DescribeVpcs",
    "DescribeSubnets",
    "DescribeRouteTables",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "DeleteSecurityGroup",
];

/// EC2's refusal.
#[derive(Debug)]
pub(crate) struct Ec2Error(ErrorMetadata);

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ec2 answered {}", self.0.code().unwrap_or("without a code"))
    }
}

impl std::error::Error for Ec2Error {}

impl ProvideErrorMetadata for Ec2Error {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ProvideErrorKind for Ec2Error {
    fn retryable_error_kind(&self) -> Option<ErrorKind> {
        None
    }
    fn code(&self) -> Option<&str> {
        self.0.code()
    }
}

/// The parameters of one action.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((key.into(), value.into()));
        self
    }

    /// `Filter.n.Name`, `Filter.n.Value.1`.
    pub(super) fn filter(self, name: &str, value: &str) -> Self {
        let number = 1 + self.0.iter().filter(|(key, _)| key.starts_with("Filter.") && key.ends_with(".Name")).count();
        self.with(format!("Filter.{number}.Name"), name).with(format!("Filter.{number}.Value.1"), value)
    }

    /// `Key.1`, `Key.2`, …
    pub(super) fn list(mut self, key: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        for (index, value) in values.into_iter().enumerate() {
            self = self.with(format!("{key}.{}", index + 1), value);
        }
        self
    }
}

type Call = Operation<String, String, Ec2Error>;

/// EC2 at one endpoint.
pub(crate) struct Ec2 {
    calls: BTreeMap<&'static str, Call>,
}

impl Ec2 {
    /// With everything from the shared configuration; `endpoint` overrides it.
    pub(crate) fn new(sdk: &SdkConfig, endpoint: Option<&str>, note: Note) -> Self {
        let region = sdk.region().map_or("us-east-1", |region| region.as_ref()).to_owned();
        let endpoint = endpoint
            .map(ToOwned::to_owned)
            .or_else(|| from_profile(sdk))
            .or_else(|| sdk.endpoint_url().map(ToOwned::to_owned))
            .unwrap_or_else(|| default_endpoint(&region));
        let calls = ACTIONS.map(|action| (action, operation(sdk, action, &region, &endpoint, note.clone())));
        Self { calls: BTreeMap::from(calls) }
    }

    async fn invoke(&self, action: &'static str, params: &Params) -> Result<String, SdkError<Ec2Error, HttpResponse>> {
        let Some(call) = self.calls.get(action) else {
            return Err(SdkError::construction_failure(format!("{action} is not one of the EC2 calls in use")));
        };
        let mut pairs = vec![("Action", action), ("Version", VERSION)];
        pairs.extend(params.0.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let body = serde_urlencoded::to_string(pairs).map_err(SdkError::construction_failure)?;
        call.invoke(body).await
    }
}

impl Cloud {
    /// Sends `ec2:Action` and reads the answer.
    pub(super) async fn ec2<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        params: Params,
    ) -> Result<T, Refusal<Ec2Error>> {
        let action = operation.strip_prefix("ec2:").unwrap_or(operation);
        let text = self.call(operation, self.inner.ec2.invoke(action, &params)).await?;
        quick_xml::de::from_str(&text).map_err(|error| Refusal {
            fault: fault::own(FaultClass::Transient, operation, "UnusableAnswer", error.to_string(), None),
            error: None,
        })
    }
}

/// `AWS_ENDPOINT_URL_EC2`, or `endpoint_url` of the profile's `ec2` section.
fn from_profile(sdk: &SdkConfig) -> Option<String> {
    if sdk.get_origin("endpoint_url").is_client_config() {
        return None;
    }
    let key =
        ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    sdk.service_config()?.load_config(key)
}

fn default_endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://ec2.{region}.{suffix}")
}

fn operation(sdk: &SdkConfig, action: &'static str, region: &str, endpoint: &str, note: Note) -> Call {
    let mut layer = Layer::new("labguard ec2");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(Region::new(region.to_owned()));
    layer.store_put(SigningRegion::from(Region::new(region.to_owned())));
    layer.store_put(SigningName::from_static("ec2"));
    layer.store_put(ApiMetadata::new("ec2", VERSION));
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(Region::new(region.to_owned()))),
        name: Some(SigningName::from_static("ec2")),
        signing_options: SigningOptions::default(),
        ..SigV4OperationSigningConfig::default()
    });
    let mut components = RuntimeComponentsBuilder::new("labguard ec2")
        .with_auth_scheme(SharedAuthScheme::new(sigv4::SigV4AuthScheme::new()))
        .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
            StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]),
        )))
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_interceptor(SharedInterceptor::new(UserAgentInterceptor::new()))
        .with_retry_classifier(TransientErrorClassifier::<Ec2Error>::new())
        .with_retry_classifier(AwsErrorCodeClassifier::<Ec2Error>::new())
        .with_retry_classifier(HttpStatusCodeClassifier::default());
    if let Some(credentials) = sdk.credentials_provider() {
        components = components.with_identity_resolver(sigv4::SCHEME_ID, SharedIdentityResolver::new(credentials));
    }
    let mut builder = Operation::builder()
        .service_name("ec2")
        .operation_name(action)
        .endpoint_url(endpoint)
        .standard_retry(sdk.retry_config().unwrap_or(&RetryConfig::standard()))
        .timeout_config(sdk.timeout_config().cloned().unwrap_or(TimeoutConfig::disabled()))
        .interceptor(note)
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components));
    if let Some(version) = sdk.behavior_version() {
        builder = builder.behavior_version(version);
    }
    if let Some(protection) = sdk.stalled_stream_protection() {
        builder = builder.stalled_stream_protection(protection);
    }
    if let Some(http) = sdk.http_client() {
        builder = builder.http_client(http);
    }
    if let Some(sleep) = sdk.sleep_impl() {
        builder = builder.sleep_impl(sleep);
    }
    if let Some(time) = sdk.time_source() {
        builder = builder.time_source(time);
    }
    builder.serializer(serialize).deserializer(deserialize).build()
}

fn serialize(body: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    Ok(request)
}

/// `<Response><Errors><Error>…`, EC2's own shape of an error.
#[derive(Debug, Deserialize)]
struct ErrorDocument {
    #[serde(rename = "Errors", default)]
    errors: ErrorList,
    #[serde(rename = "RequestID", alias = "RequestId")]
    request_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorList {
    #[serde(rename = "Error", default)]
    error: Vec<ErrorItem>,
}

#[derive(Debug, Deserialize)]
struct ErrorItem {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

fn deserialize(response: &HttpResponse) -> Result<String, OrchestratorError<Ec2Error>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|error| OrchestratorError::response(error.into()))?;
    if response.status().is_success() {
        return Ok(text.to_owned());
    }
    let mut meta = ErrorMetadata::builder();
    match quick_xml::de::from_str::<ErrorDocument>(text) {
        Ok(document) => {
            if let Some(error) = document.errors.error.into_iter().next() {
                meta = meta.code(error.code.unwrap_or_default()).message(error.message.unwrap_or_default());
            }
            if let Some(id) = document.request_id {
                meta = meta.custom("aws_request_id", id);
            }
        }
        // A load balancer's page and the like: the status is all there is.
        Err(_) => meta = meta.message(format!("HTTP status {}", response.status().as_u16())),
    }
    Err(OrchestratorError::operation(Ec2Error(meta.build())))
}
