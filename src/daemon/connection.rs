//! From `[aws]` to the way to AWS.
//!
//! Guarantees: every key of `[aws]` that is about the connection is heeded (a test goes through them). Must never hold
//! credentials of anybody's.

use std::sync::Arc;

use crate::{
    clock::Clock,
    cloud::{CallOutcome, CloudConfig},
    config::Settings,
    telemetry::prometheus::Metrics,
};

/// The sandbox's credentials: they look like nobody's.
pub const SANDBOX_CREDENTIALS: &str = "labguard-sandbox";

/// How AWS is reached; `sandbox` is the embedded one's address.
pub(super) fn cloud_config(
    settings: &Settings,
    sandbox: Option<&str>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> CloudConfig {
    let aws = &settings.aws;
    let metrics = Arc::clone(metrics);
    CloudConfig {
        region: settings.region().to_owned(),
        endpoint_url: sandbox.map(str::to_owned).or_else(|| aws.endpoint_url.clone()),
        service_endpoints: aws.endpoints.clone(),
        registry_endpoint: aws.registry_endpoint.clone(),
        profile: aws.profile.clone(),
        static_credentials: sandbox.map(|_| (SANDBOX_CREDENTIALS.to_owned(), SANDBOX_CREDENTIALS.to_owned())),
        http_client: None,
        registry_transport: None,
        clock: clock.clone(),
        max_attempts: aws.max_attempts,
        operation_timeout: aws.operation_timeout,
        // An answer that has begun has as long again for its end.
        attempt_timeout: aws.connect_timeout + aws.read_timeout + aws.read_timeout,
        connect_timeout: aws.connect_timeout,
        read_timeout: aws.read_timeout,
        pace: true,
        on_call: Some(Arc::new(move |report| {
            let outcome = match &report.outcome {
                CallOutcome::Ok => "ok",
                CallOutcome::Fault(class) => class.name(),
            };
            metrics.call(&report.operation, outcome, report.micros);
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{cloud::Cloud, config};

    fn settings(set: &[String]) -> Settings {
        let set = set.iter().cloned().chain(["aws.sandbox.enabled=false".to_owned()]).collect();
        config::load(&config::Request { set, ..config::Request::default() }).unwrap()
    }

    fn of(settings: &Settings) -> CloudConfig {
        cloud_config(settings, None, &Clock::System, &Arc::new(Metrics::new()))
    }

    /// All of it that a configuration decides.
    fn shown(it: &CloudConfig) -> String {
        let reach = (&it.region, &it.endpoint_url, &it.service_endpoints, &it.registry_endpoint, &it.profile);
        format!("{reach:?} {} {} {} {}", it.max_attempts, it.connect_timeout, it.read_timeout, it.operation_timeout)
    }

    #[test]
    fn every_key_of_aws_reaches_the_connection() {
        let schema = config::schema();
        let keys = schema["properties"]["aws"]["properties"].as_object().unwrap();
        let usual = shown(&of(&settings(&[])));
        let mut seen = 0;
        for (name, of_key) in keys {
            let inner = of_key["properties"].as_object();
            let paths: Vec<String> = match (name.as_str(), inner) {
                // The sandbox is a server of its own; whose address we call from is asked by the engine.
                ("sandbox" | "own_address_url", _) => continue,
                (_, Some(inner)) => inner.keys().map(|leaf| format!("{name}.{leaf}")).collect(),
                (_, None) => vec![name.clone()],
            };
            for path in paths {
                let other = match path.as_str() {
                    "max_attempts" => "7",
                    _ if path.ends_with("_timeout") => "7s",
                    _ => "http://127.0.0.1:9",
                };
                let set = settings(&[format!("aws.{path}={other}")]);
                assert_ne!(shown(&of(&set)), usual, "aws.{path} changes nothing");
                seen += 1;
            }
        }
        assert!(seen > 12, "{seen}");
        let long = of(&settings(&["aws.read_timeout=5m".to_owned()]));
        assert!(long.attempt_timeout > long.read_timeout, "the whole try has more time than its first byte");
    }

    #[tokio::test]
    async fn who_takes_a_request_and_never_answers_is_given_up_after_the_read_timeout() {
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", deaf.local_addr().unwrap());
        let set = [format!("aws.endpoint_url={url}"), "aws.read_timeout=300ms".into(), "aws.max_attempts=1".into()];
        let mut config = of(&settings(&set));
        config.static_credentials = Some((SANDBOX_CREDENTIALS.into(), SANDBOX_CREDENTIALS.into()));
        // Not by the bound of the whole try.
        config.attempt_timeout = crate::domain::model::Span::from_secs(50);
        let cloud = Cloud::connect(config).await;
        let begin = Instant::now();
        // One of an SDK crate, one that is signed by ourselves.
        assert!(cloud.identity().await.is_err());
        assert!(cloud.survey(None, &[]).await.is_err());
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }
}
