//! Rules that hold between keys.
//!
//! Guarantees: a rule is judged only where all its keys are sound by themselves; each mistake names the place that the
//! user wrote, not a built-in default. Must never change a value.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    mistake::{Mistake, nearest},
    names::NameRule,
    reader::Reader,
    sections::kind_name,
    settings::{AwsSettings, DaemonSettings},
};
use crate::domain::{
    model::{Encryption, ImageSource, Platforms, ResourceKind, SessionId, TaskSize, sentinel},
    policy::{Net, Policy, RunMode, Sentinel},
};

/// Characters of all ranges that a guard is told: what else RunTask's overrides hold takes the rest of their 8,192 (aws-facts
/// §1.4).
const LONGEST_RANGES: usize = 6_500;

/// Judges one section.
#[derive(Debug)]
pub(super) struct Across<'a> {
    /// `sessions.NAME`, `daemon` or `aws`.
    pub section: &'a str,
    /// Where the section begins.
    pub place: &'a str,
    /// Its merged values.
    pub read: &'a Reader,
    /// A session's own values, without the defaults.
    pub own: Option<&'a Reader>,
    /// The section that says what its own values leave out.
    pub defaults: &'a str,
    /// Keys that are wrong by themselves.
    pub poisoned: &'a BTreeSet<String>,
    /// What was found.
    pub mistakes: Vec<Mistake>,
}

