//! Whose signature a request bears: the sandbox believes anyone, except those who look real.
//!
//! Guarantees: access keys of AWS's own shapes (`AKIA…`, `ASIA…`) are refused, so that nobody takes the sandbox for AWS
//! or AWS for the sandbox. Never checks a signature and never keeps or prints a secret.

use http::HeaderMap;

use super::wire::ApiError;
use crate::domain::model::SANDBOX_ACCOUNT;

/// What the Authorization header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Access key id.
    pub key: String,
    /// Region of the credential scope.
    pub region: String,
    /// Service of the credential scope, such as `ecs`.
    pub service: String,
}

/// Reads and judges the signature.
///
/// # Errors
/// `MissingAuthenticationToken` without one, `UnrecognizedClientException` for keys that look real.
pub fn check(headers: &HeaderMap, query: Option<&str>) -> Result<Signer, ApiError> {
    let missing = || ApiError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presigned: Option<String> = query.and_then(|query| {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
        pairs.into_iter().find(|(name, _)| name == "X-Amz-Credential").map(|(_, value)| value)
    });
    let credential = match header.and_then(|header| header.split_once("Credential=")) {
        Some((_, rest)) => rest.split([',', ' ']).next().unwrap_or_default().to_owned(),
        None => presigned.ok_or_else(missing)?,
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let [key, _date, region, service, ..] = parts[..] else { return Err(missing()) };
    if key.starts_with("AKIA") || key.starts_with("ASIA") {
        return Err(ApiError::new(
            403,
            "UnrecognizedClientException",
            format!(
                "this is the labguard sandbox (account {SANDBOX_ACCOUNT}), not AWS; it refuses credentials that look real. \
                 Use AWS_ACCESS_KEY_ID=labguard-sandbox AWS_SECRET_ACCESS_KEY=labguard-sandbox"
            ),
        ));
    }
    Ok(Signer { key: key.to_owned(), region: region.to_owned(), service: service.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
        );
        headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn keys_that_look_real_are_refused_and_unsigned_requests_too() {
        assert_eq!(check(&with("labguard-sandbox"), None).unwrap().service, "ecs");
        for key in ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"] {
            let error = check(&with(key), None).unwrap_err();
            assert_eq!((error.status, error.code.as_str()), (403, "UnrecognizedClientException"));
            assert!(error.message.contains("AWS_ACCESS_KEY_ID=labguard-sandbox"));
        }
        assert_eq!(check(&HeaderMap::new(), None).unwrap_err().code, "MissingAuthenticationToken");
    }
}
