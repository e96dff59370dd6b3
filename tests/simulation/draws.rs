//! What a world is like, drawn from its seed. A draw that is added, left out or moved makes other worlds of all seeds.

use labguard::{
    domain::{
        model::{Accounting, Money, Span, Stage, Timestamp},
        policy::{Hours, Policy, RunMode, ShutdownPolicy},
    },
    sandbox::{faults::FaultRule, latency::Latency},
};
use rand::{RngExt, rngs::SmallRng};

/// How long AWS takes.
pub fn latency(rng: &mut SmallRng) -> Latency {
    let mut latency = match rng.random_range(0..3) {
        0 => Latency::zero(),
        1 => Latency::fast(),
        _ => Latency::aws_like(),
    };
    latency.throttled = rng.random_bool(0.5);
    if rng.random_bool(0.2) {
        latency.interface_linger = Span::from_secs(rng.random_range(1..400));
        latency.visibility = Span::from_secs(rng.random_range(0..20));
    }
    latency
}

/// What goes wrong at AWS.
pub fn faults(rng: &mut SmallRng) -> Vec<FaultRule> {
    const TEXTS: [&str; 22] = [
        "*=throttle:20%",
        "*=server-error:10%",
        "*=lost-answer:5%",
        "*=no-answer:5%",
        "ecs:RunTask=capacity:3",
        "ecs:RunTask=lost-answer:1",
        "ecs:*=throttle:50%",
        "ec2:*=server-error(503):30%",
        "ecs:DeleteCluster=server-error:4",
        "ecs:RegisterTaskDefinition=lost-answer:1",
        "ec2:CreateSecurityGroup=lost-answer:1",
        "ecr:*=lost-answer:20%",
        "ecs:RunTask=missing(40s)",
        "*=expired-token:40",
        "ecs:RunTask=access-denied",
        "ec2:DeleteSecurityGroup=access-denied:6",
        "ecs:DeleteCluster=access-denied:5",
        "ecs:CreateCluster=service-linked-role:2",
        "scheduler:CreateScheduleGroup=access-denied",
        "scheduler:CreateSchedule=access-denied:8",
        "scheduler:*=server-error:40%",
        "iam:PutRolePolicy=access-denied",
    ];
    let count = [0, 1, 2, 3][rng.random_range(0..4)];
    (0..count).map(|_| TEXTS[rng.random_range(0..TEXTS.len())].parse().expect("a fault rule")).collect()
}

/// The script of the simulated container, as its environment.
pub fn behaviour(rng: &mut SmallRng) -> Vec<(String, String)> {
    let script = match rng.random_range(0..12) {
        0 => ("NEVER_HEALTHY", "1".to_owned()),
        1 => ("CRASH_AFTER", format!("{}s", rng.random_range(1..300))),
        2 => ("START_DELAY", format!("{}s", rng.random_range(1..120))),
        3 => ("UNHEALTHY", format!("{}s..{}s", rng.random_range(1..60), rng.random_range(60..300))),
        4 => ("MEMORY_KILL", format!("{}s", rng.random_range(1..600))),
        5 => ("IGNORE_TERM", "1".to_owned()),
        _ => return Vec::new(),
    };
    vec![(format!("LABGUARD_SIM_{}", script.0), script.1)]
}

/// A policy unlike that of other worlds.
pub fn vary(mut policy: Policy, rng: &mut SmallRng, epoch: Timestamp) -> Policy {
    let limits = &mut policy.limits;
    limits.idle_timeout = rng.random_bool(0.8).then(|| Span::from_secs(rng.random_range(30..1_200)));
    limits.lifetime = Span::from_secs(rng.random_range(60..5_400));
    limits.max_lifetime = limits.lifetime + Span::from_secs(rng.random_range(0..3_600));
    if rng.random_bool(0.4) {
        // A budget that a running task reaches within the hour.
        limits.budget = Money::from_nanos(rng.random_range(500_000..15_000_000));
        limits.max_budget = limits.budget + Money::from_nanos(2_000_000);
    }
    if rng.random_bool(0.2) {
        limits.ends_at = Some(epoch + Span::from_secs(rng.random_range(10..3_600)));
    }
    if rng.random_bool(0.2) {
        limits.hours =
            Some(Hours { end_cron: format!("{} * * * *", rng.random_range(0..60)), zone: "Europe/Berlin".to_owned() });
    }
    if rng.random_bool(0.3) {
        policy.end.on_idle = Stage::Stop;
        policy.end.on_hours = Stage::Stop;
        policy.end.keep_stopped = Span::from_secs(rng.random_range(10..1_200));
    }
    if rng.random_bool(0.2) {
        policy.task.run = RunMode::Service { desired: rng.random_range(1..3) };
    }
    if rng.random_bool(0.1) {
        policy.end.credentials_expire_at = Some(epoch + Span::from_secs(rng.random_range(400..3_600)));
    }
    if rng.random_bool(0.3) {
        policy.metrics.cloudwatch = vec!["session_spend_dollars".to_owned(), "session_healthy".to_owned()];
    }
    if rng.random_bool(0.2) {
        policy.end.on_shutdown = ShutdownPolicy::Teardown;
    }
    policy.task.max_restarts = rng.random_range(0..4);
    policy.limits.min_lifetime = Span::from_secs([0, 60, 300][rng.random_range(0..3)]);
    policy.accounting = Accounting {
        free_tier: rng.random_bool(0.2),
        credits: Money::from_nanos(if rng.random_bool(0.1) { rng.random_range(0..2_000_000) } else { 0 }),
        logs_mib_per_hour: rng.random_range(0..20),
        traffic_mib_per_hour: rng.random_range(0..20),
        ipv4_by_hour: rng.random_bool(0.1),
    };
    policy
}