impl<'a> Across<'a> {
    /// Nothing found so far.
    pub(super) fn new(
        section: &'a str,
        place: &'a str,
        read: &'a Reader,
        own: Option<&'a Reader>,
        poisoned: &'a BTreeSet<String>,
    ) -> Self {
        Across { section, place, read, own, defaults: "defaults", poisoned, mistakes: Vec::new() }
    }

    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        let wrong = |path: String| self.poisoned.iter().any(|bad| *bad == path || path.starts_with(&format!("{bad}.")));
        let sections = if self.own.is_some() { vec![self.section, self.defaults] } else { vec![self.section] };
        !keys.iter().any(|key| sections.iter().any(|section| wrong(format!("{section}.{key}"))))
    }

    /// A mistake about `keys[0]`, at the first of the keys that somebody wrote. What only `[defaults]` says is a mistake
    /// of `[defaults]`, and the same for every session.
    pub(super) fn wrong(&mut self, keys: &[&str], value: Option<String>, expected: String, nearest: Option<String>) {
        let written = keys.iter().find_map(|key| self.read.origin(key));
        let inherited = self.own.is_some_and(|own| !keys.iter().any(|key| own.value(key).is_some()));
        let section = if written.is_some() && inherited { self.defaults } else { self.section };
        let source = written.unwrap_or_else(|| self.place.to_owned());
        self.mistakes.push(Mistake { source, key: format!("{section}.{}", keys[0]), value, expected, nearest });
    }

    pub(super) fn rule(&mut self, keys: &[&str], holds: bool, value: impl ToString, expected: impl FnOnce() -> String) {
        if self.sound(keys) && !holds {
            self.wrong(keys, Some(value.to_string()), expected(), None);
        }
    }

    /// A session's own rules.
    pub(super) fn session(&mut self, policy: &Policy) {
        self.required(policy);
        self.repository(policy);
        self.limits(policy);
        self.size(policy.task.size.cpu, policy.task.size.memory);
        self.names(policy);
        self.probes(policy);
        self.fuse(policy);
        self.unused();
        let subnets = policy.network.subnets.len();
        self.rule(&["network.subnets"], subnets <= 16, subnets, || "at most 16 subnets".into());
    }

    fn required(&mut self, policy: &Policy) {
        if self.sound(&["owner"]) && policy.owner.trim().is_empty() {
            self.wrong(&["owner"], None, "required: a name or an e-mail address, here or in [defaults]".into(), None);
        }
        match &policy.image.source {
            ImageSource::Registry { uri, .. } if uri.is_empty() && self.sound(&["image.source", "image.uri"]) => {
                let expected = "required with image.source \"registry\": HOST/REPOSITORY:TAG";
                self.wrong(&["image.uri", "image.source"], None, expected.into(), None);
            }
            ImageSource::Executable { path, .. } if path.is_empty() && self.sound(&["image.source", "image.path"]) => {
                let expected = "required with image.source \"executable\": the path of a program";
                self.wrong(&["image.path", "image.source"], None, expected.into(), None);
            }
            ImageSource::Archive { path, .. } if path.is_empty() && self.sound(&["image.source", "image.path"]) => {
                let expected = "required with image.source \"archive\": the path of an OCI layout or a saved image";
                self.wrong(&["image.path", "image.source"], None, expected.into(), None);
            }
            ImageSource::Docker { reference }
                if reference.is_empty() && self.sound(&["image.source", "image.reference"]) =>
            {
                let expected = "required with image.source \"docker\": an image's NAME:TAG or id in the engine";
                self.wrong(&["image.reference", "image.source"], None, expected.into(), None);
            }
            ImageSource::Build(recipe)
                if recipe.context.is_empty() && self.sound(&["image.source", "image.context"]) =>
            {
                let expected = "required with image.source \"build\": the folder that is built from";
                self.wrong(&["image.context", "image.source"], None, expected.into(), None);
            }
            _ => {}
        }
        let apart = policy.image.platforms == Platforms::Task || !policy.adopt.contains(&ResourceKind::Repository);
        self.rule(&["image.platforms", "adopt"], apart, "all", || {
            "\"task\" with adopt = [\"repository\"]: a whole index needs a repository of the session's own".into()
        });
    }

    fn repository(&mut self, policy: &Policy) {
        let pushed = policy.image.source.is_pushed();
        if let Some(severity) = policy.repository.block_on {
            self.rule(&["repository.block_on", "image.source", "image.mirror"], pushed, severity, || {
                "an image that labguard pushes (image.source other than registry, or image.mirror = true): others it does \
                 not scan"
                    .into()
            });
        }
        if let Some(key) = self.read.optional_text("repository.kms_key") {
            let used = matches!(policy.repository.settings.encryption, Encryption::Kms(_));
            self.rule(&["repository.kms_key", "repository.encryption"], used, key, || {
                "repository.encryption = \"KMS\" with it".into()
            });
        }
    }

    fn limits(&mut self, policy: &Policy) {
        let limits = &policy.limits;
        let (budget, most) = (limits.budget, limits.max_budget);
        self.rule(&["limits.max_budget", "limits.budget"], most >= budget, most.exact(), || {
            format!("not less than limits.budget, which is {}", budget.exact())
        });
        let (lifetime, most) = (limits.lifetime, limits.max_lifetime);
        self.rule(&["limits.max_lifetime", "limits.lifetime"], most >= lifetime, most, || {
            format!("not less than limits.lifetime, which is {lifetime}")
        });
        if let Some(idle) = limits.idle_timeout {
            self.rule(&["limits.idle_timeout", "limits.max_lifetime"], idle < most, idle, || {
                format!("less than limits.max_lifetime, which is {most}, or \"never\"")
            });
        }
    }

    fn size(&mut self, cpu: u32, memory: u32) {
        if self.sound(&["task.cpu", "task.memory"])
            && let Err(illegal) = TaskSize::new(cpu, memory)
        {
            let pairs: Vec<String> =
                illegal.neighbours.iter().map(|(cpu, memory)| format!("cpu = {cpu} with memory = {memory}")).collect();
            let (first, rest) =
                pairs.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first.clone()), rest));
            let others = if rest.is_empty() { String::new() } else { format!(" (also near: {})", rest.join("; ")) };
            let keys: &[&str] = if self.read.origin("task.memory").is_some() {
                &["task.memory", "task.cpu"]
            } else {
                &["task.cpu", "task.memory"]
            };
            let found = format!("cpu = {cpu} with memory = {memory}");
            self.wrong(keys, Some(found), "a pair that Fargate has".into(), first.map(|first| first + &others));
        }
    }

    fn names(&mut self, policy: &Policy) {
        let id = SessionId::new(&policy.name, 0);
        let names = [
            ("names.repository", &policy.names.repository, NameRule::Repository, ResourceKind::Repository),
            ("names.cluster", &policy.names.cluster, NameRule::Ecs, ResourceKind::Cluster),
            ("names.task_definition", &policy.names.task_definition, NameRule::Ecs, ResourceKind::TaskDefinition),
            ("names.container", &policy.names.container, NameRule::Ecs, ResourceKind::Task),
            ("names.service", &policy.names.service, NameRule::Ecs, ResourceKind::Service),
            (
                "names.security_group",
                &policy.names.security_group,
                NameRule::SecurityGroup,
                ResourceKind::SecurityGroup,
            ),
            ("names.log_group", &policy.names.log_group, NameRule::LogGroup, ResourceKind::LogGroup),
            ("names.execution_role", &policy.names.execution_role, NameRule::Role, ResourceKind::ExecutionRole),
        ];
        for (key, name, rule, kind) in names {
            let full = name.replace("{session}", id.as_str());
            self.rule(&[key], rule.allows(&full), &full, || rule.expected().to_owned());
            let fixed = !name.contains("{session}");
            self.rule(&[key, "adopt"], fixed || !policy.adopt.contains(&kind), name, || {
                format!("a fixed name, without {{session}}, because \"{}\" is in adopt", kind_name(kind))
            });
        }
    }

    fn probes(&mut self, policy: &Policy) {
        let health = &policy.health;
        let ports: Vec<String> = policy.network.ingress.iter().map(|rule| rule.port.to_string()).collect();
        let open = ports.contains(&health.port.to_string());
        if self.sound(&["health.port", "network.ingress"]) && !open {
            let expected = format!("one of the ports of network.ingress ({})", ports.join(", "));
            let near = nearest(&health.port.to_string(), ports.iter().map(String::as_str)).map(str::to_owned);
            self.wrong(&["health.port", "network.ingress"], Some(health.port.to_string()), expected, near);
        }
        let silent = health.method == "HEAD" && health.expect_body.is_some();
        self.rule(
            &["health.expect_body", "health.method"],
            !silent,
            health.expect_body.clone().unwrap_or_default(),
            || "another health.method than HEAD with it, such as GET: an answer to HEAD has no body".into(),
        );
        self.rule(&["network.public_ip", "health.port"], policy.network.public_ip, false, || {
            format!(
                "true: health.port ({}) is asked over the public address, without one the session would never be healthy",
                health.port
            )
        });
        self.rule(&["health.timeout", "health.interval"], health.timeout <= health.interval, health.timeout, || {
            format!("not more than health.interval, which is {}", health.interval)
        });
        let gauge = policy.activity.in_flight.clone().unwrap_or_default();
        let page = policy.activity.in_flight.is_none() || policy.activity.metrics_path.is_some();
        self.rule(&["activity.in_flight", "activity.metrics_path"], page, gauge, || {
            "activity.metrics_path too: the gauge stands on that page".to_owned()
        });
        self.addresses(policy);
        self.told_to_the_guard(policy);
        self.seen_whole(policy);
        let insights = &policy.activity.insights;
        let looked_at = insights.network_above.is_some() || insights.cpu_above.is_some();
        let keys = ["activity.insights.enabled", "activity.insights.network_above", "activity.insights.cpu_above"];
        self.rule(&keys, looked_at || !insights.enabled, true, || {
            "activity.insights.network_above or cpu_above too: with both \"never\" nothing of it is looked at"
                .to_owned()
        });
        let group = policy.activity.load_balancer.target_group.clone();
        let whole = group.is_none() || policy.activity.load_balancer.name.is_some();
        let keys = ["activity.load_balancer.target_group", "activity.load_balancer.name"];
        self.rule(&keys, whole, group.unwrap_or_default(), || {
            "activity.load_balancer.name too: CloudWatch knows a target group's requests by both".to_owned()
        });
        self.rule(
            &["health.start_grace", "health.interval"],
            health.start_grace >= health.interval,
            health.start_grace,
            || format!("not less than health.interval, which is {}", health.interval),
        );
        self.rule(&["health.expect_status"], !health.expect_status.is_empty(), "[]", || "at least one status".into());
        if let Some(predict) = &policy.predict
            && let (Some(least), Some(most)) = (&predict.at_least, &predict.at_most)
        {
            let ordered = least.as_f64() <= most.as_f64();
            self.rule(&["predict.at_most", "predict.at_least"], ordered, most, || {
                format!("not less than predict.at_least, which is {least}")
            });
        }
    }

    /// Whose use counts, by address: only where something that is asked knows addresses.
    fn addresses(&mut self, policy: &Policy) {
        let it = &policy.activity;
        let label = it.address_label.clone().unwrap_or_default();
        let page = it.address_label.is_none() || it.metrics_path.is_some();
        self.rule(&["activity.address_label", "activity.metrics_path"], page, label, || {
            "activity.metrics_path too: the label is of a counter on that page".to_owned()
        });
        let known = it.address_label.is_some() || it.logs.pattern.is_some() || policy.fuse.sentinel == Sentinel::Own;
        for (key, ranges) in
            [("activity.allowed_sources", &it.allowed_sources), ("activity.ignored_sources", &it.ignored_sources)]
        {
            let keys = [key, "activity.address_label", "activity.logs.pattern", "fuse.sentinel"];
            self.rule(&keys, known || ranges.is_empty(), format!("{ranges:?}"), || {
                "activity.address_label, activity.logs.pattern or fuse.sentinel = \"own\" too: nothing else that is asked \
                 knows an address"
                    .to_owned()
            });
        }
    }

    /// A guard is told whose connections do not count when its task is started.
    fn told_to_the_guard(&mut self, policy: &Policy) {
        let it = &policy.activity;
        let lists =
            [("activity.allowed_sources", &it.allowed_sources), ("activity.ignored_sources", &it.ignored_sources)];
        for (key, ranges) in lists {
            let fits = ranges.len() <= sentinel::MOST_RANGES || policy.fuse.sentinel != Sentinel::Own;
            self.rule(&[key, "fuse.sentinel"], fits, format!("{} ranges", ranges.len()), || {
                format!("at most {} of them with fuse.sentinel = \"own\"", sentinel::MOST_RANGES)
            });
        }
        let length: usize = lists.iter().flat_map(|(_, ranges)| ranges.iter()).map(|it| it.to_string().len() + 1).sum();
        let fits = length <= LONGEST_RANGES || policy.fuse.sentinel != Sentinel::Own;
        let keys = ["activity.ignored_sources", "activity.allowed_sources", "fuse.sentinel"];
        self.rule(&keys, fits, format!("{length} characters with allowed_sources"), || {
            format!("at most {LONGEST_RANGES} with fuse.sentinel = \"own\": more does not fit into what RunTask takes (8,192)")
        });
    }

    /// The page that is read is one task's: where several serve, others may be in use.
    fn seen_whole(&mut self, policy: &Policy) {
        let it = &policy.activity;
        let several = matches!(policy.task.run, RunMode::Service { desired } if desired > 1);
        let others = it.logs.pattern.is_some() || it.insights.metrics() > 0 || it.load_balancer.name.is_some();
        let fits = !several || others || it.metrics_path.is_none() || policy.limits.idle_timeout.is_none();
        let keys = ["task.desired", "activity.metrics_path", "limits.idle_timeout"];
        self.rule(&keys, fits, "several tasks", || {
            "1 where the page of metrics alone tells of use: it is read from one task, and the others may be in use \
             (activity.logs, activity.insights or activity.load_balancer see all of them)"
                .into()
        });
    }

    fn fuse(&mut self, policy: &Policy) {
        let fuse = &policy.fuse;
        for net in Net::ALL {
            let key = match net {
                Net::Sentinel => "fuse.sentinel",
                Net::Scheduler => "fuse.scheduler",
            };
            self.rule(&["fuse.require", key], fuse.has(net) || !fuse.requires(net), net.name(), || {
                format!("no net that is switched off: set {key}, or leave it out")
            });
        }
        let service = fuse.has(Net::Sentinel) && matches!(policy.task.run, RunMode::Service { .. });
        self.rule(&["fuse.sentinel", "task.mode"], !service, fuse.sentinel.name(), || {
            "\"off\" with task.mode \"service\": a service would replace each task that its guard ends; use fuse.scheduler"
                .into()
        });
        let reached = fuse.sentinel == Sentinel::Own && !fuse.sources.is_empty();
        self.rule(
            &["activity.sentinel", "fuse.sentinel", "fuse.sources"],
            reached || !policy.activity.sentinel,
            true,
            || {
                "fuse.sentinel = \"own\" and fuse.sources too: only a sentinel that labguard reaches can be asked"
                    .into()
            },
        );
        let (guard, idle) = (fuse.sentinel == Sentinel::Own, policy.limits.idle_timeout.is_some());
        let useless = (!guard && self.meant_together("fuse.end_idle", "fuse.sentinel"))
            || (!idle && self.meant_together("fuse.end_idle", "limits.idle_timeout"));
        self.rule(
            &["fuse.end_idle", "fuse.sentinel", "limits.idle_timeout"],
            !useless || !fuse.end_idle,
            true,
            || "fuse.sentinel = \"own\" and a limits.idle_timeout too: only that guard counts, and only what is idle some time ends".into(),
        );
        let keys = ["fuse.sentinel_executable", "fuse.sentinel"];
        let program = fuse.sentinel_executable.as_ref().filter(|_| self.meant_together(keys[0], keys[1]));
        self.rule(&keys, guard || program.is_none(), program.cloned().unwrap_or_default(), || {
            "fuse.sentinel = \"own\" too: nothing else runs that program".into()
        });
        let keys = ["fuse.scheduler_role", "fuse.scheduler"];
        let role = fuse.scheduler_role.as_ref().filter(|_| self.meant_together(keys[0], keys[1]));
        self.rule(&keys, fuse.has(Net::Scheduler) || role.is_none(), role.cloned().unwrap_or_default(), || {
            "fuse.scheduler = true too: nothing else acts as that role".into()
        });
        let taken = fuse.has(Net::Sentinel) && policy.network.ingress.iter().any(|rule| rule.port == fuse.port);
        self.rule(&["fuse.port", "network.ingress", "fuse.sentinel"], !taken, fuse.port, || {
            "a port that network.ingress does not open to the application's users".into()
        });
    }

    /// Beside the other sessions: all are in one region, since a daemon talks to one. `others` are the regions of all
    /// sessions whose region is sound, with the sessions' names.
    pub(super) fn region(&mut self, policy: &Policy, others: &BTreeMap<String, Vec<String>>) {
        let elsewhere: Vec<String> = others
            .iter()
            .filter(|(region, _)| **region != policy.region)
            .map(|(region, sessions)| format!("{region} ({})", sessions.join(", ")))
            .collect();
        self.rule(&["region"], elsewhere.is_empty(), &policy.region, || {
            format!(
                "one region for all sessions, one daemon for each region; the others are in {}",
                elsewhere.join("; ")
            )
        });
    }

    /// Whether the region is sound by itself.
    pub(super) fn has_region(&self) -> bool {
        self.sound(&["region"])
    }

    /// `[daemon]`: another address than loopback needs explicit authentication.
    pub(super) fn daemon(&mut self, daemon: &DaemonSettings) {
        let guarded = daemon.token_file.is_some() && !daemon.allowed_hosts.is_empty();
        self.rule(
            &["listen", "token_file", "allowed_hosts"],
            daemon.listen.ip().is_loopback() || guarded,
            daemon.listen,
            || {
                "a loopback address such as 127.0.0.1:7373, unless daemon.token_file and daemon.allowed_hosts are set"
                    .into()
            },
        );
    }

    /// `[aws]`: the sandbox is its own endpoint, and its own account.
    pub(super) fn aws(&mut self, aws: &AwsSettings) {
        let elsewhere = ["profile".to_owned(), "registry_endpoint".to_owned()]
            .into_iter()
            .chain(aws.endpoints.keys().map(|service| format!("endpoints.{service}")));
        for key in elsewhere {
            let keys = [key.as_str(), "sandbox.enabled"];
            let Some(value) = self.read.optional_text(&key).filter(|_| self.meant_together(&key, keys[1])) else {
                continue;
            };
            self.rule(&keys, !aws.sandbox.enabled, value, || {
                "aws.sandbox.enabled = false with it: the sandbox has an account, endpoints and a registry of its own"
                    .into()
            });
        }
        if let Some(url) = &aws.endpoint_url {
            self.rule(&["endpoint_url", "sandbox.enabled"], !aws.sandbox.enabled, url, || {
                "aws.sandbox.enabled = false with it: the sandbox is an endpoint of its own".into()
            });
        }
    }
}
