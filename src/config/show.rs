//! The effective configuration as TOML, with the place of each value that is not a built-in default.
//!
//! Guarantees: what is shown loads back to equal settings; every key is there. Must never show anything that is not in
//! the configuration.

use std::{collections::BTreeMap, fmt::Write as _};

use toml::Value;

use super::{
    budgets,
    keys::{AWS, BUDGET, DAEMON, Key, RATES, SESSION},
    sections::kind_name,
    settings::{AwsSettings, DaemonSettings, Settings},
};
use crate::domain::{
    model::{Encryption, ImageSource, Ingress, Item, Money, Platforms, Price, Severity, Span, Stage},
    policy::{ActivityPolicy, Combine, Policy, RunMode, ShutdownPolicy, Unscanned},
};

/// Values by key path.
pub(super) type Flat = BTreeMap<&'static str, Value>;

/// The effective configuration as TOML.
#[must_use]
pub fn show(settings: &Settings) -> String {
    let mut text = format!("# Effective configuration of {}.\n", settings.sources.join(", then "));
    section(&mut text, "daemon", DAEMON, &daemon(&settings.daemon), settings);
    section(&mut text, "aws", AWS, &aws(&settings.aws), settings);
    if settings.origins.contains_key("defaults.region") {
        let region = Flat::from([("region", Value::String(settings.default_region.clone()))]);
        section(&mut text, "defaults", SESSION, &region, settings);
    }
    for (region, prices) in settings.rates.given() {
        section(&mut text, &format!("rates.{region}"), RATES, &rates(prices), settings);
    }
    for budget in &settings.budgets {
        section(&mut text, &format!("budgets.{}", budget.name), BUDGET, &budgets::shown(budget), settings);
    }
    for (name, policy) in &settings.sessions {
        section(&mut text, &format!("sessions.{name}"), SESSION, &session(policy), settings);
    }
    text
}

/// `[daemon]` and `[aws]` by key, as a configuration file would nest them. Neither can hold a secret.
#[must_use]
pub fn machine(settings: &Settings) -> (serde_json::Value, serde_json::Value) {
    (nested(daemon(&settings.daemon)), nested(aws(&settings.aws)))
}

fn nested(flat: Flat) -> serde_json::Value {
    let mut tree = serde_json::Map::new();
    for (path, value) in flat {
        let value = serde_json::to_value(value).unwrap_or_default();
        match path.split_once('.') {
            None => {
                tree.insert(path.to_owned(), value);
            }
            Some((group, leaf)) => {
                let inner = tree.entry(group).or_insert_with(|| serde_json::json!({}));
                if let Some(inner) = inner.as_object_mut() {
                    inner.insert(leaf.to_owned(), value);
                }
            }
        }
    }
    tree.into()
}

fn section(text: &mut String, name: &str, keys: &[Key], values: &Flat, settings: &Settings) {
    let mut table = None;
    for key in keys {
        let Some(value) = values.get(key.path) else { continue };
        let (parent, leaf) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if table != Some(parent) {
            let dot = if parent.is_empty() { "" } else { "." };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n[{name}{dot}{parent}]");
            table = Some(parent);
        }
        let _ = write!(text, "{leaf} = {value}");
        match settings.origins.get(&format!("{name}.{}", key.path)) {
            Some(origin) => {
                let _ = writeln!(text, "  # {}", origin.replace(char::is_control, " "));
            }
            None => text.push('\n'),
        }
    }
}

fn text(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

fn optional(text: Option<&String>) -> Value {
    Value::String(text.cloned().unwrap_or_default())
}

fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

fn or_never(number: Option<u32>) -> Value {
    number.map_or_else(|| text("never"), |number| Value::Integer(number.into()))
}

fn texts(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(text).collect())
}

fn pairs(pairs: &[(String, String)]) -> Value {
    Value::Table(pairs.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

fn bound(bound: Option<&serde_json::Number>) -> Value {
    match bound {
        None => text(""),
        Some(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or_default()), Value::Integer)
        }
    }
}

fn ingress(rule: &Ingress) -> Value {
    let fields = [("port".to_owned(), number(rule.port)), ("sources".to_owned(), texts(&rule.sources))];
    Value::Table(fields.into_iter().collect())
}

fn stage(stage: Stage) -> Value {
    text(match stage {
        Stage::Stop => "stop",
        Stage::Teardown => "teardown",
    })
}

fn path(path: Option<&std::path::PathBuf>) -> Value {
    text(path.map(|path| path.display().to_string()).unwrap_or_default())
}

