//! From ECS's task to ours.

use aws_sdk_ecs::types::{Container, Task};

use crate::{
    cloud::connect::timestamp,
    domain::model::{Span, TaskFacts, TaskStatus, Timestamp, sentinel},
};

/// What DescribeTasks and RunTask say of a task; the public address comes from EC2.
pub(super) fn facts(task: &Task) -> TaskFacts {
    let mut facts = TaskFacts::new(task.task_arn().unwrap_or_default());
    facts.status = TaskStatus::from_ecs(task.last_status().unwrap_or("PROVISIONING"));
    facts.wanted = task.desired_status() != Some("STOPPED");
    facts.created_at = task.created_at().map(timestamp);
    facts.pull_started_at = task.pull_started_at().map(timestamp);
    facts.started_at = task.started_at().map(timestamp);
    facts.stopped_at = task.stopped_at().map(timestamp);
    facts.stop_code = task.stop_code().map(|code| code.as_str().to_owned());
    facts.stopped_reason = task.stopped_reason().map(ToOwned::to_owned);
    let telling = |c: &&Container| c.exit_code().is_some() || c.reason().is_some();
    let (guards, others): (Vec<_>, Vec<_>) =
        task.containers().iter().filter(telling).partition(|c| c.name() == Some(sentinel::CONTAINER));
    // The application's word goes first, but where its guard ended by itself: that is why the application ended.
    let container = others.first().or(guards.first());
    facts.exit_code = container.and_then(|container| container.exit_code());
    facts.container_reason = container.and_then(|container| container.reason()).map(ToOwned::to_owned);
    facts.sentinel_exit = guards.iter().find_map(|guard| guard.exit_code());
    facts.sentinel_deadline = told(task, sentinel::DEADLINE)
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
    facts.sentinel_lease = told(task, sentinel::FIRST_LEASE)
        .or_else(|| told(task, sentinel::LEASE))
        .and_then(sentinel::number)
        .map(Span::from_secs);
    facts.eni = task
        .attachments()
        .iter()
        .filter(|attachment| attachment.r#type() == Some("ElasticNetworkInterface"))
        .flat_map(|attachment| attachment.details())
        .find(|detail| detail.name() == Some("networkInterfaceId"))
        .and_then(|detail| detail.value())
        .map(ToOwned::to_owned);
    facts
}

/// What the task's guard was told with RunTask.
fn told<'a>(task: &'a Task, name: &str) -> Option<&'a str> {
    let overrides = task.overrides()?.container_overrides().iter();
    let mut told =
        overrides.filter(|it| it.name() == Some(sentinel::CONTAINER)).flat_map(|container| container.environment());
    told.find(|pair| pair.name() == Some(name))?.value()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{Attachment, Container, KeyValuePair, TaskStopCode};

    use super::*;

    #[test]
    fn a_stopped_task_tells_why_and_where_it_was() {
        let detail = KeyValuePair::builder().name("networkInterfaceId").value("eni-7").build();
        let task = Task::builder()
            .task_arn("arn:aws:ecs:us-east-1:000000000000:task/c/1")
            .last_status("STOPPED")
            .desired_status("STOPPED")
            .stop_code(TaskStopCode::EssentialContainerExited)
            .attachments(Attachment::builder().r#type("ElasticNetworkInterface").details(detail).build())
            .containers(Container::builder().exit_code(137).reason("OutOfMemoryError: killed").build())
            .build();
        let facts = facts(&task);
        assert!(facts.is_stopped() && !facts.wanted);
        assert_eq!((facts.exit_code, facts.eni.as_deref()), (Some(137), Some("eni-7")));
        assert_eq!(facts.loss(), crate::domain::model::TaskLoss::OutOfMemory);
    }

    #[test]
    fn the_deadline_that_a_task_was_given_is_read_from_its_orders() {
        use aws_sdk_ecs::types::{ContainerOverride, TaskOverride};
        let given = |name: &str, value: &str| {
            let pair = KeyValuePair::builder().name(sentinel::DEADLINE).value(value).build();
            let container = ContainerOverride::builder().name(name).environment(pair).build();
            let task = Task::builder().overrides(TaskOverride::builder().container_overrides(container).build());
            facts(&task.build()).sentinel_deadline
        };
        assert_eq!(given(sentinel::CONTAINER, "1795400000"), Some(Timestamp::from_millis(1_795_400_000_000)));
        assert_eq!(given(sentinel::CONTAINER, "soon"), None);
        assert_eq!(given("app", "1795400000"), None);
    }

    #[test]
    fn the_lease_that_a_task_was_started_with_is_the_first_one_where_that_was_cut() {
        use aws_sdk_ecs::types::{ContainerOverride, TaskOverride};
        let given = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| KeyValuePair::builder().name(*name).value(*value).build();
            let environment = Some(pairs.iter().map(pair).collect());
            let container = ContainerOverride::builder().name(sentinel::CONTAINER).set_environment(environment).build();
            let task = Task::builder().overrides(TaskOverride::builder().container_overrides(container).build());
            facts(&task.build()).sentinel_lease
        };
        assert_eq!(given(&[(sentinel::LEASE, "600")]), Some(Span::from_mins(10)));
        assert_eq!(given(&[(sentinel::LEASE, "600"), (sentinel::FIRST_LEASE, "50")]), Some(Span::from_secs(50)));
        assert_eq!(given(&[(sentinel::DEADLINE, "1795400000")]), None);
    }

    #[test]
    fn what_the_guard_did_is_told_apart_from_what_the_application_did() {
        let container = |name: &str, code| Container::builder().name(name).exit_code(code).build();
        let loss = |guard, app| {
            let task = Task::builder()
                .last_status("STOPPED")
                .stop_code(TaskStopCode::EssentialContainerExited)
                .containers(container(sentinel::CONTAINER, guard))
                .containers(container("app", app))
                .build();
            let facts = facts(&task);
            (facts.loss(), facts.exit_code)
        };
        use crate::domain::model::TaskLoss;
        assert_eq!(loss(0, 143), (TaskLoss::Fused, Some(143)), "one of before");
        assert_eq!(loss(80, 143), (TaskLoss::FusedByDeadline, Some(143)));
        assert_eq!(loss(81, 143), (TaskLoss::FusedByLease, Some(143)));
        assert_eq!(loss(82, 0), (TaskLoss::FusedByIdle, Some(0)));
        assert_eq!(loss(137, 3), (TaskLoss::Exited, Some(3)), "the guard was only stopped with the rest");
    }
}
