//! The table of keys: every path, and what kind of value it takes.
//!
//! Guarantees: the one place that says which keys exist; `default.toml`, the schema and the loader are tested against
//! it. Must never hold a default (those are in `default.toml`).

use super::names::NameRule;
use crate::domain::model::Item;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number between two others, both included.
    Int(i64, i64),
    /// One of these whole numbers.
    OneOf(&'static [i64]),
    /// A text that meets a form.
    Text(Form),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A length of time between two others, both included, in milliseconds.
    Span(u64, u64),
    /// More than nothing.
    Money,
    /// An amount of money for one of these, not below nothing.
    Price(&'static str),
    /// CPU units.
    Cpu,
    /// MiB.
    Memory,
    /// A date and time with offset.
    Instant,
    /// A number.
    Number,
    /// JSON.
    Json,
    /// A list of these.
    List(&'static Kind),
    /// A table of texts.
    Pairs,
    /// A list of `{ port, sources }`.
    Ingress,
    /// Names of metrics that the catalogue knows.
    Metrics,
    /// The same, or `""` for "not set".
    Opt(&'static Kind),
    /// A length of time, or `"never"`.
    SpanOrNever(u64, u64),
    /// A whole number between two others, both included, or `"never"`.
    IntOrNever(i64, i64),
}

/// What a text looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Anything without control characters, up to 1024 characters.
    Any,
    /// A tag value: up to 256 of AWS's tag characters. May be empty in `[defaults]`.
    Owner,
    /// `us-east-1`.
    Region,
    /// A name by AWS's rule, with `{session}`.
    Name(NameRule),
    /// `HOST/REPOSITORY[:TAG|@sha256:…]`.
    ImageUri,
    /// An image tag.
    Tag,
    /// An IAM role's ARN.
    RoleArn,
    /// `vpc-…`.
    Vpc,
    /// `subnet-…`.
    Subnet,
    /// `/path?query`.
    HttpPath,
    /// `a.b.c`.
    DottedKey,
    /// A Prometheus metric name.
    PrometheusName,
    /// `http://…` or `https://…`.
    Url,
    /// `http://…` with path and query, and places for the session.
    Question,
    /// `127.0.0.1:7373`.
    Socket,
    /// A loopback socket.
    LoopbackSocket,
    /// A host name or address.
    Host,
    /// A cron expression of five or six fields.
    Cron,
    /// An IANA time zone.
    Zone,
    /// A CloudWatch namespace.
    Namespace,
    /// A log filter.
    LogFilter,
    /// An IPv4 or IPv6 range.
    Range,
    /// An application load balancer: `app/NAME/ID`, or its ARN.
    LoadBalancer,
    /// A target group: `targetgroup/NAME/ID`, or its ARN.
    TargetGroup,
    /// An IPv4 or IPv6 range, or `own`.
    Source,
    /// One of the sandbox's faults: `OPERATION=KIND[:WHEN]`.
    Fault,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Path below its section.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const fn opt(kind: &'static Kind) -> Kind {
    Kind::Opt(kind)
}

const ANY: Kind = Kind::Text(Form::Any);
const URL: Kind = opt(&Kind::Text(Form::Url));

/// `[daemon]`.
pub(super) const DAEMON: &[Key] = &[
    key("state_dir", opt(&ANY)),
    key("listen", Kind::Text(Form::Socket)),
    key("token_file", opt(&ANY)),
    key("allowed_hosts", Kind::List(&Kind::Text(Form::Host))),
    key("shutdown_grace", Kind::Span(SECOND, HOUR)),
    key("max_sessions", Kind::Int(1, 100_000)),
    key("log_level", Kind::Text(Form::LogFilter)),
    key("log_format", Kind::Choice(&["auto", "human", "json"])),
    key("watch_files", Kind::Bool),
    key("rates_max_age", Kind::SpanOrNever(0, 3650 * DAY)),
];

/// `[aws]`.
pub(super) const AWS: &[Key] = &[
    key("profile", opt(&ANY)),
    key("endpoint_url", URL),
    key("registry_endpoint", URL),
    key("own_address_url", URL),
    key("max_attempts", Kind::Int(1, 20)),
    key("connect_timeout", Kind::Span(100, MINUTE)),
    key("read_timeout", Kind::Span(100, 5 * MINUTE)),
    key("operation_timeout", Kind::Span(SECOND, 10 * MINUTE)),
    key("endpoints.ecs", URL),
    key("endpoints.ecr", URL),
    key("endpoints.ec2", URL),
    key("endpoints.iam", URL),
    key("endpoints.sts", URL),
    key("endpoints.logs", URL),
    key("endpoints.cloudwatch", URL),
    key("endpoints.tagging", URL),
    key("endpoints.pricing", URL),
    key("endpoints.scheduler", URL),
    key("sandbox.enabled", Kind::Bool),
    key("sandbox.listen", Kind::Text(Form::LoopbackSocket)),
    key("sandbox.latency", Kind::Choice(&["zero", "fast", "aws"])),
    key("sandbox.faults", Kind::List(&Kind::Text(Form::Fault))),
    key("sandbox.seed", Kind::Int(0, i64::MAX)),
];

/// Retentions that CloudWatch Logs takes, in days.
const RETENTIONS: &[i64] =
    &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Kinds that may be adopted.
const ADOPTABLE: Kind = Kind::Choice(&["repository", "log_group", "execution_role", "cluster", "security_group"]);

/// `[defaults]` and `[sessions.NAME]`.
pub(super) const SESSION: &[Key] = &[
    key("owner", Kind::Text(Form::Owner)),
    key("group", opt(&Kind::Text(Form::Owner))),
    key("region", Kind::Text(Form::Region)),
    key("adopt", Kind::List(&ADOPTABLE)),
    key("names.repository", Kind::Text(Form::Name(NameRule::Repository))),
    key("names.cluster", Kind::Text(Form::Name(NameRule::Ecs))),
    key("names.task_definition", Kind::Text(Form::Name(NameRule::Ecs))),
    key("names.container", Kind::Text(Form::Name(NameRule::Ecs))),
    key("names.service", Kind::Text(Form::Name(NameRule::Ecs))),
    key("names.security_group", Kind::Text(Form::Name(NameRule::SecurityGroup))),
    key("names.log_group", Kind::Text(Form::Name(NameRule::LogGroup))),
    key("names.execution_role", Kind::Text(Form::Name(NameRule::Role))),
    key("image.source", Kind::Choice(&["registry", "executable", "archive", "docker", "build"])),
    key("image.uri", opt(&Kind::Text(Form::ImageUri))),
    key("image.mirror", Kind::Bool),
    key("image.path", opt(&ANY)),
    key("image.reference", opt(&ANY)),
    key("image.context", opt(&ANY)),
    key("image.dockerfile", opt(&ANY)),
    key("image.target", opt(&ANY)),
    key("image.build_args", Kind::Pairs),
    key("image.args", Kind::List(&ANY)),
    key("image.entrypoint", Kind::List(&ANY)),
    key("image.user", opt(&ANY)),
    key("image.environment", Kind::Pairs),
    key("image.tag", Kind::Text(Form::Tag)),
    key("image.platforms", Kind::Choice(&["task", "all"])),
    key("repository.scan_on_push", Kind::Bool),
    key("repository.block_on", opt(&Kind::Choice(&["low", "medium", "high", "critical"]))),
    key("repository.scan_timeout", Kind::Span(SECOND, HOUR)),
    key("repository.on_scan_timeout", Kind::Choice(&["refuse", "run"])),
    key("repository.immutable_tags", Kind::Bool),
    key("repository.encryption", Kind::Choice(&["AES256", "KMS"])),
    key("repository.kms_key", opt(&ANY)),
    key("repository.expire_days", Kind::Int(0, 3650)),
    key("task.mode", Kind::Choice(&["task", "service"])),
    key("task.desired", Kind::Int(1, 100)),
    key("task.cpu", Kind::Cpu),
    key("task.memory", Kind::Memory),
    key("task.storage", Kind::Int(20, 200)),
    key("task.arch", Kind::Choice(&["X86_64", "ARM64"])),
    key("task.spot", Kind::Bool),
    key("task.command", Kind::List(&ANY)),
    key("task.stop_timeout", Kind::Span(2 * SECOND, 120 * SECOND)),
    key("task.execution_role", opt(&Kind::Text(Form::RoleArn))),
    key("task.task_role", opt(&Kind::Text(Form::RoleArn))),
    key("task.max_restarts", Kind::Int(0, 100)),
    key("task.restart_backoff", Kind::Span(100, HOUR)),
    key("task.log_retention_days", Kind::OneOf(RETENTIONS)),
    key("task.environment", Kind::Pairs),
    key("network.vpc", opt(&Kind::Text(Form::Vpc))),
    key("network.subnets", Kind::List(&Kind::Text(Form::Subnet))),
    key("network.ingress", Kind::Ingress),
    key("network.public_ip", Kind::Bool),
    key("health.port", Kind::Int(1, 65_535)),
    key("health.method", Kind::Choice(&["GET", "HEAD", "POST", "PUT", "OPTIONS"])),
    key("health.path", Kind::Text(Form::HttpPath)),
    key("health.expect_status", Kind::List(&Kind::Int(100, 599))),
    key("health.expect_body", opt(&ANY)),
    key("health.interval", Kind::Span(100, HOUR)),
    key("health.timeout", Kind::Span(10, HOUR)),
    key("health.start_grace", Kind::Span(SECOND, DAY)),
    key("health.healthy_after", Kind::Int(1, 100)),
    key("health.unhealthy_after", Kind::Int(1, 100)),
    key("predict.body", opt(&Kind::Json)),
    key("predict.path", Kind::Text(Form::HttpPath)),
    key("predict.answer_key", Kind::Text(Form::DottedKey)),
    key("predict.at_least", opt(&Kind::Number)),
    key("predict.at_most", opt(&Kind::Number)),
    key("predict.interval", Kind::Span(100, DAY)),
    key("activity.allowed_sources", Kind::List(&Kind::Text(Form::Range))),
    key("activity.ignored_sources", Kind::List(&Kind::Text(Form::Range))),
    key("activity.metrics_path", opt(&Kind::Text(Form::HttpPath))),
    key("activity.counter", Kind::Text(Form::PrometheusName)),
    key("activity.labels", Kind::Pairs),
    key("activity.exclude_labels", Kind::Pairs),
    key("activity.address_label", opt(&Kind::Text(Form::PrometheusName))),
    key("activity.min_requests", Kind::Int(1, 1_000_000)),
    key("activity.in_flight", opt(&Kind::Text(Form::PrometheusName))),
    key("activity.in_flight_above", Kind::Int(0, 1_000_000)),
    key("activity.interval", Kind::Span(100, HOUR)),
    key("activity.sentinel", Kind::Bool),
    key("activity.combine", Kind::Choice(&["any", "most_trusted"])),
    key("activity.max_gap", Kind::Span(SECOND, 30 * DAY)),
    key("activity.logs.pattern", opt(&ANY)),
    key("activity.logs.interval", Kind::Span(5 * SECOND, HOUR)),
    key("activity.logs.latency", Kind::Span(0, HOUR)),
    key("activity.insights.enabled", Kind::Bool),
    key("activity.insights.network_above", Kind::IntOrNever(0, 4_000_000_000)),
    key("activity.insights.cpu_above", Kind::IntOrNever(0, 99)),
    key("activity.insights.interval", Kind::Span(MINUTE, HOUR)),
    key("activity.insights.latency", Kind::Span(2 * MINUTE, HOUR)),
    key("activity.load_balancer.name", opt(&Kind::Text(Form::LoadBalancer))),
    key("activity.load_balancer.target_group", opt(&Kind::Text(Form::TargetGroup))),
    key("activity.load_balancer.min_requests", Kind::Int(1, 1_000_000)),
    key("activity.load_balancer.interval", Kind::Span(MINUTE, HOUR)),
    key("activity.load_balancer.latency", Kind::Span(2 * MINUTE, HOUR)),
    key("activity.check.command", Kind::List(&ANY)),
    key("activity.check.url", opt(&Kind::Text(Form::Question))),
    key("activity.check.interval", Kind::Span(SECOND, HOUR)),
    key("activity.check.timeout", Kind::Span(100, 5 * MINUTE)),
    key("limits.idle_timeout", Kind::SpanOrNever(SECOND, 30 * DAY)),
    key("limits.budget", Kind::Money),
    key("limits.max_budget", opt(&Kind::Money)),
    key("limits.min_lifetime", Kind::Span(0, 365 * DAY)),
    key("limits.lifetime", Kind::Span(SECOND, 365 * DAY)),
    key("limits.max_lifetime", Kind::Span(SECOND, 365 * DAY)),
    key("limits.ends_at", opt(&Kind::Instant)),
    key("limits.warn_before", Kind::List(&Kind::Span(SECOND, 365 * DAY))),
    key("limits.hours.end_cron", opt(&Kind::Text(Form::Cron))),
    key("limits.hours.zone", Kind::Text(Form::Zone)),
    key("accounting.free_tier", Kind::Bool),
    key("accounting.credits", opt(&Kind::Money)),
    key("accounting.logs_mib_per_hour", Kind::Int(0, 1_000_000)),
    key("accounting.traffic_mib_per_hour", Kind::Int(0, 1_000_000)),
    key("accounting.ipv4_by", Kind::Choice(&["second", "hour"])),
    key("end.on_idle", Kind::Choice(&["teardown", "stop"])),
    key("end.on_hours", Kind::Choice(&["teardown", "stop"])),
    key("end.keep_stopped", Kind::Span(0, 30 * DAY)),
    key("end.on_shutdown", Kind::Choice(&["keep", "teardown"])),
    key("end.credentials_margin", Kind::Span(0, DAY)),
    key("end.credentials_expire_at", opt(&Kind::Instant)),
    key("end.stop_allowance", Kind::Span(SECOND, HOUR)),
    key("fuse.sentinel", Kind::Choice(&["off", "own", "shell"])),
    key("fuse.sentinel_executable", opt(&ANY)),
    key("fuse.lease", Kind::Span(MINUTE, DAY)),
    key("fuse.port", Kind::Int(1, 65_535)),
    key("fuse.sources", Kind::List(&Kind::Text(Form::Source))),
    key("fuse.end_idle", Kind::Bool),
    key("fuse.scheduler", Kind::Bool),
    key("fuse.scheduler_role", opt(&Kind::Text(Form::RoleArn))),
    key("fuse.require", Kind::List(&Kind::Choice(&["sentinel", "scheduler"]))),
    key("metrics.cloudwatch", Kind::Metrics),
    key("metrics.namespace", Kind::Text(Form::Namespace)),
    key("metrics.interval", Kind::Span(SECOND, HOUR)),
];

/// `[budget_defaults]` and `[budgets.NAME]`.
pub(super) const BUDGET: &[Key] = &[
    key("scope", Kind::Choice(&["daemon", "account", "owner", "group"])),
    key("of", opt(&Kind::Text(Form::Owner))),
    key("period", Kind::Choice(&["day", "week", "month", "life"])),
    key("zone", Kind::Text(Form::Zone)),
    key("limit", opt(&Kind::Money)),
    key("notify_at", Kind::List(&Kind::Int(1, 100))),
    key("block_at", Kind::IntOrNever(1, 100)),
    key("stop_at", Kind::IntOrNever(1, 100)),
    key("teardown_at", Kind::IntOrNever(1, 100)),
];

/// `[rates.REGION]`: every item that has a price.
pub(super) const RATES: &[Key] = &{
    let mut keys = [key("", Kind::Bool); Item::ALL.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = key(Item::ALL[at].key(), Kind::Price(Item::ALL[at].unit()));
        at += 1;
    }
    keys
};

/// The sections that a file may have, with their keys.
pub(super) const SECTIONS: [(&str, &[Key]); 4] =
    [("daemon", DAEMON), ("aws", AWS), ("defaults", SESSION), ("budget_defaults", BUDGET)];

/// The sections of which there are many, by names of the user's own: `[sessions.NAME]` has the keys of `[defaults]`. Those
/// of `[rates.REGION]` are regions.
pub(super) const NAMED: [(&str, &[Key]); 3] = [("sessions", SESSION), ("budgets", BUDGET), ("rates", RATES)];

/// The name of every section.
pub(super) fn section_names() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().chain(NAMED.iter()).map(|(name, _)| *name)
}

/// Whether the key's value is a table of the user's own words.
pub(super) fn takes_table(kind: &Kind) -> bool {
    match kind {
        Kind::Pairs | Kind::Json => true,
        Kind::Opt(inner) => takes_table(inner),
        _ => false,
    }
}
