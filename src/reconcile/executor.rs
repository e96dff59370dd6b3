//! Carries a plan's steps out: journal the intent, call the cloud, journal the outcome.
//!
//! Guarantees: nothing is made without a durable intent before the call; what takes things away goes on
//! even when the journal cannot be written; every step may be run twice; an image is only started here and goes on
//! beside the loop ([`super::supply`]). Must never choose: whatever is open in a step is a mistake in the plan.

use futures::future::join_all;

use super::{
    engine::Engine,
    slot::{Durability, Slot},
    supply,
};
use crate::{
    cloud::{Ensured, Owner, fault},
    domain::model::{
        Action, Effect, Event, Fault, FaultClass, ImageSource, Record, ResourceKey, ResourceKind, SESSION_TAG, Spec,
        Step, TaskFacts, TaskSize,
    },
    telemetry::redact::scrub,
};

/// Runs the steps side by side; returns how many changed something.
pub async fn execute(engine: &Engine, slot: &Slot, record: &Record, steps: Vec<Step>) -> usize {
    let (making, others): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(Step::creates);
    let mut ready = others;
    let intents: Vec<Event> = ready.iter().filter_map(intent).collect();
    if let Err(error) = write(engine, slot, intents, Durability::WhenPossible).await {
        tracing::error!(%error, "the journal cannot be written; removals go on without it");
    }
    let intents: Vec<Event> = making.iter().filter_map(intent).collect();
    match write(engine, slot, intents, Durability::Required).await {
        Ok(()) => ready.extend(making),
        Err(error) => tracing::error!(%error, "nothing new is made while the journal cannot be written"),
    }
    let changed = join_all(ready.into_iter().map(|step| run(engine, slot, record, step))).await;
    changed.into_iter().filter(|changed| *changed).count()
}

async fn write(
    engine: &Engine,
    slot: &Slot,
    events: Vec<Event>,
    durability: Durability,
) -> Result<(), crate::journal::JournalError> {
    if events.is_empty() {
        return Ok(());
    }
    engine.checkpoint("before a journal write").await;
    let written = slot.write(engine, events, durability).await;
    engine.checkpoint("after a journal write").await;
    written
}

/// What must be durable before the call. Journalled at each try: the record knows when it was last asked.
fn intent(step: &Step) -> Option<Event> {
    let event = |key: &ResourceKey, action, name: &str, size: Option<TaskSize>| {
        Some(Event::Intended { key: *key, action, name: name.to_owned(), size })
    };
    match step {
        Step::Identify | Step::Survey { .. } => None,
        Step::Ensure { key, spec, .. } => {
            let (name, size) = called(spec);
            event(key, Action::Create, name, size)
        }
        Step::Arm { key, arming } => event(key, Action::Create, &arming.group, None),
        Step::Admit { key, admission } => event(key, Action::Create, &admission.group, None),
        Step::StopTask { key, removal } => event(key, Action::Stop, &removal.name, None),
        Step::Remove { key, removal } => event(key, Action::Remove, &removal.name, None),
    }
}

fn called(spec: &Spec) -> (&str, Option<TaskSize>) {
    match spec {
        Spec::Repository { name, .. }
        | Spec::LogGroup { name, .. }
        | Spec::ExecutionRole { name }
        | Spec::Cluster { name, .. }
        | Spec::SecurityGroup { name, .. }
        | Spec::SchedulerRole { name, .. }
        | Spec::ScheduleGroup { name } => (name, None),
        Spec::Image(image) => match (&image.repository, &image.source) {
            (Some(repository), _) => (repository, None),
            (None, ImageSource::Registry { uri, .. }) => (uri, None),
            (None, _) => (&image.tag, None),
        },
        Spec::TaskDefinition(definition) => (&definition.family, None),
        Spec::Task(task) => (&task.token, Some(task.size)),
        Spec::Service { name, task, .. } => (name, Some(task.size)),
    }
}

/// Takes in what has come of an image that was supplied beside the loop.
pub(super) async fn take_in(engine: &Engine, slot: &Slot) {
    let Some((step, outcome)) = supply::ended(slot) else { return };
    let record = slot.snapshot().await.record;
    let outcome = outcome.map(|ensured| match &step {
        Step::Ensure { key, spec, .. } => made(*key, spec, ensured),
        _ => Vec::new(),
    });
    finish(engine, slot, &record, &step, outcome).await;
}

