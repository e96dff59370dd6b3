//! What the cloud of the decisions' model holds: things and tasks that follow AWS's rules of who needs and blocks whom.
//!
//! It answers every call truly; answers that are lost, refusals and crashes are the [`World`](super::world::World)'s.

use std::collections::BTreeMap;

use super::world::at;
use crate::domain::{
    model::{
        Effect, FaultClass, Removal, ResourceKey, ResourceKind, Sighting, Span, Spec, TaskFacts, TaskStatus, Timestamp,
    },
    policy::RunMode,
};

/// What a call did, and the id of what it was about.
pub type Answer = Result<(Effect, Option<String>), FaultClass>;

/// How the application behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    Fine,
    NeverAnswers,
    StopsAnswering,
    Exits,
    CannotBePulled,
}

struct FakeTask {
    token: String,
    facts: TaskFacts,
    stop_at: Option<Timestamp>,
    by_service: bool,
}

pub struct ModelCloud {
    /// What is there, and whether it is the session's.
    things: BTreeMap<ResourceKey, bool>,
    tasks: Vec<FakeTask>,
    group_held_until: Timestamp,
}

impl ModelCloud {
    pub fn new() -> Self {
        Self { things: BTreeMap::new(), tasks: Vec::new(), group_held_until: at(0) }
    }

    /// Puts a thing there that belongs to somebody else.
    pub fn put_foreign(&mut self, kind: ResourceKind) {
        self.things.insert(ResourceKey::only(kind), false);
    }

    /// What is left of the session's.
    pub fn left(&self) -> Vec<String> {
        let things = self.things.iter().filter(|(_, ours)| **ours).map(|(key, _)| key.to_string());
        things.chain(self.tasks().filter(|task| !task.is_stopped()).map(|task| task.arn.clone())).collect()
    }

    pub fn foreign_left(&self) -> usize {
        self.things.values().filter(|ours| !**ours).count()
    }

    pub fn has(&self, kind: ResourceKind) -> bool {
        self.things.contains_key(&ResourceKey::only(kind))
    }

