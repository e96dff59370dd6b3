//! The record of a session that has been deployed, without an engine: what it would have journalled.

use labguard::domain::{
    model::{
        Action, Effect, Event, Identity, Money, Network, Record, ResourceKey, ResourceKind, SessionId, Subnet,
        TaskFacts, TaskSize, TaskStatus, Timestamp,
    },
    policy::Policy,
};

/// A session that has just been accepted.
pub fn opened(policy: &Policy, at: Timestamp) -> Record {
    let event = Event::Opened {
        name: policy.name.clone(),
        owner: policy.owner.clone(),
        group: policy.group.clone(),
        policy: serde_json::to_value(policy).unwrap(),
        overshoot: Money::ZERO,
    };
    Record::open(SessionId::new(&policy.name, 1), at, &event).unwrap()
}

/// Everything that it runs on is made, and its task runs. The image is somebody else's.
pub fn deploy(record: &mut Record, at: Timestamp, started_at: Timestamp) {
    let identity =
        Identity { account: "000000000000".to_owned(), arn: "arn:x".to_owned(), region: "us-east-1".to_owned() };
    let subnets = vec![Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned() }];
    record.apply(at, &Event::Identified { identity });
    record.apply(at, &Event::Surveyed { network: Network { vpc: "vpc-1".to_owned(), subnets } });
    for kind in [
        ResourceKind::LogGroup,
        ResourceKind::ExecutionRole,
        ResourceKind::Cluster,
        ResourceKind::SecurityGroup,
        ResourceKind::TaskDefinition,
        ResourceKind::Task,
    ] {
        let key = ResourceKey::only(kind);
        let size = (kind == ResourceKind::Task).then_some(TaskSize::SMALLEST);
        record.apply(at, &Event::Intended { key, action: Action::Create, name: kind.describe().to_owned(), size });
        let id = Some(format!("id-of-{kind}"));
        record.apply(at, &Event::Done { key, action: Action::Create, effect: Effect::Created, id });
    }
    let mut facts = TaskFacts::new("arn:aws:ecs:us-east-1:000000000000:task/c/1");
    facts.status = TaskStatus::Running;
    (facts.pull_started_at, facts.started_at) = (Some(at), Some(started_at));
    facts.public_ip = Some("127.64.0.1".to_owned());
    record.apply(at, &Event::TaskSeen { key: ResourceKey::task(1), facts, size: TaskSize::SMALLEST });
}
