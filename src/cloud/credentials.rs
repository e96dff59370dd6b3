//! Where the credentials come from, and what is known of them.
//!
//! Lab credentials die at a time that their file does not tell. So they are kept only until AWS refuses
//! them, then read again from where they came. Never logs, shows or stores a key.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use aws_config::{default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig};
use aws_credential_types::{
    Credentials,
    credential_feature::AwsCredentialFeature,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::region::Region;

use super::calls::CallOutcome;
use crate::{
    clock::Clock,
    domain::model::{CredentialReading, FaultClass, Span, Timestamp, with_causes},
};

/// Credentials are renewed this long before they expire.
const MARGIN: Span = Span::from_mins(1);

/// A refused set of credentials is read again at most this often.
const REREAD: Span = Span::from_secs(10);

/// One whose expiry draws near is asked for again this often.
const ASK: Span = Span::from_mins(1);

/// So long a call waits for newer ones while those at hand are good: a source may wait for a person, or for a network.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct State {
    kept: Option<Credentials>,
    read_at: Option<Timestamp>,
    /// From so long before an expiry on it is asked whether there are newer ones.
    lead: Span,
    refused: bool,
    missing: bool,
    /// How often some were taken in: who began to ask before the last time has an old answer.
    taken: u64,
}

impl State {
    fn good(&self, now: Timestamp) -> Option<Credentials> {
        self.kept.clone().filter(|kept| !self.refused && expiry(kept).is_none_or(|end| now < end))
    }
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
    /// Held while newer ones are asked for beside the calls.
    asking: Arc<tokio::sync::Mutex<()>>,
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
        Self { fixed, profile, region, http, clock, state: Mutex::default(), asking: Arc::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a call's end says about them.
    pub(crate) fn learn(&self, outcome: CallOutcome) {
        match outcome {
            CallOutcome::Ok => {
                let mut state = self.state();
                (state.refused, state.missing) = (false, false);
            }
            CallOutcome::Fault(FaultClass::Expired) => self.state().refused = true,
            // Any other refusal came from a service that had accepted them, or from none.
            CallOutcome::Fault(_) => {}
        }
    }

    /// What is known of them. An expiry is only told as one where it was asked within `lead` of it whether there are
    /// newer ones, and there were none: most sources renew themselves when they are asked.
    pub(crate) fn reading(&self, lead: Span) -> CredentialReading {
        let mut state = self.state();
        state.lead = state.lead.max(lead);
        let now = self.clock.now();
        let expires_at = state.kept.as_ref().filter(|kept| !renews_itself(kept)).and_then(expiry);
        let asked = |end: Timestamp| {
            let from = end - state.lead;
            now < from || state.read_at.is_some_and(|read| read >= from)
        };
        CredentialReading {
            expires_at: expires_at.filter(|end| asked(*end)),
            refused: state.refused,
            missing: state.missing,
        }
    }

    fn usable(&self) -> Option<Credentials> {
        let state = self.state();
        let kept = state.kept.as_ref()?;
        let now = self.clock.now();
        let older_than = |age: Span| state.read_at.is_none_or(|read| now >= read + age);
        let ends_within = |lead: Span| expiry(kept).is_some_and(|end| now + lead >= end);
        let read_again = (state.refused || ends_within(MARGIN)) && older_than(REREAD)
            || ends_within(state.lead.max(MARGIN)) && older_than(ASK);
        (!read_again).then(|| kept.clone())
    }

    async fn provide(self: &Arc<Self>) -> provider::Result {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        if let Some(kept) = self.usable() {
            return Ok(kept);
        }
        let keyring = Arc::clone(self);
        self.newer(async move { keyring.ask().await }).await
    }

    async fn ask(&self) -> provider::Result {
        // The chain asks over our own client: the SDK has none of its own in this build, and panics without.
        let ways = ProviderConfig::without_region()
            .with_region(Some(Region::new(self.region.clone())))
            .with_http_client(self.http.clone())
            .with_sleep_impl(TokioSleep::new());
        let mut chain = DefaultCredentialsChain::builder().configure(ways).region(Region::new(self.region.clone()));
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        chain.build().await.provide_credentials().await
    }

    /// Waits for what the source says; while those at hand are good only for a moment, and asks one at a time. What comes
    /// later is taken in beside the calls.
    async fn newer(
        self: &Arc<Self>,
        asked: impl Future<Output = provider::Result> + Send + 'static,
    ) -> provider::Result {
        let (good, taken) = {
            let state = self.state();
            (state.good(self.clock.now()), state.taken)
        };
        let Some(good) = good else { return self.take(taken, asked.await) };
        let Ok(turn) = Arc::clone(&self.asking).try_lock_owned() else { return Ok(good) };
        let keyring = Arc::clone(self);
        let answer = tokio::spawn(async move {
            let _turn = turn;
            let read = asked.await;
            keyring.take(taken, read)
        });
        match tokio::time::timeout(WAIT, answer).await {
            Ok(Ok(read)) => read,
            // It panicked: no answer came.
            Ok(Err(error)) => self.take(taken, Err(CredentialsError::unhandled(error))),
            Err(_) => self.take(taken, Err(CredentialsError::provider_timed_out(WAIT))),
        }
    }

    /// Takes in what the chain said to who began to ask when it had been `taken` in so often. A source that fails while
    /// the ones at hand are still good loses nothing, nor does one that fails after another call had an answer.
    fn take(&self, taken: u64, read: provider::Result) -> provider::Result {
        let mut state = self.state();
        let now = self.clock.now();
        let newer = state.kept.clone().filter(|_| state.taken > taken);
        let read = match (read, newer.or_else(|| state.good(now))) {
            (Ok(read), _) => {
                state.kept = Some(read.clone());
                state.taken += 1;
                Ok(read)
            }
            (Err(error), Some(good)) => {
                tracing::warn!(
                    "the credentials could not be read again, those at hand are used on: {}",
                    with_causes(&error)
                );
                Ok(good)
            }
            (Err(error), None) => Err(error),
        };
        state.missing = read.is_err();
        if read.is_ok() {
            state.read_at = Some(now);
        }
        read
    }
}

/// Whether their source has new ones by itself before they expire, however long: an instance's or a container's role,
/// of which the new ones may come as late as five minutes before the end (EC2 User Guide, "Instance metadata").
fn renews_itself(credentials: &Credentials) -> bool {
    let features = credentials.get_property::<Vec<AwsCredentialFeature>>();
    let of_role = |it: &AwsCredentialFeature| {
        matches!(it, AwsCredentialFeature::CredentialsImds | AwsCredentialFeature::CredentialsHttp)
    };
    features.is_some_and(|features| features.iter().any(of_role))
}

/// When they expire, where the provider tells.
fn expiry(credentials: &Credentials) -> Option<Timestamp> {
    let since = credentials.expiry()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// The keyring as the SDK wants it.
#[derive(Clone, Debug)]
pub(crate) struct Provider(pub(crate) Arc<Keyring>);

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
        let keyring =
            Arc::new(Keyring::new(Some(keys), None, "us-east-1".into(), crate::cloud::connect::https(), clock));
        let refused = || keyring.reading(Span::ZERO).refused;
        assert!(!refused());
        keyring.learn(CallOutcome::Fault(FaultClass::Expired));
        keyring.learn(CallOutcome::Fault(FaultClass::Throttled));
        assert!(refused());
        keyring.learn(CallOutcome::Ok);
        assert!(!refused());
        assert_eq!(keyring.provide().await.unwrap().access_key_id(), "labguard-sandbox");
    }