/// `[daemon]` by key.
pub(super) fn daemon(it: &DaemonSettings) -> Flat {
    Flat::from([
        ("state_dir", path(it.state_dir.as_ref())),
        ("listen", text(it.listen)),
        ("token_file", path(it.token_file.as_ref())),
        ("allowed_hosts", texts(&it.allowed_hosts)),
        ("shutdown_grace", text(it.shutdown_grace)),
        ("max_sessions", number(it.max_sessions)),
        ("log_level", text(&it.log_level)),
        ("log_format", text(it.log_format.name())),
        ("watch_files", Value::Boolean(it.watch_files)),
        ("rates_max_age", text(it.rates_max_age.map_or("never".to_owned(), |span| span.to_string()))),
    ])
}

/// `[aws]` by key.
pub(super) fn aws(it: &AwsSettings) -> Flat {
    let own = |service: &str| optional(it.endpoints.get(service));
    Flat::from([
        ("profile", optional(it.profile.as_ref())),
        ("endpoint_url", optional(it.endpoint_url.as_ref())),
        ("registry_endpoint", optional(it.registry_endpoint.as_ref())),
        ("own_address_url", optional(it.own_address_url.as_ref())),
        ("max_attempts", number(it.max_attempts)),
        ("connect_timeout", text(it.connect_timeout)),
        ("read_timeout", text(it.read_timeout)),
        ("operation_timeout", text(it.operation_timeout)),
        ("endpoints.ecs", own("ecs")),
        ("endpoints.ecr", own("ecr")),
        ("endpoints.ec2", own("ec2")),
        ("endpoints.iam", own("iam")),
        ("endpoints.sts", own("sts")),
        ("endpoints.logs", own("logs")),
        ("endpoints.cloudwatch", own("cloudwatch")),
        ("endpoints.tagging", own("tagging")),
        ("endpoints.pricing", own("pricing")),
        ("endpoints.scheduler", own("scheduler")),
        ("sandbox.enabled", Value::Boolean(it.sandbox.enabled)),
        ("sandbox.listen", text(it.sandbox.listen)),
        ("sandbox.latency", text(&it.sandbox.latency)),
        ("sandbox.faults", texts(&it.sandbox.faults)),
        ("sandbox.seed", number(i64::try_from(it.sandbox.seed).unwrap_or(i64::MAX))),
    ])
}

/// A region's given prices by key.
fn rates(prices: &BTreeMap<Item, Price>) -> Flat {
    prices.iter().map(|(item, price)| (item.key(), text(price.amount.exact()))).collect()
}

/// A session by key.
pub(super) fn session(it: &Policy) -> Flat {
    let mut flat = Flat::from([
        ("owner", text(&it.owner)),
        ("group", text(&it.group)),
        ("region", text(&it.region)),
        ("adopt", Value::Array(it.adopt.iter().map(|kind| text(kind_name(*kind))).collect())),
        ("names.repository", text(&it.names.repository)),
        ("names.cluster", text(&it.names.cluster)),
        ("names.task_definition", text(&it.names.task_definition)),
        ("names.container", text(&it.names.container)),
        ("names.service", text(&it.names.service)),
        ("names.security_group", text(&it.names.security_group)),
        ("names.log_group", text(&it.names.log_group)),
        ("names.execution_role", text(&it.names.execution_role)),
        ("network.vpc", optional(it.network.vpc.as_ref())),
        ("network.subnets", texts(&it.network.subnets)),
        ("network.ingress", Value::Array(it.network.ingress.iter().map(ingress).collect())),
        ("network.public_ip", Value::Boolean(it.network.public_ip)),
        ("metrics.cloudwatch", texts(&it.metrics.cloudwatch)),
        ("metrics.namespace", text(&it.metrics.namespace)),
        ("metrics.interval", text(it.metrics.interval)),
    ]);
    flat.extend(image(it));
    flat.extend(task(it));
    flat.extend(probes(it));
    flat.extend(activity(&it.activity));
    flat.extend(endings(it));
    flat.extend(fuse(it));
    flat
}

fn image(it: &Policy) -> Flat {
    let mut flat = Flat::from([
        ("image.uri", text("")),
        ("image.mirror", Value::Boolean(false)),
        ("image.path", text("")),
        ("image.reference", text("")),
        ("image.context", text("")),
        ("image.dockerfile", text("")),
        ("image.target", text("")),
        ("image.build_args", pairs(&[])),
        ("image.args", texts(&[])),
        ("image.entrypoint", texts(&[])),
        ("image.user", text("")),
        ("image.environment", pairs(&[])),
        ("image.tag", text(&it.image.tag)),
        ("image.platforms", text(if it.image.platforms == Platforms::All { "all" } else { "task" })),
    ]);
    flat.extend(match &it.image.source {
        ImageSource::Registry { uri, mirror } => Flat::from([
            ("image.source", text("registry")),
            ("image.uri", text(uri)),
            ("image.mirror", Value::Boolean(*mirror)),
        ]),
        ImageSource::Executable { path, args, config } => Flat::from([
            ("image.source", text("executable")),
            ("image.path", text(path)),
            ("image.args", texts(args)),
            ("image.entrypoint", texts(&config.entrypoint)),
            ("image.user", optional(config.user.as_ref())),
            ("image.environment", pairs(&config.environment)),
        ]),
        ImageSource::Archive { path, reference } => Flat::from([
            ("image.source", text("archive")),
            ("image.path", text(path)),
            ("image.reference", optional(reference.as_ref())),
        ]),
        ImageSource::Docker { reference } => {
            Flat::from([("image.source", text("docker")), ("image.reference", text(reference))])
        }
        ImageSource::Build(recipe) => Flat::from([
            ("image.source", text("build")),
            ("image.context", text(&recipe.context)),
            ("image.dockerfile", optional(recipe.dockerfile.as_ref())),
            ("image.target", optional(recipe.target.as_ref())),
            ("image.build_args", pairs(&recipe.args)),
        ]),
    });
    flat
}

