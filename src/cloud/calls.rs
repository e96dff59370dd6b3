//! Every call to AWS goes through here: paced, timed, reported, classified.
//!
//! Also keeps the set of IAM actions that the calls need, for the test of the shipped IAM policy.
//! Must never log or report a parameter of a call (secrets are among them).

use std::{
    cell::Cell,
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
                FinalizerInterceptorContextRef,
            },
            dyn_dispatch_hint,
        },
        orchestrator::{HttpResponse, Metadata},
        result::{ConnectorError, SdkError},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};

use futures::{FutureExt, future::BoxFuture};

use super::{
    Cloud,
    fault::{Refusal, of_sdk},
    retries::Retries,
    skew::Skew,
};
use crate::domain::model::FaultClass;

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// AWS did it.
    Ok,
    /// AWS refused, or no answer came.
    Fault(FaultClass),
}

/// One call, retries of the SDK included.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// `ecs:RunTask` and the like.
    pub operation: String,
    /// How it ended.
    pub outcome: CallOutcome,
    /// How long it took, in microseconds, waiting for the pace not included.
    pub micros: u64,
}

/// The IAM actions needed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions(Arc<Mutex<BTreeSet<String>>>);

impl Actions {
    pub(crate) fn note(&self, action: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(action) {
            seen.insert(action.to_owned());
        }
    }

    pub(crate) fn seen(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What AWS asks for besides the action that bears the call's name (aws-facts §9.1).
fn implied(service: &str, operation: &str) -> &'static [&'static str] {
    match (service, operation) {
        // the first cluster of an account makes ECS's service-linked role in the caller's name (aws-facts §1.3)
        ("ecs", "CreateCluster") => &["ecs:TagResource", "iam:CreateServiceLinkedRole"],
        ("ecs", "CreateService") => &["ecs:TagResource"],
        ("ecs", "RegisterTaskDefinition" | "RunTask") => &["ecs:TagResource", "iam:PassRole"],
        ("ec2", "CreateSecurityGroup") => &["ec2:CreateTags"],
        ("logs", "CreateLogGroup") => &["logs:TagResource"],
        ("ecr", "CreateRepository") => &["ecr:TagResource"],
        ("iam", "CreateRole") => &["iam:TagRole"],
        ("scheduler", "CreateScheduleGroup") => &["scheduler:TagResource"],
        ("scheduler", "CreateSchedule" | "UpdateSchedule") => &["iam:PassRole"],
        _ => &[],
    }
}

/// IAM's prefix of a service, by its SDK name.
fn prefix(service: &str) -> String {
    match service {
        "CloudWatch Logs" => "logs".to_owned(),
        "CloudWatch" => "cloudwatch".to_owned(),
        "Resource Groups Tagging API" => "tag".to_owned(),
        other => other.to_lowercase(),
    }
}

tokio::task_local! {
    /// Whether a try of the present call came as far as a connection: then something of it may have been sent.
    static SENT: Cell<bool>;
}

/// Whether a try failed before there was a connection: no such name, nobody there, no way to it.
fn is_unconnected(error: &ConnectorError) -> bool {
    let causes = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
    causes.filter_map(|error| error.downcast_ref::<hyper_util::client::legacy::Error>()).any(|error| error.is_connect())
}

/// Notes the action of everything that is sent, whoever sends it, whether anything of it was, and the date of every answer.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) actions: Actions,
    pub(crate) skew: Skew,
    pub(crate) retries: Retries,
}

#[dyn_dispatch_hint]
impl Intercept for Note {
    fn name(&self) -> &'static str {
        "labguard notes the action"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = config.load::<Metadata>() {
            let service = prefix(call.service());
            self.actions.note(&format!("{service}:{}", call.name()));
            for action in implied(&service, call.name()) {
                self.actions.note(action);
            }
        }
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.skew.note(context.response());
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let failed = context.output_or_error().and_then(Result::err);
        if !failed.and_then(|error| error.as_connector_error()).is_some_and(is_unconnected) {
            // Nobody listens where an operation is invoked outside of `Cloud::call`.
            let _ = SENT.try_with(|sent| sent.set(true));
        }
        Ok(())
    }
}

