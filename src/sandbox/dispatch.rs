//! From an HTTP request to the service that answers it.
//!
//! Routes by `X-Amz-Target`, by the `rpc-v2-cbor` path, by the form's `Action` and the signature's scope, and by
//! `/v2/` to the registry; the scheduler's by method and path.
//!
//! Guarantees: every call is counted under `service:Operation`; faults and throttling strike before a service sees the
//! call (a lost answer after). Never knows what a call means.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;

use super::{
    cbor, cloudwatch, cost_explorer, credentials, ec2, ecr, ecs, iam, logs,
    params::Params,
    pricing, scheduler,
    state::World,
    sts, tagging,
    wire::{ApiError, Output, Protocol},
};

const IAM_XML: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
const STS_XML: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const CLOUDWATCH_XML: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
const LARGEST_INFLATED: u64 = 64 << 20;

/// A request that has found its service.
#[derive(Clone, Debug)]
pub struct Call {
    /// How it is written.
    pub protocol: Protocol,
    /// `ecs`, `ecr`, `ec2`, `iam`, `sts`, `logs`, `cloudwatch`, `tagging`, `ce`, `pricing`, `scheduler`.
    pub service: &'static str,
    /// Operation.
    pub op: String,
    input: Input,
}

#[derive(Clone, Debug)]
enum Input {
    Data(Value),
    Form(Params),
    Broken(String),
}

impl Call {
    /// `ecs:RunTask`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.op)
    }

    /// Lets the service answer.
    ///
    /// # Errors
    /// What the service refuses with.
    pub fn perform(self, world: &mut World) -> Result<Output, ApiError> {
        let Self { service, op, input, .. } = self;
        let op = op.as_str();
        match input {
            Input::Broken(why) => Err(ApiError::bad("SerializationException", why)),
            Input::Data(value) => match service {
                "ecs" => ecs::call(world, op, value),
                "ecr" => ecr::call(world, op, value),
                "logs" => logs::call(world, op, value),
                "cloudwatch" => cloudwatch::call(world, op, value),
                "tagging" => tagging::call(world, op, value),
                "ce" => cost_explorer::call(world, op, &value),
                "pricing" => pricing::call(op, &value),
                "scheduler" => scheduler::call(world, op, &value),
                _ => Err(ApiError::unknown_operation(op)),
            }
            .map(Output::Data),
            Input::Form(params) => match service {
                "ec2" => ec2::call(world, op, &params),
                "cloudwatch" => cloudwatch::query::call(world, op, &params),
                "iam" => iam::call(world, op, &params),
                "sts" => sts::call(world, op, &params),
                _ => Err(ApiError::invalid_action(op)),
            }
            .map(Output::Xml),
        }
    }
}

/// Finds the service; the error is already fit to be rendered in that protocol.
///
/// # Errors
/// For what is no AWS call of ours, and for refused credentials.
pub fn route(request: &Request<Bytes>) -> Result<Call, (Protocol, ApiError)> {
    let call = find(request)?;
    match credentials::check(request.headers(), request.uri().query()) {
        Ok(_) => Ok(call),
        Err(error) => Err((call.protocol, error)),
    }
}