    #[tokio::test]
    async fn the_usual_chain_is_asked_over_our_own_client_and_fails_without_a_panic() {
        let profile = Some("labguard-no-such-profile".to_owned());
        let keyring = Keyring::new(None, profile, "us-east-1".into(), crate::cloud::connect::https(), Clock::System);
        let keyring = Arc::new(keyring);
        // What it finds depends on the machine; that it answers at all does not.
        let answer = tokio::time::timeout(Duration::from_secs(30), keyring.provide()).await;
        let found = answer.expect("the chain does not end");
        assert_eq!(keyring.reading(Span::ZERO).missing, found.is_err());
    }

    fn lasting(clock: &Clock, minutes: u64, feature: AwsCredentialFeature) -> Credentials {
        let end = clock.now() + Span::from_mins(minutes);
        let end = UNIX_EPOCH + Duration::from_millis(u64::try_from(end.as_millis()).unwrap());
        let mut credentials = Credentials::new("AKID", "secret", None, Some(end), "test");
        credentials.get_property_mut_or_default::<Vec<AwsCredentialFeature>>().push(feature);
        credentials
    }

    fn keyring(clock: &Clock) -> Arc<Keyring> {
        Arc::new(Keyring::new(None, None, "us-east-1".into(), crate::cloud::connect::https(), clock.clone()))
    }