    /// Every task there ever was.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskFacts> {
        self.tasks.iter().map(|task| &task.facts)
    }

    pub fn task(&self, arn: &str) -> Option<Sighting> {
        let facts = self.tasks().find(|task| task.arn == arn)?;
        Some(Sighting {
            id: facts.arn.clone(),
            ours: true,
            held_by: vec![],
            task: Some(facts.clone()),
            made_at: None,
            fault: None,
        })
    }

    pub fn thing(&self, key: ResourceKey) -> Option<Sighting> {
        let ours = *self.things.get(&key)?;
        Some(Sighting { id: key.to_string(), ours, held_by: vec![], task: None, made_at: None, fault: None })
    }

    /// Every task is stopped by somebody else, who says why.
    pub fn stop_from_outside(&mut self, now: Timestamp, why: &str) {
        for task in self.tasks.iter_mut().filter(|task| !task.facts.is_stopped()) {
            (task.facts.wanted, task.stop_at) = (false, Some(now));
            task.facts.stop_code = Some("UserInitiated".into());
            task.facts.stopped_reason = Some(why.to_owned());
        }
    }

    /// Somebody else takes a thing away.
    pub fn take_away(&mut self, kind: ResourceKind) {
        self.things.remove(&ResourceKey::only(kind));
    }

    /// What has become of it by then: an application's tasks start and end, a service puts new ones in their place.
    pub fn advance(&mut self, now: Timestamp, app: App, run: RunMode) {
        let mut released = None;
        let wanted = self.has(ResourceKind::Service);
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let created = task.facts.created_at.unwrap();
            if task.facts.is_stopped() {
                continue;
            }
            if task.by_service && !wanted {
                task.stop_at = task.stop_at.or(Some(now + Span::from_secs(10)));
                task.facts.wanted = false;
            }
            let age = now.since(created);
            if age >= Span::from_secs(5) && task.facts.pull_started_at.is_none() {
                task.facts.pull_started_at = Some(created + Span::from_secs(5));
                task.facts.status = TaskStatus::Activating;
                if app == App::CannotBePulled {
                    task.facts.stopped_reason = Some("CannotPullContainerError: no such image".into());
                    task.facts.stop_code = Some("TaskFailedToStart".into());
                    task.stop_at = Some(now);
                }
            }
            if age >= Span::from_secs(15) && task.facts.started_at.is_none() && app != App::CannotBePulled {
                task.facts.started_at = Some(created + Span::from_secs(15));
                task.facts.status = TaskStatus::Running;
                task.facts.eni = Some(format!("eni-{number}"));
                task.facts.public_ip = Some(format!("198.51.100.{}", number + 1));
                if app == App::Exits {
                    task.facts.stop_code = Some("EssentialContainerExited".into());
                    task.facts.stopped_reason = Some("Essential container in task exited".into());
                    task.facts.exit_code = Some(1);
                    task.stop_at = Some(created + Span::from_secs(40));
                }
            }
            if task.stop_at.is_some_and(|at| at <= now) {
                task.facts.status = TaskStatus::Stopped;
                task.facts.wanted = false;
                task.facts.stopped_at = Some(now);
                released = Some(now + Span::from_secs(20));
            } else if !task.facts.wanted {
                task.facts.status = TaskStatus::Stopping;
            }
        }
        self.group_held_until = self.group_held_until.max(released.unwrap_or_default());
        if let (true, RunMode::Service { desired }) = (wanted, run) {
            let alive = self.tasks.iter().filter(|task| task.facts.wanted && !task.facts.is_stopped()).count();
            for _ in alive..desired as usize {
                self.start(now, String::new(), true);
            }
        }
    }

    fn start(&mut self, now: Timestamp, token: String, by_service: bool) -> String {
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/c/{}", self.tasks.len() + 1);
        let mut facts = TaskFacts::new(arn.clone());
        facts.created_at = Some(now);
        self.tasks.push(FakeTask { token, facts, stop_at: None, by_service });
        arn
    }

    pub fn ensure(&mut self, now: Timestamp, key: ResourceKey, spec: &Spec, adopt: bool) -> Answer {
        if let Spec::Task(task) = spec {
            assert!(self.has(ResourceKind::Cluster), "a task without its cluster");
            let known = self.tasks.iter().find(|known| known.token == task.token).map(|known| known.facts.arn.clone());
            return Ok(match known {
                Some(arn) => (Effect::AlreadyThere, Some(arn)),
                None => (Effect::Created, Some(self.start(now, task.token.clone(), false))),
            });
        }
        let digest = if key.kind == ResourceKind::Image { "@sha256:0" } else { "" };
        let id = Some(format!("{key}{digest}"));
        Ok(match self.things.get(&key) {
            Some(true) => (Effect::AlreadyThere, id),
            Some(false) if adopt => (Effect::Adopted, id),
            Some(false) => (Effect::NotOurs, None),
            None => {
                self.things.insert(key, true);
                (Effect::Created, id)
            }
        })
    }

    pub fn stop(&mut self, now: Timestamp, removal: &Removal) -> Answer {
        let Some(task) = self.tasks.iter_mut().find(|task| Some(&task.facts.arn) == removal.id.as_ref()) else {
            return Ok((Effect::AlreadyGone, None));
        };
        task.facts.wanted = false;
        task.facts.stop_code.get_or_insert("UserInitiated".into());
        task.stop_at = task.stop_at.or(Some(now + Span::from_secs(30)));
        Ok((Effect::StopRequested, None))
    }

    pub fn remove(&mut self, now: Timestamp, key: ResourceKey) -> Answer {
        let busy = self.tasks.iter().any(|task| !task.facts.is_stopped());
        match (key.kind, self.things.get(&key).copied()) {
            (_, None) => return Ok((Effect::AlreadyGone, None)),
            (_, Some(false)) => return Ok((Effect::NotOurs, None)),
            (ResourceKind::Cluster, _) if busy => return Err(FaultClass::Dependency),
            (ResourceKind::InsightsLog, _) => {
                let cluster = self.things.get(&ResourceKey::only(ResourceKind::Cluster));
                assert_ne!(cluster, Some(&true), "AWS would make it anew as long as there is the cluster");
            }
            (ResourceKind::SecurityGroup, _) if busy || now < self.group_held_until => {
                return Err(FaultClass::Dependency);
            }
            _ => {}
        }
        self.things.remove(&key);
        if key.kind == ResourceKind::Repository {
            self.things.remove(&ResourceKey::only(ResourceKind::Image));
        }
        Ok((Effect::Removed, None))
    }
}