impl Cloud {
    /// Waits for its turn, sends, reports, classifies. On the heap: the SDK's futures are large, and whoever awaits one
    /// after the other would have room for all of them on its stack.
    pub(crate) fn call<'c, O, E>(
        &'c self,
        operation: &'static str,
        sent: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send + 'c,
    ) -> BoxFuture<'c, Result<O, Refusal<E>>>
    where
        O: Send + 'c,
        E: ProvideErrorMetadata + std::error::Error + Send + 'static,
    {
        self.one_call(operation, sent).boxed()
    }

    async fn one_call<O, E>(
        &self,
        operation: &'static str,
        sent: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send,
    ) -> Result<O, Refusal<E>>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(pace) = &self.inner.pace {
            pace.take(operation).await;
        }
        let start = tokio::time::Instant::now();
        let asked = async {
            let answer = sent.await;
            (answer, SENT.with(Cell::get))
        };
        let (answer, was_sent) = SENT.scope(Cell::new(false), asked).await;
        let answer = answer.map_err(|error| of_sdk(operation, error, was_sent));
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let outcome = match &answer {
            Ok(_) => CallOutcome::Ok,
            Err(refusal) => CallOutcome::Fault(refusal.fault.class),
        };
        self.inner.credentials.learn(outcome);
        match &answer {
            Ok(_) => tracing::trace!(operation, micros, "call"),
            Err(refusal) => tracing::debug!(operation, micros, fault = %refusal.fault, "call refused"),
        }
        if let Some(on_call) = &self.inner.on_call {
            on_call(&CallReport { operation: operation.to_owned(), outcome, micros });
        }
        answer
    }

    /// The IAM actions that everything called so far needs, such as `ecs:RunTask`.
    #[must_use]
    pub fn actions(&self) -> BTreeSet<String> {
        self.inner.actions.seen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::net::TcpListener;

    use super::super::{CloudConfig, Owner};
    use crate::{
        clock::Clock,
        domain::model::{Fault, ResourceKey, ResourceKind, SessionId, Spec, Timestamp},
    };

    /// What comes of a creation at that endpoint.
    async fn asked(endpoint: &str, tries: u32) -> Fault {
        let mut config = CloudConfig::new("us-east-1", Clock::simulated(Timestamp::from_millis(1_790_000_000_000)));
        config.static_credentials = Some(("labguard-sandbox".into(), "secret".into()));
        config.endpoint_url = Some(endpoint.to_owned());
        config.max_attempts = tries;
        let cloud = Cloud::connect(config).await;
        let session: SessionId = "lab-1".parse().unwrap();
        let owner = Owner { session: &session, owner: "me" };
        let spec = Spec::ScheduleGroup { name: "labguard-lab-1".into() };
        cloud.ensure(owner, ResourceKey::only(ResourceKind::ScheduleGroup), &spec, false).await.unwrap_err()
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        (listener, endpoint)
    }

    #[tokio::test]
    async fn a_call_counts_as_never_sent_where_no_try_of_it_came_as_far_as_a_connection() {
        let (nobody, endpoint) = listener().await;
        drop(nobody);
        let refused = asked(&endpoint, 2).await;
        assert!(refused.was_never_sent() && refused.class == FaultClass::Transient, "{refused:?}");
        let nameless = asked("http://scheduler.xx-nowhere-1.labguard.invalid", 1).await;
        assert!(nameless.was_never_sent(), "{nameless:?}");

        let (silent, endpoint) = listener().await;
        tokio::spawn(async move {
            loop {
                drop(silent.accept().await);
            }
        });
        let broken = asked(&endpoint, 2).await;
        assert!(!broken.was_never_sent() && broken.is_unanswered(), "{broken:?}");
    }

    #[tokio::test]
    async fn a_call_whose_first_try_was_sent_is_not_called_unsent_by_its_last() {
        let (once, endpoint) = listener().await;
        tokio::spawn(async move {
            let taken = once.accept().await;
            drop(once);
            tokio::task::yield_now().await;
            drop(taken);
        });
        let fault = asked(&endpoint, 2).await;
        assert!(!fault.was_never_sent() && fault.is_unanswered(), "{fault:?}");
    }

    #[test]
    fn services_are_named_as_iam_names_them() {
        assert_eq!(prefix("CloudWatch Logs"), "logs");
        assert_eq!(prefix("ECS"), "ecs");
        assert_eq!(implied("ec2", "CreateSecurityGroup"), ["ec2:CreateTags"]);
    }
}
