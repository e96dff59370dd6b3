//! From merged sections to domain values: field by field, no judgement.
//!
//! Guarantees: every key of the table of keys is read here, and only here. Must never report mistakes.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use super::{
    form,
    reader::Reader,
    settings::{AwsSettings, DaemonSettings, LogFormat, SandboxSettings},
    value,
};
use crate::domain::{
    model::{
        Accounting, Arch, Basis, BuildRecipe, Encryption, ImageConfig, ImageSource, Item, Platforms, Price,
        RepositorySettings, ResourceKind, Span, Stage, TaskSize,
    },
    policy::{
        ActivityPolicy, Check, Combine, EndPolicy, FusePolicy, HealthPolicy, Hours, ImagePolicy, Insights, Limits,
        LoadBalancer, LogLines, MetricsPolicy, Names, Net, NetworkPolicy, Policy, PredictPolicy, RepositoryPolicy,
        RunMode, Sentinel, ShutdownPolicy, TaskPolicy, Unscanned,
    },
};

/// The services that may have endpoints of their own.
pub(super) const SERVICES: [&str; 10] =
    ["ecs", "ecr", "ec2", "iam", "sts", "logs", "cloudwatch", "tagging", "pricing", "scheduler"];

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// `[daemon]`.
pub(super) fn daemon(read: &Reader) -> DaemonSettings {
    DaemonSettings {
        state_dir: read.optional_path("state_dir"),
        listen: socket(&read.text("listen")),
        token_file: read.optional_path("token_file"),
        allowed_hosts: read.texts("allowed_hosts"),
        shutdown_grace: read.span("shutdown_grace"),
        max_sessions: read.integer("max_sessions"),
        log_level: read.text("log_level"),
        log_format: match read.text("log_format").as_str() {
            "human" => LogFormat::Human,
            "json" => LogFormat::Json,
            _ => LogFormat::Auto,
        },
        watch_files: read.boolean("watch_files"),
        rates_max_age: read.optional_span("rates_max_age").filter(|most| *most > Span::ZERO),
    }
}

/// `[rates.REGION]`: the operator's prices. They have no date: what somebody says holds until it is said otherwise.
pub(super) fn rates(read: &Reader) -> BTreeMap<Item, Price> {
    let price = |item: Item| {
        let (amount, place) = read.price(item.key())?;
        let source = format!("given in {place}");
        Some((item, Price { amount, basis: Basis::Given, as_of: String::new(), source }))
    };
    Item::ALL.into_iter().filter_map(price).collect()
}

/// `[aws]`.
pub(super) fn aws(read: &Reader) -> AwsSettings {
    let endpoint = |service: &&str| Some(((*service).to_owned(), read.optional_text(&format!("endpoints.{service}"))?));
    AwsSettings {
        profile: read.optional_text("profile"),
        endpoint_url: read.optional_text("endpoint_url"),
        registry_endpoint: read.optional_text("registry_endpoint"),
        own_address_url: read.optional_text("own_address_url"),
        endpoints: SERVICES.iter().filter_map(endpoint).collect::<BTreeMap<_, _>>(),
        max_attempts: read.integer("max_attempts"),
        connect_timeout: read.span("connect_timeout"),
        read_timeout: read.span("read_timeout"),
        operation_timeout: read.span("operation_timeout"),
        sandbox: SandboxSettings {
            enabled: read.boolean("sandbox.enabled"),
            listen: socket(&read.text("sandbox.listen")),
            latency: read.text("sandbox.latency"),
            faults: read.texts("sandbox.faults"),
            seed: read.integer("sandbox.seed"),
        },
    }
}

/// A session, over its defaults.
pub(super) fn policy(name: &str, read: &Reader) -> Policy {
    let kind = |text: &String| ResourceKind::ALL.into_iter().find(|kind| kind_name(*kind) == text);
    Policy {
        name: name.to_owned(),
        owner: read.text("owner"),
        group: read.text("group"),
        region: read.text("region"),
        names: names(read),
        adopt: read.texts("adopt").iter().filter_map(kind).collect(),
        image: ImagePolicy {
            source: image_source(read),
            tag: read.text("image.tag"),
            platforms: if read.text("image.platforms") == "all" { Platforms::All } else { Platforms::Task },
        },
        repository: repository(read),
        task: task(read),
        network: NetworkPolicy {
            vpc: read.optional_text("network.vpc"),
            subnets: read.texts("network.subnets"),
            ingress: read.ingress("network.ingress"),
            public_ip: read.boolean("network.public_ip"),
        },
        health: health(read),
        predict: read.json("predict.body").map(|body| PredictPolicy {
            path: read.text("predict.path"),
            body,
            answer_key: read.text("predict.answer_key"),
            at_least: read.number("predict.at_least"),
            at_most: read.number("predict.at_most"),
            interval: read.span("predict.interval"),
        }),
        activity: activity(read),
        limits: limits(read),
        accounting: Accounting {
            free_tier: read.boolean("accounting.free_tier"),
            credits: read.money("accounting.credits").unwrap_or_default(),
            logs_mib_per_hour: read.integer("accounting.logs_mib_per_hour"),
            traffic_mib_per_hour: read.integer("accounting.traffic_mib_per_hour"),
            ipv4_by_hour: read.text("accounting.ipv4_by") == "hour",
        },
        end: EndPolicy {
            on_idle: stage(&read.text("end.on_idle")),
            on_hours: stage(&read.text("end.on_hours")),
            keep_stopped: read.span("end.keep_stopped"),
            on_shutdown: match read.text("end.on_shutdown").as_str() {
                "teardown" => ShutdownPolicy::Teardown,
                _ => ShutdownPolicy::Keep,
            },
            credentials_margin: read.span("end.credentials_margin"),
            credentials_expire_at: read.instant("end.credentials_expire_at"),
            stop_allowance: read.span("end.stop_allowance"),
        },
        fuse: fuse(read),
        metrics: MetricsPolicy {
            cloudwatch: read.texts("metrics.cloudwatch"),
            namespace: read.text("metrics.namespace"),
            interval: read.span("metrics.interval"),
        },
    }
}