    fn took(keyring: &Keyring, read: provider::Result) -> provider::Result {
        let taken = keyring.state().taken;
        keyring.take(taken, read)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_renews_is_asked_in_time_and_its_expiry_is_never_told_as_an_end() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let (keyring, lead) = (keyring(&clock), Span::from_mins(25));
        let issue = || lasting(&clock, 60, AwsCredentialFeature::CredentialsStsAssumeRole);
        took(&keyring, Ok(issue())).unwrap();
        let first = keyring.reading(lead).expires_at.unwrap();
        for _ in 0..180 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            if keyring.usable().is_none() {
                assert_eq!(keyring.reading(lead).expires_at, None, "not told before it was asked");
                took(&keyring, Ok(issue())).unwrap();
            }
            let left = keyring.reading(lead).expires_at.unwrap().since(clock.now());
            assert!(left > Span::from_mins(25), "{left}");
        }
        assert!(keyring.reading(lead).expires_at.unwrap() > first);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_renew_has_an_end_that_is_told_and_a_source_that_fails_loses_nothing() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let (keyring, lead) = (keyring(&clock), Span::from_mins(25));
        let fixed = lasting(&clock, 60, AwsCredentialFeature::CredentialsProfileSso);
        took(&keyring, Ok(fixed.clone())).unwrap();
        assert_eq!(keyring.reading(lead).expires_at, expiry(&fixed), "of hours ahead it is told as it is");
        tokio::time::sleep(Duration::from_secs(36 * 60)).await;
        assert!(keyring.usable().is_none());
        took(&keyring, Ok(fixed.clone())).unwrap();
        assert_eq!(keyring.reading(lead).expires_at, expiry(&fixed));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(keyring.usable().is_none(), "asked again each minute");
        let kept = took(&keyring, Err(CredentialsError::not_loaded("away"))).unwrap();
        assert_eq!(kept.access_key_id(), "AKID");
        assert!(!keyring.reading(lead).missing);
        tokio::time::sleep(Duration::from_secs(24 * 60)).await;
        assert!(took(&keyring, Err(CredentialsError::not_loaded("away"))).is_err());
        assert!(keyring.reading(lead).missing);
    }

    #[tokio::test(start_paused = true)]
    async fn the_role_of_a_machine_or_a_container_has_no_end_of_its_own() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let keyring = keyring(&clock);
        for feature in [AwsCredentialFeature::CredentialsImds, AwsCredentialFeature::CredentialsHttp] {
            took(&keyring, Ok(lasting(&clock, 9, feature))).unwrap();
            assert_eq!(keyring.reading(Span::from_mins(25)).expires_at, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_holds_up_no_call_and_hides_no_end() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let (keyring, lead) = (keyring(&clock), Span::from_mins(25));
        let kept = lasting(&clock, 60, AwsCredentialFeature::CredentialsProcess);
        took(&keyring, Ok(kept.clone())).unwrap();
        assert_eq!(keyring.reading(lead).expires_at, expiry(&kept));
        tokio::time::sleep(Duration::from_secs(36 * 60)).await;
        assert!(keyring.usable().is_none());
        let began = tokio::time::Instant::now();
        let (first, second) =
            tokio::join!(keyring.newer(std::future::pending()), keyring.newer(std::future::pending()));
        assert_eq!((first.unwrap(), second.unwrap()), (kept.clone(), kept.clone()));
        assert_eq!(began.elapsed(), WAIT);
        assert_eq!(keyring.reading(lead).expires_at, expiry(&kept), "asked, and there were none: they have an end");
        // The first one still waits for its answer: nothing is asked beside it.
        tokio::time::sleep(Duration::from_secs(61)).await;
        let again = keyring.newer(async { panic!("asked while the first one is") });
        assert_eq!(again.await.unwrap(), kept);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_taken_in() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let keyring = keyring(&clock);
        took(&keyring, Ok(lasting(&clock, 20, AwsCredentialFeature::CredentialsProcess))).unwrap();
        let renewed = lasting(&clock, 90, AwsCredentialFeature::CredentialsProcess);
        let late = renewed.clone();
        keyring
            .newer(async {
                tokio::time::sleep(WAIT * 2).await;
                Ok(late)
            })
            .await
            .unwrap();
        tokio::time::sleep(WAIT * 2).await;
        assert_eq!(keyring.usable(), Some(renewed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_failure_beside_a_success_is_not_told_as_missing_nor_what_a_call_disproves() {
        let clock = Clock::simulated(Timestamp::from_millis(1_795_000_000_000));
        let keyring = keyring(&clock);
        let fresh = lasting(&clock, 90, AwsCredentialFeature::CredentialsProfile);
        keyring.learn(CallOutcome::Fault(FaultClass::Expired));
        keyring.take(0, Ok(fresh.clone())).unwrap();
        assert_eq!(keyring.take(0, Err(CredentialsError::not_loaded("half a file"))).unwrap(), fresh);
        assert!(!keyring.reading(Span::ZERO).missing);
        assert!(took(&keyring, Err(CredentialsError::not_loaded("half a file"))).is_err());
        assert!(keyring.reading(Span::ZERO).missing);
        keyring.learn(CallOutcome::Ok);
        assert!(!keyring.reading(Span::ZERO).missing);
    }
}
