//! Sends one EC2 action: form-encoded request, XML answer or XML error.
//!
//! Signing, retries and time-outs are those of [`super::super::signed`], so that an EC2 call behaves like any SDK call.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::ErrorMetadata;
use aws_types::SdkConfig;
use serde::{Deserialize, de::DeserializeOwned};

use crate::cloud::{
    Cloud,
    calls::Note,
    fault::{self, Refusal},
    signed::{Call, Service, ServiceError},
};
use crate::domain::model::FaultClass;

/// The API version whose shapes `answers` reads.
const VERSION: &str = "2016-11-15";

const EC2: Service = Service {
    name: "ec2",
    id: "EC2",
    version: VERSION,
    content_type: "application/x-www-form-urlencoded",
    target: None,
    refusal,
};

/// What we call.
const ACTIONS: [&str; 9] = [
    "DescribeVpcs",
    "DescribeSubnets",
    "DescribeRouteTables",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "RevokeSecurityGroupIngress",
    "DeleteSecurityGroup",
];

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

/// EC2 at one endpoint.
pub(crate) struct Ec2 {
    calls: BTreeMap<&'static str, Call>,
}

impl Ec2 {
    /// With everything from the shared configuration; `endpoint` overrides it.
    pub(crate) fn new(sdk: &SdkConfig, endpoint: Option<&str>, note: Note) -> Self {
        let region = sdk.region().map_or("us-east-1", |region| region.as_ref()).to_owned();
        let endpoint = EC2.endpoint(sdk, endpoint, EC2.regional(&region));
        let calls = ACTIONS.map(|action| (action, EC2.operation(sdk, action, &region, &endpoint, note.clone())));
        Self { calls: BTreeMap::from(calls) }
    }

    async fn invoke(
        &self,
        action: &'static str,
        params: &Params,
    ) -> Result<String, SdkError<ServiceError, HttpResponse>> {
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
    ) -> Result<T, Refusal<ServiceError>> {
        let action = operation.strip_prefix("ec2:").unwrap_or(operation);
        let text = self.call(operation, self.inner.ec2.invoke(action, &params)).await?;
        quick_xml::de::from_str(&text).map_err(|error| Refusal {
            fault: fault::own(FaultClass::Transient, operation, "UnusableAnswer", error.to_string(), None),
            error: None,
        })
    }
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

fn refusal(text: &str) -> Option<ErrorMetadata> {
    let document = quick_xml::de::from_str::<ErrorDocument>(text).ok()?;
    let mut meta = ErrorMetadata::builder();
    if let Some(error) = document.errors.error.into_iter().next() {
        meta = meta.code(error.code.unwrap_or_default()).message(error.message.unwrap_or_default());
    }
    if let Some(id) = document.request_id {
        meta = meta.custom("aws_request_id", id);
    }
    Some(meta.build())
}
