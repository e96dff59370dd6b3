//! AWS calls without an SDK crate of their own: signed, retried and timed as every SDK call, by the same configuration.
//!
//! The generic `Operation` of aws-smithy-runtime with SigV4; how a call is written and its answer read is the service's.
//! Guarantees: throttling, 5xx and time-outs are retried; the code, message and request id of a refusal are kept. Must
//! never know what a call means.

use std::fmt;

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

use super::calls::Note;

/// A service's refusal.
#[derive(Debug)]
pub(crate) struct ServiceError {
    service: &'static str,
    meta: ErrorMetadata,
}

impl ServiceError {
    pub(super) const fn new(service: &'static str, meta: ErrorMetadata) -> Self {
        Self { service, meta }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.service, self.meta.code().unwrap_or("without a code"))
    }
}

impl std::error::Error for ServiceError {}

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.meta
    }
}

impl ProvideErrorKind for ServiceError {
    fn retryable_error_kind(&self) -> Option<ErrorKind> {
        None
    }
    fn code(&self) -> Option<&str> {
        self.meta.code()
    }
}

/// One operation: a body in, the answer's text out.
pub(super) type Call = Operation<String, String, ServiceError>;

/// One operation of a REST service: path with query and body in, the answer's text out.
pub(super) type RestCall = Operation<(String, String), String, ServiceError>;

/// A service, and how its calls are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// As IAM and SigV4 call it: `ec2`.
    pub name: &'static str,
    /// As the AWS configuration files call it: `EC2`.
    pub id: &'static str,
    /// The version of its API.
    pub version: &'static str,
    /// The body's type.
    pub content_type: &'static str,
    /// What stands before an operation's name in `X-Amz-Target`, where it is named there.
    pub target: Option<&'static str>,
    /// Code, message and request id of a refusal's text; none where it is not in the service's shape.
    pub refusal: fn(&str) -> Option<ErrorMetadata>,
}

impl Service {
    /// Where it is: as given, as the AWS configuration says, or at AWS itself.
    pub(super) fn endpoint(&self, sdk: &SdkConfig, given: Option<&str>, aws: String) -> String {
        given
            .map(ToOwned::to_owned)
            .or_else(|| self.configured(sdk))
            .or_else(|| sdk.endpoint_url().map(ToOwned::to_owned))
            .unwrap_or(aws)
    }

    /// AWS's own address of it in a region, in that region's partition.
    pub(super) fn regional(&self, region: &str) -> String {
        format!("https://{}.{region}.{}", self.name, dns_suffix(region))
    }