async fn run(engine: &Engine, slot: &Slot, record: &Record, step: Step) -> bool {
    if let Step::Ensure { spec: Spec::Image(image), .. } = &step {
        engine.checkpoint("before a call").await;
        let image = image.clone();
        supply::start(engine, slot, record, step, image);
        return false;
    }
    let owner = Owner { session: &record.id, owner: &record.owner };
    let cloud = &engine.cloud;
    engine.checkpoint("before a call").await;
    let outcome = match &step {
        Step::Identify => cloud.identity().await.map(|identity| vec![Event::Identified { identity }]),
        Step::Survey { vpc, subnets } => {
            cloud.survey(vpc.as_deref(), subnets).await.map(|network| vec![Event::Surveyed { network }])
        }
        Step::Ensure { key, spec, adopt } => {
            cloud.ensure(owner, *key, spec, *adopt).await.map(|ensured| made(*key, spec, ensured))
        }
        Step::Arm { key, arming } => match cloud.arm(owner, arming).await {
            Ok(schedules) => {
                Ok(vec![done(*key, Action::Create, Effect::AlreadyThere, None), Event::Scheduled { schedules }])
            }
            Err((set, fault)) => {
                let kept = vec![Event::Scheduled { schedules: set }];
                if let Err(error) = write(engine, slot, kept, Durability::WhenPossible).await {
                    tracing::error!(%error, "what was scheduled could not be journalled; it is kept and tried again");
                }
                Err(fault)
            }
        },
        Step::Admit { key, admission } => cloud.admit(owner, admission).await.map(|()| {
            let ingress = admission.then.clone();
            vec![done(*key, Action::Create, Effect::AlreadyThere, None), Event::Admitted { ingress }]
        }),
        Step::StopTask { key, removal } => {
            cloud.stop_task(owner, removal).await.and_then(|effect| taken(record, *key, Action::Stop, effect))
        }
        Step::Remove { key, removal } => match key.kind {
            ResourceKind::Image => crate::image::remove(cloud, owner, removal).await,
            kind => cloud.remove(owner, kind, removal).await,
        }
        .and_then(|effect| taken(record, *key, Action::Remove, effect)),
    };
    finish(engine, slot, record, &step, outcome).await
}

/// Journals what came of a step; whether it did what it should.
async fn finish(
    engine: &Engine,
    slot: &Slot,
    record: &Record,
    step: &Step,
    outcome: Result<Vec<Event>, Fault>,
) -> bool {
    engine.checkpoint("after a call").await;
    let action = match step {
        Step::Identify | Step::Survey { .. } | Step::Ensure { .. } | Step::Arm { .. } | Step::Admit { .. } => {
            Action::Create
        }
        Step::StopTask { .. } => Action::Stop,
        Step::Remove { .. } => Action::Remove,
    };
    let (events, changed) = match outcome {
        Ok(events) => {
            tell(record, step, &events);
            (events, true)
        }
        Err(fault) => {
            let fault = scrubbed(fault);
            tell_fault(step, action, &fault);
            (vec![Event::Failed { key: step.key(), action, fault }], false)
        }
    };
    // The outcome of a call that was made is kept in memory whatever the disk says.
    if let Err(error) = write(engine, slot, events, Durability::WhenPossible).await {
        tracing::error!(%error, "an outcome could not be journalled; it is kept and tried again");
    }
    changed
}

fn done(key: ResourceKey, action: Action, effect: Effect, id: Option<String>) -> Event {
    Event::Done { key, action, effect, id }
}

/// What a stop or a removal came to. What this session made and what bears its tag no more is left alone, as anything
/// without the tag is, but not taken for somebody else's: what runs on is asked again, the rest is told in the receipt.
fn taken(record: &Record, key: ResourceKey, action: Action, effect: Effect) -> Result<Vec<Event>, Fault> {
    let ours = record.resources.get(&key).filter(|it| it.was_ours() && effect == Effect::NotOurs);
    let Some(resource) = ours else { return Ok(vec![done(key, action, effect, None)]) };
    let name = &resource.name;
    match key.kind {
        ResourceKind::Task | ResourceKind::Service => Err(fault::own(
            FaultClass::Conflict,
            if action == Action::Stop { "ecs:StopTask" } else { "ecs:DeleteService" },
            "TagLost",
            format!("the {key} was made by this session and bears its tag no more, so it is not touched"),
            Some(&format!("tag it again with {SESSION_TAG} = {}, or stop it by hand", record.id)),
        )),
        // Whose an image is goes by a mark that the next push moves away (decision 0018).
        ResourceKind::Image => Ok(vec![done(key, action, effect, None)]),
        _ => {
            let why = format!(
                "the {key} {name} was made by this session and bears its tag no more, so it was left: remove it by hand"
            );
            Ok(vec![Event::Unproven { key, why }])
        }
    }
}

fn made(key: ResourceKey, spec: &Spec, ensured: Ensured) -> Vec<Event> {
    let mut events = vec![done(key, Action::Create, ensured.effect, ensured.id.clone())];
    events.extend(ensured.bytes.map(|bytes| Event::Measured { key, bytes }));
    if let Spec::SecurityGroup { ingress, .. } = spec
        && ensured.effect != Effect::Adopted
    {
        events.push(Event::Admitted { ingress: ingress.clone() });
    }
    if let (Spec::Task(task), Some(id)) = (spec, ensured.id) {
        let facts = ensured.task.unwrap_or_else(|| TaskFacts::new(id));
        events.push(Event::TaskSeen { key, facts, size: task.size });
    }
    events
}