fn task(it: &Policy) -> Flat {
    let task = &it.task;
    let (mode, desired) = match task.run {
        RunMode::Task => ("task", 1),
        RunMode::Service { desired } => ("service", desired),
    };
    Flat::from([
        ("repository.scan_on_push", Value::Boolean(it.repository.settings.scan_on_push)),
        ("repository.block_on", text(it.repository.block_on.map_or("", Severity::name))),
        ("repository.scan_timeout", text(it.repository.scan_timeout)),
        (
            "repository.on_scan_timeout",
            text(match it.repository.on_scan_timeout {
                Unscanned::Refuse => "refuse",
                Unscanned::Run => "run",
            }),
        ),
        ("repository.immutable_tags", Value::Boolean(it.repository.settings.immutable_tags)),
        (
            "repository.encryption",
            text(match it.repository.settings.encryption {
                Encryption::Aes256 => "AES256",
                Encryption::Kms(_) => "KMS",
            }),
        ),
        (
            "repository.kms_key",
            match &it.repository.settings.encryption {
                Encryption::Aes256 => text(""),
                Encryption::Kms(key) => optional(key.as_ref()),
            },
        ),
        ("repository.expire_days", number(it.repository.settings.expire_days.unwrap_or(0))),
        ("task.mode", text(mode)),
        ("task.desired", number(desired)),
        ("task.cpu", number(task.size.cpu)),
        ("task.memory", number(task.size.memory)),
        ("task.storage", number(task.size.storage)),
        ("task.arch", text(task.size.arch.ecs_name())),
        ("task.spot", Value::Boolean(task.size.spot)),
        ("task.command", texts(&task.command)),
        ("task.stop_timeout", text(task.stop_timeout)),
        ("task.execution_role", optional(task.execution_role.as_ref())),
        ("task.task_role", optional(task.task_role.as_ref())),
        ("task.max_restarts", number(task.max_restarts)),
        ("task.restart_backoff", text(task.restart_backoff)),
        ("task.log_retention_days", number(task.log_retention_days)),
        ("task.environment", pairs(&task.environment)),
    ])
}

fn probes(it: &Policy) -> Flat {
    let health = &it.health;
    let mut flat = Flat::from([
        ("health.port", number(health.port)),
        ("health.method", text(&health.method)),
        ("health.path", text(&health.path)),
        ("health.expect_status", Value::Array(health.expect_status.iter().map(|status| number(*status)).collect())),
        ("health.expect_body", optional(health.expect_body.as_ref())),
        ("health.interval", text(health.interval)),
        ("health.timeout", text(health.timeout)),
        ("health.start_grace", text(health.start_grace)),
        ("health.healthy_after", number(health.healthy_after)),
        ("health.unhealthy_after", number(health.unhealthy_after)),
    ]);
    // Without a body there is no such probe, and its other keys say nothing.
    if let Some(predict) = &it.predict {
        flat.extend([
            ("predict.body", text(&predict.body)),
            ("predict.path", text(&predict.path)),
            ("predict.answer_key", text(&predict.answer_key)),
            ("predict.at_least", bound(predict.at_least.as_ref())),
            ("predict.at_most", bound(predict.at_most.as_ref())),
            ("predict.interval", text(predict.interval)),
        ]);
    } else {
        flat.insert("predict.body", text(""));
    }
    flat
}

fn fuse(it: &Policy) -> Flat {
    let fuse = &it.fuse;
    Flat::from([
        ("fuse.sentinel", text(fuse.sentinel.name())),
        ("fuse.sentinel_executable", optional(fuse.sentinel_executable.as_ref())),
        ("fuse.lease", text(fuse.lease)),
        ("fuse.port", number(fuse.port)),
        ("fuse.sources", texts(&fuse.sources)),
        ("fuse.end_idle", Value::Boolean(fuse.end_idle)),
        ("fuse.scheduler", Value::Boolean(fuse.scheduler)),
        ("fuse.scheduler_role", optional(fuse.scheduler_role.as_ref())),
        ("fuse.require", Value::Array(fuse.require.iter().map(|net| text(net.name())).collect())),
    ])
}

