//! AWS's wire protocols as the sandbox speaks them: which one a request uses, and how answers and errors look in it.
//!
//! Guarantees: every answer carries `x-amzn-requestid`; an error has the body shape and headers that the SDKs, the AWS
//! CLI and boto3 read. Never decides what a call does.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{cbor, xml};

/// What a service refuses a call with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// AWS's error code, such as `ClusterNotFoundException`.
    pub code: String,
    /// AWS's wording.
    pub message: String,
    /// More members of the error shape (an object), such as `resourceIds`; `Null` for none.
    pub extra: Box<Value>,
}

impl ApiError {
    /// Any error.
    #[must_use]
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), extra: Box::new(Value::Null) }
    }

    /// A 400 with `code`.
    #[must_use]
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// ECS's and others' `InvalidParameterException`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::bad("InvalidParameterException", message)
    }

    /// ECS's `ClientException`.
    #[must_use]
    pub fn client(message: impl Into<String>) -> Self {
        Self::bad("ClientException", message)
    }

    /// An operation that does not exist, in JSON services.
    #[must_use]
    pub fn unknown_operation(op: &str) -> Self {
        Self::bad("UnknownOperationException", format!("The sandbox knows no operation {op}."))
    }

    /// An operation that does not exist, in query services.
    #[must_use]
    pub fn invalid_action(op: &str) -> Self {
        Self::bad("InvalidAction", format!("The action {op} is not valid for this web service."))
    }

    /// The same with more members.
    #[must_use]
    pub fn with(mut self, extra: Value) -> Self {
        self.extra = Box::new(extra);
        self
    }
}

/// How a call and its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// awsJson 1.1 (ECS, ECR, Logs, tagging).
    Json11,
    /// awsJson 1.0 (CloudWatch from boto3).
    Json10,
    /// restJson1 (EventBridge Scheduler).
    RestJson,
    /// Smithy RPC v2 over CBOR (CloudWatch from newer SDKs).
    Cbor,
    /// EC2's query dialect.
    Ec2Query,
    /// IAM's and STS's query, with the service's XML namespace.
    Query(&'static str),
}

impl Protocol {
    /// Whether errors are called as the query protocols call them.
    #[must_use]
    pub fn is_query(self) -> bool {
        matches!(self, Protocol::Ec2Query | Protocol::Query(_))
    }
}

/// What a call answers with, before it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// For the JSON and CBOR protocols.
    Data(Value),
    /// For the query protocols.
    Xml(xml::XmlBody),
}

/// Writes the answer to `op`.
#[must_use]
pub fn render(protocol: Protocol, op: &str, request_id: &str, result: Result<Output, ApiError>) -> Response<Bytes> {
    match result {
        Ok(output) => success(protocol, op, request_id, output),
        Err(error) => failure(protocol, request_id, &error),
    }
}

fn success(protocol: Protocol, op: &str, request_id: &str, output: Output) -> Response<Bytes> {
    let body = match (protocol, output) {
        (Protocol::Cbor, Output::Data(value)) => cbor::encode(&value),
        (_, Output::Data(value)) => value.to_string().into_bytes(),
        (Protocol::Query(namespace), Output::Xml(body)) => format!(
            "<{op}Response xmlns=\"{namespace}\"><{op}Result>{}</{op}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{op}Response>",
            body.as_str()
        )
        .into_bytes(),
        (_, Output::Xml(body)) => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{op}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{request_id}</requestId>{}</{op}Response>",
            body.as_str()
        )
        .into_bytes(),
    };
    respond(protocol, 200, request_id, None, body)
}