    /// `AWS_ENDPOINT_URL_EC2`, or `endpoint_url` of the profile's `ec2` section.
    fn configured(&self, sdk: &SdkConfig) -> Option<String> {
        if sdk.get_origin("endpoint_url").is_client_config() {
            return None;
        }
        let key = ServiceConfigKey::builder().service_id(self.id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        sdk.service_config()?.load_config(key.build().ok()?)
    }

    /// One of its operations.
    pub(super) fn operation(
        self,
        sdk: &SdkConfig,
        action: &'static str,
        region: &str,
        endpoint: &str,
        note: Note,
    ) -> Call {
        let write = move |body: String| self.request(action, body);
        self.written(sdk, action, region, endpoint, note, write)
    }

    /// One of its operations, where these are told apart by method and path.
    pub(super) fn rest(
        self,
        sdk: &SdkConfig,
        action: &'static str,
        method: &'static str,
        region: &str,
        endpoint: &str,
        note: Note,
    ) -> RestCall {
        let write = move |(path, body): (String, String)| -> Result<HttpRequest, BoxError> {
            let has_body = !body.is_empty();
            let mut request = HttpRequest::new(SdkBody::from(body));
            request.set_method(method)?;
            request.set_uri(path)?;
            if has_body {
                request.headers_mut().insert("content-type", self.content_type);
            }
            Ok(request)
        };
        self.written(sdk, action, region, endpoint, note, write)
    }

    fn written<I: Send + Sync + std::fmt::Debug + 'static>(
        self,
        sdk: &SdkConfig,
        action: &'static str,
        region: &str,
        endpoint: &str,
        note: Note,
        write: impl Fn(I) -> Result<HttpRequest, BoxError> + Send + Sync + 'static,
    ) -> Operation<I, String, ServiceError> {
        let signing = || SigningRegion::from(Region::new(region.to_owned()));
        let mut layer = Layer::new("labguard signed");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(Region::new(region.to_owned()));
        layer.store_put(signing());
        layer.store_put(note.retries.of(self.name));
        layer.store_put(SigningName::from_static(self.name));
        layer.store_put(ApiMetadata::new(self.name, self.version));
        layer.store_put(SigV4OperationSigningConfig {
            region: Some(signing()),
            name: Some(SigningName::from_static(self.name)),
            signing_options: SigningOptions::default(),
            ..SigV4OperationSigningConfig::default()
        });
        let mut components = RuntimeComponentsBuilder::new("labguard signed")
            .with_auth_scheme(SharedAuthScheme::new(sigv4::SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
                StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]),
            )))
            .with_identity_cache(Some(IdentityCache::no_cache()))
            .with_interceptor(SharedInterceptor::new(UserAgentInterceptor::new()))
            .with_retry_classifier(TransientErrorClassifier::<ServiceError>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<ServiceError>::new())
            .with_retry_classifier(HttpStatusCodeClassifier::default());
        if let Some(credentials) = sdk.credentials_provider() {
            components = components.with_identity_resolver(sigv4::SCHEME_ID, SharedIdentityResolver::new(credentials));
        }
        let mut builder = Operation::builder()
            .service_name(self.name)
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
        let read = move |response: &HttpResponse| self.answer(response);
        builder.serializer(write).deserializer(read).build()
    }

    fn request(self, action: &str, body: String) -> Result<HttpRequest, BoxError> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        request.headers_mut().insert("content-type", self.content_type);
        if let Some(target) = self.target {
            request.headers_mut().insert("x-amz-target", format!("{target}.{action}"));
        }
        Ok(request)
    }

    fn answer(self, response: &HttpResponse) -> Result<String, OrchestratorError<ServiceError>> {
        let bytes = response.body().bytes().unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|error| OrchestratorError::response(error.into()))?;
        if response.status().is_success() {
            return Ok(text.to_owned());
        }
        // A load balancer's page and the like: the status is all there is.
        let status = || ErrorMetadata::builder().message(format!("HTTP status {}", response.status().as_u16())).build();
        let meta = (self.refusal)(text).unwrap_or_else(status);
        // REST services tell the code in a header: `ConflictException:http://…`.
        let coded = response.headers().get("x-amzn-errortype").filter(|_| meta.code().is_none());
        let code = coded.and_then(|kind| kind.split([':', '#']).next()).map(ToOwned::to_owned);
        let meta = match code {
            Some(code) => ErrorMetadata::builder().code(code).message(meta.message().unwrap_or_default()).build(),
            None => meta,
        };
        Err(OrchestratorError::operation(ServiceError::new(self.name, meta)))
    }
}

/// What the names of AWS's endpoints end in, by the partition of the region.
fn dns_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// `{"__type": "…#AccessDeniedException", "message": "…"}`, JSON 1.1's shape of an error; the request id is in a header,
/// which the runtime keeps.
#[derive(Debug, serde::Deserialize)]
struct ErrorDocument {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// The refusal in an answer of JSON 1.1; none where it is something else.
pub(super) fn json_refusal(text: &str) -> Option<ErrorMetadata> {
    let document: ErrorDocument = serde_json::from_str(text).ok()?;
    let kind = document.kind?;
    let code = kind.rsplit('#').next().unwrap_or(&kind);
    Some(ErrorMetadata::builder().code(code).message(document.message.unwrap_or_default()).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_in_the_partition_of_its_region() {
        let service = Service {
            name: "scheduler",
            id: "Scheduler",
            version: "1",
            content_type: "application/json",
            target: None,
            refusal: json_refusal,
        };
        for (region, address) in [
            ("us-east-1", "https://scheduler.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "https://scheduler.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "https://scheduler.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(service.regional(region), address);
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_without_its_namespace() {
        let refused =
            json_refusal(r#"{"__type":"com.amazonaws.pricing#AccessDeniedException","Message":"no"}"#).unwrap();
        assert_eq!((refused.code(), refused.message()), (Some("AccessDeniedException"), Some("no")));
        assert!(json_refusal("<html>").is_none() && json_refusal("{}").is_none());
    }
}