fn activity(it: &ActivityPolicy) -> Flat {
    Flat::from([
        ("activity.allowed_sources", texts(&it.allowed_sources)),
        ("activity.ignored_sources", texts(&it.ignored_sources)),
        ("activity.metrics_path", optional(it.metrics_path.as_ref())),
        ("activity.counter", text(&it.counter)),
        ("activity.labels", pairs(&it.labels)),
        ("activity.exclude_labels", pairs(&it.exclude_labels)),
        ("activity.address_label", optional(it.address_label.as_ref())),
        ("activity.min_requests", number(it.min_requests)),
        ("activity.in_flight", optional(it.in_flight.as_ref())),
        ("activity.in_flight_above", number(it.in_flight_above)),
        ("activity.interval", text(it.interval)),
        ("activity.sentinel", Value::Boolean(it.sentinel)),
        (
            "activity.combine",
            text(match it.combine {
                Combine::Any => "any",
                Combine::MostTrusted => "most_trusted",
            }),
        ),
        ("activity.max_gap", text(it.max_gap)),
        ("activity.logs.pattern", optional(it.logs.pattern.as_ref())),
        ("activity.logs.interval", text(it.logs.interval)),
        ("activity.logs.latency", text(it.logs.latency)),
        ("activity.insights.enabled", Value::Boolean(it.insights.enabled)),
        ("activity.insights.network_above", or_never(it.insights.network_above)),
        ("activity.insights.cpu_above", or_never(it.insights.cpu_above)),
        ("activity.insights.interval", text(it.insights.interval)),
        ("activity.insights.latency", text(it.insights.latency)),
        ("activity.load_balancer.name", optional(it.load_balancer.name.as_ref())),
        ("activity.load_balancer.target_group", optional(it.load_balancer.target_group.as_ref())),
        ("activity.load_balancer.min_requests", number(it.load_balancer.min_requests)),
        ("activity.load_balancer.interval", text(it.load_balancer.interval)),
        ("activity.load_balancer.latency", text(it.load_balancer.latency)),
        ("activity.check.command", texts(&it.check.command)),
        ("activity.check.url", optional(it.check.url.as_ref())),
        ("activity.check.interval", text(it.check.interval)),
        ("activity.check.timeout", text(it.check.timeout)),
    ])
}

fn endings(it: &Policy) -> Flat {
    let (limits, end) = (&it.limits, &it.end);
    let instant = |at: Option<crate::domain::model::Timestamp>| text(at.map(|at| at.to_string()).unwrap_or_default());
    let mut flat = Flat::from([
        ("limits.idle_timeout", text(limits.idle_timeout.map_or("never".to_owned(), |span: Span| span.to_string()))),
        ("limits.budget", text(limits.budget.exact())),
        ("limits.max_budget", text(limits.max_budget.exact())),
        ("limits.min_lifetime", text(limits.min_lifetime)),
        ("limits.lifetime", text(limits.lifetime)),
        ("limits.max_lifetime", text(limits.max_lifetime)),
        ("limits.ends_at", instant(limits.ends_at)),
        ("limits.warn_before", Value::Array(limits.warn_before.iter().map(text).collect())),
        ("limits.hours.end_cron", text(limits.hours.as_ref().map_or("", |hours| hours.end_cron.as_str()))),
        ("accounting.free_tier", Value::Boolean(it.accounting.free_tier)),
        (
            "accounting.credits",
            text(if it.accounting.credits == Money::ZERO { String::new() } else { it.accounting.credits.exact() }),
        ),
        ("accounting.logs_mib_per_hour", number(it.accounting.logs_mib_per_hour)),
        ("accounting.traffic_mib_per_hour", number(it.accounting.traffic_mib_per_hour)),
        ("accounting.ipv4_by", text(if it.accounting.ipv4_by_hour { "hour" } else { "second" })),
        ("end.on_idle", stage(end.on_idle)),
        ("end.on_hours", stage(end.on_hours)),
        ("end.keep_stopped", text(end.keep_stopped)),
        (
            "end.on_shutdown",
            text(match end.on_shutdown {
                ShutdownPolicy::Keep => "keep",
                ShutdownPolicy::Teardown => "teardown",
            }),
        ),
        ("end.credentials_margin", text(end.credentials_margin)),
        ("end.credentials_expire_at", instant(end.credentials_expire_at)),
        ("end.stop_allowance", text(end.stop_allowance)),
    ]);
    if let Some(hours) = &limits.hours {
        flat.insert("limits.hours.zone", text(&hours.zone));
    }
    flat
}