fn tell(record: &Record, step: &Step, events: &[Event]) {
    for event in events {
        match event {
            Event::Done { key, effect, id, .. } => {
                tracing::info!(resource = %key, ?effect, id = id.as_deref().unwrap_or_default(), "step done");
            }
            Event::Admitted { ingress } if matches!(step, Step::Admit { .. }) => {
                tracing::info!(?ingress, "who may reach its ports is in step with the own address");
            }
            Event::Identified { identity } => {
                tracing::info!(account = %identity.account, region = %identity.region, "identified");
            }
            _ => tracing::debug!(session = %record.id, ?step, "step done"),
        }
    }
}

fn tell_fault(step: &Step, action: Action, fault: &Fault) {
    let resource = step.key().map(|key| key.to_string()).unwrap_or_default();
    if fault.class.may_pass() {
        tracing::debug!(%resource, ?action, class = fault.class.name(), "step will be tried again: {fault}");
    } else {
        tracing::warn!(%resource, ?action, class = fault.class.name(), "step failed: {fault}");
    }
}

/// A fault as it may be kept for ever: an error text repeats what was sent, and that may hold a secret.
fn scrubbed(fault: Fault) -> Fault {
    Fault {
        code: scrub(&fault.code),
        message: scrub(&fault.message),
        request_id: fault.request_id,
        advice: fault.advice.as_deref().map(scrub),
        ..fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_its_tag_is_not_taken_for_somebody_elses() {
        let mut record = fake_record();
        let now = record.opened_at;
        let mut made = |kind, live| {
            let key = ResourceKey::only(kind);
            record.apply(now, &Event::Intended { key, action: Action::Create, name: "n".into(), size: None });
            if live {
                record.apply(now, &done(key, Action::Create, Effect::Created, None));
            }
            key
        };
        let (cluster, group) = (made(ResourceKind::Cluster, true), made(ResourceKind::LogGroup, false));
        let (service, image) = (made(ResourceKind::Service, true), made(ResourceKind::Image, true));
        let taken = |key, effect| taken(&record, key, Action::Remove, effect);
        let Ok(events) = taken(cluster, Effect::NotOurs) else { panic!("it is let go") };
        assert!(
            matches!(&events[..], [Event::Unproven { why, .. }] if why.contains("bears its tag no more")),
            "{events:?}"
        );
        let fault = taken(service, Effect::NotOurs).expect_err("it is paid for by the second");
        assert_eq!((fault.class, fault.own), (FaultClass::Conflict, true));
        assert!(fault.advice.is_some_and(|advice| advice.contains("labguard:session = ")));
        for (key, effect) in [(group, Effect::NotOurs), (image, Effect::NotOurs), (cluster, Effect::Removed)] {
            let Ok(events) = taken(key, effect) else { panic!("{key}") };
            assert!(matches!(&events[..], [Event::Done { .. }]), "{key}: {events:?}");
        }
    }

    fn fake_record() -> Record {
        let event = Event::Opened {
            name: "lab".into(),
            owner: "me".into(),
            group: String::new(),
            policy: serde_json::Value::Null,
            overshoot: crate::domain::model::Money::ZERO,
        };
        let at = "2026-11-29T12:00:00Z".parse().unwrap();
        Record::open(crate::domain::model::SessionId::new("lab", 1), at, &event).unwrap()
    }

    #[test]
    fn a_secret_in_a_refusal_never_reaches_the_journal() {
        let fault = Fault {
            class: FaultClass::Rejected,
            operation: "ecs:RegisterTaskDefinition".to_owned(),
            code: "ClientException".to_owned(),
            message: "Invalid environment: DB_PASSWORD=hunter2hunter2, cpu 3".to_owned(),
            request_id: Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()),
            advice: Some("look at token=abcdefabcdef".to_owned()),
            own: false,
        };
        let kept =
            serde_json::to_string(&Event::Failed { key: None, action: Action::Create, fault: scrubbed(fault.clone()) })
                .unwrap();
        assert!(!kept.contains("hunter2") && !kept.contains("abcdefabcdef"), "{kept}");
        for kept_as_it_is in ["cpu 3", "ClientException", "01234567-89ab-cdef-0123-456789abcdef"] {
            assert!(kept.contains(kept_as_it_is), "{kept_as_it_is} is lost: {kept}");
        }
        let plain = Fault { message: "ENI eni-0123456789abcdef0 is in use".to_owned(), advice: None, ..fault };
        assert_eq!(scrubbed(plain.clone()), plain, "what is no secret is kept, unchanged");
    }
}