fn image_source(read: &Reader) -> ImageSource {
    let path = read.text("image.path");
    match read.text("image.source").as_str() {
        "executable" => ImageSource::Executable {
            path,
            args: read.texts("image.args"),
            config: ImageConfig {
                entrypoint: read.texts("image.entrypoint"),
                environment: read.pairs("image.environment"),
                user: read.optional_text("image.user"),
            },
        },
        "archive" => ImageSource::Archive { path, reference: read.optional_text("image.reference") },
        "docker" => ImageSource::Docker { reference: read.text("image.reference") },
        "build" => ImageSource::Build(BuildRecipe {
            context: read.text("image.context"),
            dockerfile: read.optional_text("image.dockerfile"),
            target: read.optional_text("image.target"),
            args: read.pairs("image.build_args"),
        }),
        _ => ImageSource::Registry { uri: read.text("image.uri"), mirror: read.boolean("image.mirror") },
    }
}

fn repository(read: &Reader) -> RepositoryPolicy {
    let block_on = read.optional_text("repository.block_on").and_then(|text| text.parse().ok());
    let expire_days: u32 = read.integer("repository.expire_days");
    // Never while the session may still want its image.
    let needed = read.span("limits.max_lifetime") + read.span("end.keep_stopped");
    let needed = u32::try_from(needed.as_secs().div_ceil(24 * 3600)).unwrap_or(u32::MAX);
    RepositoryPolicy {
        settings: RepositorySettings {
            // A gate needs a scan.
            scan_on_push: read.boolean("repository.scan_on_push") || block_on.is_some(),
            immutable_tags: read.boolean("repository.immutable_tags"),
            encryption: match read.text("repository.encryption").as_str() {
                "KMS" => Encryption::Kms(read.optional_text("repository.kms_key")),
                _ => Encryption::Aes256,
            },
            expire_days: (expire_days > 0).then_some(expire_days.max(needed)),
        },
        block_on,
        scan_timeout: read.span("repository.scan_timeout"),
        on_scan_timeout: match read.text("repository.on_scan_timeout").as_str() {
            "run" => Unscanned::Run,
            _ => Unscanned::Refuse,
        },
    }
}

fn fuse(read: &Reader) -> FusePolicy {
    let required = read.texts("fuse.require");
    let sentinel = read.text("fuse.sentinel");
    FusePolicy {
        sentinel: Sentinel::ALL.into_iter().find(|choice| choice.name() == sentinel).unwrap_or_default(),
        sentinel_executable: read.optional_text("fuse.sentinel_executable"),
        lease: read.span("fuse.lease"),
        port: read.integer("fuse.port"),
        sources: read.texts("fuse.sources"),
        end_idle: read.boolean("fuse.end_idle"),
        scheduler: read.boolean("fuse.scheduler"),
        scheduler_role: read.optional_text("fuse.scheduler_role"),
        require: Net::ALL.into_iter().filter(|net| required.iter().any(|name| name == net.name())).collect(),
    }
}

fn names(read: &Reader) -> Names {
    Names {
        repository: read.text("names.repository"),
        cluster: read.text("names.cluster"),
        task_definition: read.text("names.task_definition"),
        container: read.text("names.container"),
        service: read.text("names.service"),
        security_group: read.text("names.security_group"),
        log_group: read.text("names.log_group"),
        execution_role: read.text("names.execution_role"),
    }
}

fn task(read: &Reader) -> TaskPolicy {
    TaskPolicy {
        run: match read.text("task.mode").as_str() {
            "service" => RunMode::Service { desired: read.integer("task.desired") },
            _ => RunMode::Task,
        },
        size: TaskSize {
            cpu: read.cpu("task.cpu"),
            memory: read.memory("task.memory"),
            storage: read.integer("task.storage"),
            arch: if read.text("task.arch") == Arch::Arm64.ecs_name() { Arch::Arm64 } else { Arch::X86_64 },
            spot: read.boolean("task.spot"),
        },
        environment: read.pairs("task.environment"),
        command: read.texts("task.command"),
        stop_timeout: read.span("task.stop_timeout"),
        execution_role: read.optional_text("task.execution_role"),
        task_role: read.optional_text("task.task_role"),
        max_restarts: read.integer("task.max_restarts"),
        restart_backoff: read.span("task.restart_backoff"),
        log_retention_days: read.integer("task.log_retention_days"),
    }
}

