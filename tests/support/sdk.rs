//! A sandbox in memory, and what AWS's own SDK speaks to it with: for the suites that ask the sandbox itself.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use labguard::{
    clock::Clock,
    domain::model::Timestamp,
    sandbox::{Sandbox, SandboxConfig, latency::Latency, runtime::Simulated},
};

/// A sandbox whose clock begins at that second.
pub fn sandbox(seed: u64, start: i64, latency: Latency, containers: Arc<Simulated>) -> Sandbox {
    Sandbox::new(SandboxConfig {
        seed,
        faults: Vec::new(),
        latency,
        clock: Clock::simulated(Timestamp::from_millis(start * 1000)),
        containers,
        region: "us-east-1".to_owned(),
        endpoint: None,
    })
}

/// Of which a client of any service is made.
pub fn sdk(sandbox: &Sandbox) -> SdkConfig {
    let credentials = Credentials::new("labguard-sandbox", "x", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url("http://sandbox")
        .http_client(sandbox.http_client())
        .build()
}