fn find(request: &Request<Bytes>) -> Result<Call, (Protocol, ApiError)> {
    let headers = request.headers();
    let body = inflated(headers, request.body());
    if let Some(target) = header(headers, "x-amz-target") {
        let (prefix, op) = target.split_once('.').unwrap_or((target, ""));
        let (service, protocol) = match prefix {
            "AmazonEC2ContainerServiceV20141113" => ("ecs", Protocol::Json11),
            "AmazonEC2ContainerRegistry_V20150921" => ("ecr", Protocol::Json11),
            "Logs_20140328" => ("logs", Protocol::Json11),
            "GraniteServiceVersion20100801" => ("cloudwatch", Protocol::Json10),
            "ResourceGroupsTaggingAPI_20170126" => ("tagging", Protocol::Json11),
            "AWSInsightsIndexService" => ("ce", Protocol::Json11),
            "AWSPriceListService" => ("pricing", Protocol::Json11),
            _ => return Err((Protocol::Json11, not_served(target))),
        };
        let input = match body {
            Ok(body) if body.is_empty() => Input::Data(Value::Object(serde_json::Map::new())),
            Ok(body) => match serde_json::from_slice(&body) {
                Ok(value) => Input::Data(value),
                Err(error) => Input::Broken(format!("the body is not JSON: {error}")),
            },
            Err(why) => Input::Broken(why),
        };
        return Ok(Call { protocol, service, op: op.to_owned(), input });
    }
    if let Some((op, path)) = scheduler::operation(request.method().as_str(), request.uri().path()) {
        let input = match body.and_then(|body| scheduler::members(&body, request.uri().query(), path)) {
            Ok(members) => Input::Data(members),
            Err(why) => Input::Broken(why),
        };
        return Ok(Call { protocol: Protocol::RestJson, service: "scheduler", op: op.to_owned(), input });
    }
    if let Some(rest) = request.uri().path().strip_prefix("/service/") {
        let Some((service, op)) = rest.split_once("/operation/") else {
            return Err((Protocol::Cbor, not_served(rest)));
        };
        if service != "GraniteServiceVersion20100801" {
            return Err((Protocol::Cbor, not_served(service)));
        }
        let input = match body.map(|body| cbor::decode(&body)) {
            Ok(Ok(value)) => Input::Data(value),
            Ok(Err(error)) => Input::Broken(error.to_string()),
            Err(why) => Input::Broken(why),
        };
        return Ok(Call { protocol: Protocol::Cbor, service: "cloudwatch", op: op.to_owned(), input });
    }
    let form = match &body {
        Ok(body) if !body.is_empty() => Params::parse(body),
        _ => Params::parse(request.uri().query().unwrap_or_default().as_bytes()),
    };
    let Some(op) = form.get("Action").map(str::to_owned) else {
        let error =
            ApiError::bad("MissingAction", "The request is no call of an AWS API that the labguard sandbox serves");
        return Err((Protocol::Ec2Query, error));
    };
    let scope = credentials::check(headers, request.uri().query()).map(|signer| signer.service).unwrap_or_default();
    let version = form.get("Version").unwrap_or_default();
    let (service, protocol) = match (scope.as_str(), version) {
        ("iam", _) | ("", "2010-05-08") => ("iam", Protocol::Query(IAM_XML)),
        ("sts", _) | ("", "2011-06-15") => ("sts", Protocol::Query(STS_XML)),
        ("monitoring", _) | ("", "2010-08-01") => ("cloudwatch", Protocol::Query(CLOUDWATCH_XML)),
        ("ec2" | "", _) => ("ec2", Protocol::Ec2Query),
        (other, _) => return Err((Protocol::Ec2Query, not_served(other))),
    };
    Ok(Call { protocol, service, op, input: Input::Form(form) })
}

fn not_served(what: &str) -> ApiError {
    ApiError::bad("UnknownOperationException", format!("the labguard sandbox does not serve {what} in this protocol"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The body, with `Content-Encoding: gzip` undone.
fn inflated(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, String> {
    if header(headers, "content-encoding") != Some("gzip") {
        return Ok(body.clone());
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body.as_ref())
        .take(LARGEST_INFLATED)
        .read_to_end(&mut plain)
        .map_err(|error| format!("the body is not gzip: {error}"))?;
    Ok(Bytes::from(plain))
}

/// Whether the request is for the registry.
#[must_use]
pub fn is_registry(request: &Request<Bytes>) -> bool {
    let path = request.uri().path();
    path == "/v2" || path.starts_with("/v2/")
}

/// The sandbox's own page, for a person who opens its address.
#[must_use]
pub fn banner() -> Response<Bytes> {
    Response::new(Bytes::from_static(
        b"labguard sandbox: AWS's wire protocol, account 000000000000. Nothing here is AWS and nothing here costs money.\n",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: Option<&str>, path: &str, body: &'static str) -> Request<Bytes> {
        let mut builder = Request::post(format!("http://sandbox{path}"));
        if let Some(target) = target {
            builder = builder.header("x-amz-target", target);
        }
        builder
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=labguard-sandbox/20261122/us-east-1/ec2/aws4_request, x",
            )
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap()
    }

    #[test]
    fn requests_find_their_service_in_each_protocol() {
        let call = route(&request(Some("AmazonEC2ContainerServiceV20141113.RunTask"), "/", "{}")).unwrap();
        assert_eq!((call.name().as_str(), call.protocol), ("ecs:RunTask", Protocol::Json11));
        let call = route(&request(None, "/service/GraniteServiceVersion20100801/operation/PutMetricData", "")).unwrap();
        assert_eq!((call.name().as_str(), call.protocol), ("cloudwatch:PutMetricData", Protocol::Cbor));
        let call = route(&request(None, "/", "Action=DescribeVpcs&Version=2016-11-15")).unwrap();
        assert_eq!((call.name().as_str(), call.protocol), ("ec2:DescribeVpcs", Protocol::Ec2Query));
        assert!(route(&request(None, "/", "")).is_err());
    }
}
