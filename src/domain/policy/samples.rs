//! A policy for tests, of this crate and of those that build on it: they say what they change of it.

use super::{
    ActivityPolicy, EndPolicy, FusePolicy, HealthPolicy, ImagePolicy, Limits, MetricsPolicy, Names, NetworkPolicy,
    Policy, RepositoryPolicy, RunMode, ShutdownPolicy, TaskPolicy,
};
use crate::domain::model::{Accounting, ImageConfig, ImageSource, Ingress, Span, Stage, TaskSize};

/// The exercise's policy with short limits.
pub fn policy() -> Policy {
    let name = |what: &str| format!("{{session}}-{what}");
    Policy {
        name: "lab".into(),
        owner: "someone".into(),
        group: String::new(),
        region: "us-east-1".into(),
        names: Names {
            repository: name("repo"),
            cluster: name("cluster"),
            task_definition: name("task"),
            container: "app".into(),
            service: name("service"),
            security_group: name("group"),
            log_group: name("logs"),
            execution_role: name("role"),
        },
        adopt: Vec::new(),
        image: ImagePolicy::plain(
            ImageSource::Executable { path: "/bin/app".into(), args: Vec::new(), config: ImageConfig::default() },
            "v1",
        ),
        repository: RepositoryPolicy::default(),
        fuse: FusePolicy::default(),
        task: TaskPolicy {
            run: RunMode::Task,
            size: TaskSize::SMALLEST,
            environment: Vec::new(),
            command: Vec::new(),
            stop_timeout: Span::from_secs(30),
            execution_role: None,
            task_role: None,
            max_restarts: 3,
            restart_backoff: Span::from_secs(2),
            log_retention_days: 1,
        },
        network: NetworkPolicy {
            vpc: None,
            subnets: Vec::new(),
            ingress: vec![Ingress { port: 5000, sources: vec!["0.0.0.0/0".into()] }],
            public_ip: true,
        },
        health: HealthPolicy {
            port: 5000,
            method: "GET".into(),
            path: "/ping".into(),
            expect_status: vec![200],
            expect_body: None,
            interval: Span::from_secs(5),
            timeout: Span::from_secs(2),
            start_grace: Span::from_secs(60),
            healthy_after: 2,
            unhealthy_after: 3,
        },
        predict: None,
        activity: ActivityPolicy::counting("/metrics", "requests", Span::from_secs(10)),
        limits: Limits {
            idle_timeout: Some(Span::from_mins(10)),
            budget: "1.00 USD".parse().unwrap(),
            max_budget: "2.00 USD".parse().unwrap(),
            min_lifetime: Span::ZERO,
            lifetime: Span::from_mins(60),
            max_lifetime: Span::from_mins(120),
            ends_at: None,
            hours: None,
            warn_before: vec![Span::from_mins(5), Span::from_mins(1)],
        },
        accounting: Accounting::default(),
        end: EndPolicy {
            on_idle: Stage::Teardown,
            on_hours: Stage::Teardown,
            keep_stopped: Span::from_mins(30),
            on_shutdown: ShutdownPolicy::Keep,
            credentials_margin: Span::from_mins(5),
            credentials_expire_at: None,
            stop_allowance: Span::from_mins(2),
        },
        metrics: MetricsPolicy { cloudwatch: Vec::new(), namespace: "Labguard".into(), interval: Span::from_secs(60) },
    }
}