fn health(read: &Reader) -> HealthPolicy {
    let status = |value: &::config::Value| u16::try_from(value::integer(value).ok()?).ok();
    HealthPolicy {
        port: read.integer("health.port"),
        method: read.text("health.method"),
        path: read.text("health.path"),
        expect_status: read.list("health.expect_status", status),
        expect_body: read.optional_text("health.expect_body"),
        interval: read.span("health.interval"),
        timeout: read.span("health.timeout"),
        start_grace: read.span("health.start_grace"),
        healthy_after: read.integer("health.healthy_after"),
        unhealthy_after: read.integer("health.unhealthy_after"),
    }
}

fn activity(read: &Reader) -> ActivityPolicy {
    ActivityPolicy {
        allowed_sources: read.texts("activity.allowed_sources"),
        ignored_sources: read.texts("activity.ignored_sources"),
        metrics_path: read.optional_text("activity.metrics_path"),
        counter: read.text("activity.counter"),
        labels: read.pairs("activity.labels"),
        exclude_labels: read.pairs("activity.exclude_labels"),
        address_label: read.optional_text("activity.address_label"),
        min_requests: read.integer("activity.min_requests"),
        in_flight: read.optional_text("activity.in_flight"),
        in_flight_above: read.integer("activity.in_flight_above"),
        interval: read.span("activity.interval"),
        sentinel: read.boolean("activity.sentinel"),
        combine: match read.text("activity.combine").as_str() {
            "most_trusted" => Combine::MostTrusted,
            _ => Combine::Any,
        },
        max_gap: read.span("activity.max_gap"),
        logs: LogLines {
            pattern: read.optional_text("activity.logs.pattern"),
            interval: read.span("activity.logs.interval"),
            latency: read.span("activity.logs.latency"),
        },
        insights: Insights {
            enabled: read.boolean("activity.insights.enabled"),
            network_above: read.optional_integer("activity.insights.network_above"),
            cpu_above: read.optional_integer("activity.insights.cpu_above"),
            interval: read.span("activity.insights.interval"),
            latency: read.span("activity.insights.latency"),
        },
        load_balancer: LoadBalancer {
            name: end(read, "activity.load_balancer.name", "app/"),
            target_group: end(read, "activity.load_balancer.target_group", "targetgroup/"),
            min_requests: read.integer("activity.load_balancer.min_requests"),
            interval: read.span("activity.load_balancer.interval"),
            latency: read.span("activity.load_balancer.latency"),
        },
        check: Check {
            command: read.texts("activity.check.command"),
            url: read.optional_text("activity.check.url"),
            interval: read.span("activity.check.interval"),
            timeout: read.span("activity.check.timeout"),
        },
    }
}

/// The end of an ARN, as CloudWatch's dimensions have it.
fn end(read: &Reader, key: &str, kind: &str) -> Option<String> {
    read.optional_text(key).and_then(|text| Some(form::balancer(&text, kind)?.to_owned()))
}

fn limits(read: &Reader) -> Limits {
    let budget = read.money("limits.budget").unwrap_or_default();
    let zone = || read.text("limits.hours.zone");
    let mut warn_before = read.list("limits.warn_before", |value| value::span(value).ok());
    warn_before.sort_by(|a, b| b.cmp(a));
    warn_before.dedup();
    Limits {
        idle_timeout: read.optional_span("limits.idle_timeout"),
        budget,
        max_budget: read.money("limits.max_budget").unwrap_or(budget),
        min_lifetime: read.span("limits.min_lifetime"),
        lifetime: read.span("limits.lifetime"),
        max_lifetime: read.span("limits.max_lifetime"),
        ends_at: read.instant("limits.ends_at"),
        hours: read.optional_text("limits.hours.end_cron").map(|end_cron| Hours { end_cron, zone: zone() }),
        warn_before,
    }
}

fn stage(text: &str) -> Stage {
    if text == "stop" { Stage::Stop } else { Stage::Teardown }
}

/// A kind as the configuration writes it.
pub(super) const fn kind_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Repository => "repository",
        ResourceKind::Image => "image",
        ResourceKind::LogGroup => "log_group",
        ResourceKind::ExecutionRole => "execution_role",
        ResourceKind::Cluster => "cluster",
        ResourceKind::SecurityGroup => "security_group",
        ResourceKind::TaskDefinition => "task_definition",
        ResourceKind::Service => "service",
        ResourceKind::Task => "task",
        ResourceKind::SchedulerRole => "scheduler_role",
        ResourceKind::ScheduleGroup => "schedule_group",
        ResourceKind::InsightsLog => "insights_log",
    }
}
