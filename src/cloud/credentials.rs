//! Where the credentials come from, and what is known of them.
//!
//! Lab credentials die at a time that their file does not tell. So they are kept only until AWS refuses
//! them, then read again from where they came. Never logs, shows or stores a key.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use aws_config::{default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::region::Region;

use super::calls::CallOutcome;
use crate::{
    clock::Clock,
    domain::model::{CredentialReading, FaultClass, Span, Timestamp},
};

/// Credentials are renewed this long before they expire.
const MARGIN: Span = Span::from_mins(1);

/// A refused set of credentials is read again at most this often.
const REREAD: Span = Span::from_secs(10);

#[derive(Debug, Default)]
struct State {
    kept: Option<Credentials>,
    read_at: Option<Timestamp>,
    refused: bool,
    missing: bool,
}

/// Reads credentials, and reads them again when they are refused or nearly expired.
#[derive(Debug)]
pub(crate) struct Keyring {
    fixed: Option<Credentials>,
    profile: Option<String>,
    region: String,
    http: SharedHttpClient,
    clock: Clock,
    state: Mutex<State>,
}

impl Keyring {
    pub(crate) fn new(
        fixed: Option<(String, String)>,
        profile: Option<String>,
        region: String,
        http: SharedHttpClient,
        clock: Clock,
    ) -> Self {
        let fixed = fixed.map(|(id, secret)| Credentials::new(id, secret, None, None, "labguard"));
        Self { fixed, profile, region, http, clock, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a call's end says about them.
    pub(crate) fn learn(&self, outcome: CallOutcome) {
        match outcome {
            CallOutcome::Ok => self.state().refused = false,
            CallOutcome::Fault(FaultClass::Expired) => self.state().refused = true,
            // Any other refusal came from a service that had accepted them, or from none.
            CallOutcome::Fault(_) => {}
        }
    }

    /// What is known of them.
    pub(crate) fn reading(&self) -> CredentialReading {
        let state = self.state();
        let expires_at = state.kept.as_ref().and_then(expiry);
        CredentialReading { expires_at, refused: state.refused, missing: state.missing }
    }

    fn usable(&self) -> Option<Credentials> {
        let state = self.state();
        let kept = state.kept.as_ref()?;
        let now = self.clock.now();
        let aged = state.read_at.is_none_or(|read| now >= read + REREAD);
        let ending = expiry(kept).is_some_and(|end| now + MARGIN >= end);
        (!((state.refused || ending) && aged)).then(|| kept.clone())
    }

    async fn provide(&self) -> provider::Result {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        if let Some(kept) = self.usable() {
            return Ok(kept);
        }
        // The chain asks over our own client: the SDK has none of its own in this build, and panics without.
        let ways = ProviderConfig::without_region()
            .with_region(Some(Region::new(self.region.clone())))
            .with_http_client(self.http.clone())
            .with_sleep_impl(TokioSleep::new());
        let mut chain = DefaultCredentialsChain::builder().configure(ways).region(Region::new(self.region.clone()));
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        let read = chain.build().await.provide_credentials().await;
        let mut state = self.state();
        state.missing = read.is_err();
        let read = read?;
        state.kept = Some(read.clone());
        state.read_at = Some(self.clock.now());
        Ok(read)
    }
}

/// When they expire, where the provider tells.
fn expiry(credentials: &Credentials) -> Option<Timestamp> {
    let since = credentials.expiry()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// The keyring as the SDK wants it.
#[derive(Clone, Debug)]
pub(crate) struct Provider(pub(crate) std::sync::Arc<Keyring>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move { self.0.provide().await.map_err(|error: CredentialsError| error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_remembered_until_a_call_succeeds() {
        let keys = ("labguard-sandbox".to_owned(), "secret".to_owned());
        let clock = Clock::simulated(Timestamp::from_millis(0));
        let keyring = Keyring::new(Some(keys), None, "us-east-1".into(), crate::cloud::connect::https(), clock);
        assert!(!keyring.reading().refused);
        keyring.learn(CallOutcome::Fault(FaultClass::Expired));
        keyring.learn(CallOutcome::Fault(FaultClass::Throttled));
        assert!(keyring.reading().refused);
        keyring.learn(CallOutcome::Ok);
        assert!(!keyring.reading().refused);
        assert_eq!(keyring.provide().await.unwrap().access_key_id(), "labguard-sandbox");
    }
    #[tokio::test]
    async fn the_usual_chain_is_asked_over_our_own_client_and_fails_without_a_panic() {
        let profile = Some("labguard-no-such-profile".to_owned());
        let keyring = Keyring::new(None, profile, "us-east-1".into(), crate::cloud::connect::https(), Clock::System);
        // What it finds depends on the machine; that it answers at all does not.
        let answer = tokio::time::timeout(Duration::from_secs(30), keyring.provide()).await;
        let found = answer.expect("the chain does not end");
        assert_eq!(keyring.reading().missing, found.is_err());
    }
}