fn failure(protocol: Protocol, request_id: &str, error: &ApiError) -> Response<Bytes> {
    let (code, message) = (xml::escape(&error.code), xml::escape(&error.message));
    let side = if error.status >= 500 { "Receiver" } else { "Sender" };
    let body = match protocol {
        Protocol::Json11 => error_members(error, &error.code).to_string().into_bytes(),
        Protocol::Json10 => error_members(error, cloudwatch_shape(&error.code)).to_string().into_bytes(),
        Protocol::RestJson => json!({ "Message": error.message }).to_string().into_bytes(),
        Protocol::Cbor => {
            let kind = format!("com.amazonaws.cloudwatch#{}", cloudwatch_shape(&error.code));
            cbor::encode(&error_members(error, &kind))
        }
        Protocol::Ec2Query => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
        .into_bytes(),
        Protocol::Query(namespace) => format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        .into_bytes(),
    };
    let mut response = respond(protocol, error.status, request_id, Some(&error.code), body);
    if matches!(protocol, Protocol::Json10 | Protocol::Cbor)
        && let Ok(value) = HeaderValue::from_str(&format!("{};{side}", error.code))
    {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}

/// The name of an error in CloudWatch's model, where it differs from the code of the query protocol, which clients go by
/// and which travels in `x-amzn-query-error`.
fn cloudwatch_shape(code: &str) -> &str {
    match code {
        "InvalidParameterValue" => "InvalidParameterValueException",
        "InvalidParameterCombination" => "InvalidParameterCombinationException",
        "MissingParameter" => "MissingRequiredParameterException",
        "InvalidFormat" => "InvalidFormatFault",
        "InternalServiceError" => "InternalServiceFault",
        other => other,
    }
}

fn error_members(error: &ApiError, kind: &str) -> Value {
    let mut members = json!({ "__type": kind, "message": error.message });
    if let (Some(members), Some(extra)) = (members.as_object_mut(), error.extra.as_object()) {
        members.extend(extra.clone());
    }
    members
}

fn respond(protocol: Protocol, status: u16, request_id: &str, error: Option<&str>, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: &mut HeaderMap = response.headers_mut();
    let kind = match protocol {
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::RestJson => "application/json",
        Protocol::Cbor => "application/cbor",
        Protocol::Ec2Query => "text/xml;charset=UTF-8",
        Protocol::Query(_) => "text/xml",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id.clone());
        if protocol == Protocol::Ec2Query {
            headers.insert("x-amz-request-id", id);
        }
    }
    if protocol == Protocol::Cbor {
        headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    }
    if let Some(code) = error.filter(|_| !protocol.is_query()).and_then(|code| HeaderValue::from_str(code).ok()) {
        headers.insert("x-amzn-errortype", code);
    }
    response
}

/// A required string member of a JSON input.
///
/// # Errors
/// `InvalidParameterException` in AWS's words when it is absent or empty.
pub fn required<'a>(input: &'a Value, member: &str) -> Result<&'a str, ApiError> {
    input[member]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::invalid(format!("Invalid parameter: {member} cannot be blank.")))
}

/// The strings of a list member (empty when absent).
#[must_use]
pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response<Bytes>) -> String {
        String::from_utf8_lossy(response.body()).into_owned()
    }

    #[test]
    fn each_protocol_words_an_error_in_its_own_shape() {
        let error = || Err(ApiError::invalid("bad <id>").with(json!({"resourceIds": ["a"]})));
        let response = render(Protocol::Json11, "RunTask", "r-1", error());
        assert_eq!(response.headers()["x-amzn-errortype"], "InvalidParameterException");
        assert!(text(&response).contains("\"resourceIds\":[\"a\"]"));
        let response = render(Protocol::Ec2Query, "DescribeVpcs", "r-1", error());
        assert!(
            text(&response)
                .contains("<Response><Errors><Error><Code>InvalidParameterException</Code><Message>bad &lt;id&gt;")
        );
        let response = render(Protocol::Query("https://iam.amazonaws.com/doc/2010-05-08/"), "GetRole", "r-1", error());
        assert!(text(&response).starts_with("<ErrorResponse"));
        assert_eq!(response.headers()["x-amzn-requestid"], "r-1");
    }
}
