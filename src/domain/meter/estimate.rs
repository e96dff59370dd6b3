//! What a session would make and cost, before it is started (`labguard plan`).

use crate::domain::{
    model::{
        Basis, CostLine, Estimate, ImageSource, Item, Money, Phase, RateCard, Record, ResourceKind, Span, Stage,
        sentinel,
    },
    policy::{Net, Policy, RunMode, Sentinel, fuse, insights_log},
};

use super::{
    accrual::{Own, drain, hour_of, hourly},
    forecast::time_to_spend,
    insights,
    usage::{MINIMUM_SECS, needs},
};

/// From the instant a limit is crossed to the StopTask call, at most: one turn of the loop with its reads,
/// the SDK's retries included. Part of the stated overshoot.
pub const TURN_ALLOWANCE: Span = Span::from_secs(30);

/// Hours in a month, as AWS counts them.
const MONTH_HOURS: i64 = 730;

/// How many tasks run at once.
const fn tasks(policy: &Policy) -> u32 {
    match policy.task.run {
        RunMode::Task => 1,
        RunMode::Service { desired } => desired,
    }
}

/// PutMetricData calls in an hour.
fn calls_per_hour(policy: &Policy) -> u64 {
    if policy.metrics.cloudwatch.is_empty() {
        return 0;
    }
    3_600_000_u64.div_ceil(policy.metrics.interval.as_millis().max(1000))
}

/// The most an hour costs by policy: all tasks, their addresses, and labguard's own metrics.
#[must_use]
pub fn worst_rate(policy: &Policy, card: &RateCard) -> Money {
    hourly(policy, card, tasks(policy), own(policy))
}

/// What labguard's own use costs an hour as things stand: it publishes metrics until a teardown, and reads them while a
/// session runs.
#[must_use]
pub fn own_rate(record: &Record, policy: &Policy, card: &RateCard) -> Money {
    let tears_down = record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
    if record.identity.is_none() || record.is_closed() || tears_down {
        return Money::ZERO;
    }
    let own = own(policy);
    let metrics_read = if record.phase == Phase::Running { own.metrics_read } else { 0 };
    // Those of Container Insights are a resource's, and counted with it.
    hourly(policy, card, 0, Own { metrics_read, insights: None, ..own })
}

fn per_hour(policy: &Policy, card: &RateCard) -> Vec<CostLine> {
    hour_of(policy, card, tasks(policy), own(policy))
}

/// What labguard itself uses in an hour, and has made for it.
fn own(policy: &Policy) -> Own {
    Own {
        calls: calls_per_hour(policy),
        metric_hours: policy.metrics.cloudwatch.len() as u64,
        metrics_read: policy.activity.metrics_read_per_hour(),
        insights: policy.activity.insights.enabled.then(|| is_service(policy)),
    }
}

const fn is_service(policy: &Policy) -> bool {
    matches!(policy.task.run, RunMode::Service { .. })
}

/// What is paid at once when an hour begins: for the addresses of all tasks, where they are billed so, and for the metrics
/// of Container Insights, which are by hours of the clock.
fn begun_hours(policy: &Policy, card: &RateCard) -> Money {
    let by_hour = policy.accounting.ipv4_by_hour && policy.network.public_ip;
    let addresses = if by_hour { card.amount(Item::PublicIpv4).times(i64::from(tasks(policy))) } else { Money::ZERO };
    let metrics = if policy.activity.insights.enabled { insights::metrics(is_service(policy)) } else { 0 };
    addresses + card.amount(Item::Metric).fraction_ceil(u128::from(metrics), 730)
}

/// What a session costs that lives for its least lifetime and is then taken down.
#[must_use]
pub fn least_cost(policy: &Policy, card: &RateCard) -> Money {
    let lived = policy.limits.min_lifetime.max(Span::from_secs(MINIMUM_SECS));
    worst_rate(policy, card).per_hour_over(lived + drain(policy)) + begun_hours(policy, card)
}

/// What its own budget must hold for that: with what is kept back for the net outside the task ([`FusePolicy::lead`]), which
/// budgets that sessions share do not know.
///
/// [`FusePolicy::lead`]: crate::domain::policy::FusePolicy::lead
#[must_use]
pub fn least_budget(policy: &Policy, card: &RateCard) -> Money {
    least_cost(policy, card) + worst_rate(policy, card).per_hour_over(policy.fuse.lead())
}

/// The stated worst case over the budget.
///
/// `rate × (turn + stop time-out + stop allowance) + rate × 1 minute`, where `turn` is
/// [`TURN_ALLOWANCE`], the stop time-out and allowance are the policy's, and the minute is Fargate's minimum
/// charge for a task that a restart began just before. The drain is already inside the budget check
/// (`spend + teardown cost ≥ budget`); it is stated once more so that a teardown of twice the allowed
/// length still keeps the promise. Where something is billed by the begun hour, two hours of it come on top: one that
/// begins with a restart's task, one that the drain of another begins.
#[must_use]
pub fn overshoot(policy: &Policy, card: &RateCard) -> Money {
    let jumps = begun_hours(policy, card).times(2);
    worst_rate(policy, card).per_hour_over(TURN_ALLOWANCE + drain(policy) + Span::from_secs(MINIMUM_SECS)) + jumps
}

/// What a session of this policy would make and cost.
#[must_use]
pub fn estimate(policy: &Policy, card: &RateCard) -> Estimate {
    let lines = per_hour(policy, card);
    let rate: Money = lines.iter().map(|line| line.amount).sum();
    let limits = &policy.limits;
    let mut until = Vec::new();
    let mut add = |name: &str, span: Span| until.push((name.to_owned(), span, rate.per_hour_over(span)));
    if let Some(idle) = limits.idle_timeout {
        add("idle timeout, never used", idle);
    }
    add("lifetime", limits.lifetime);
    if limits.max_lifetime > limits.lifetime {
        add("lifetime, fully extended", limits.max_lifetime);
    }
    let last = rate.per_hour_over(drain(policy));
    let kept = rate.per_hour_over(policy.fuse.lead());
    let until_budget = |budget: Money| time_to_spend(budget.less(last + kept), rate);
    if let Some(span) = until_budget(limits.budget) {
        until.push(("budget".to_owned(), span, rate.per_hour_over(span)));
    }
    until.sort_by_key(|(_, span, _)| *span);
    Estimate {
        name: policy.name.clone(),
        resources: resources(policy),
        nets: nets(policy).map(|net| (net.name().to_owned(), net_of(policy, net))).collect(),
        per_hour: lines,
        rate,
        until,
        forgotten_month: rate.times(MONTH_HOURS),
        least: least_budget(policy, card),
        teardown: last,
        overshoot: overshoot(policy, card),
        warnings: warnings(policy, card, rate),
    }
}

/// The nets that it could have: a service would replace each task that its guard ends.
fn nets(policy: &Policy) -> impl Iterator<Item = Net> {
    let fits = |net: &Net| *net != Net::Sentinel || !is_service(policy) || policy.fuse.has(Net::Sentinel);
    Net::ALL.into_iter().filter(fits)
}

/// What a net would do for it, for people.
fn net_of(policy: &Policy, net: Net) -> String {
    let fuse = &policy.fuse;
    if !fuse.has(net) {
        return "off".to_owned();
    }
    let does = match net {
        Net::Sentinel => format!("ends the task from inside, {} after labguard's last word at the latest", fuse.lease),
        Net::Scheduler => "stops the task from outside and removes what one call can remove".to_owned(),
    };
    let weight = if fuse.requires(net) { "required" } else { "if it can be had" };
    format!("{does} ({weight})")
}

fn resources(policy: &Policy) -> Vec<(ResourceKind, String)> {
    let session = format!("{}-{}", policy.name, Estimate::UNKNOWN_ID);
    let names = policy.names.for_session(&session);
    let mut list = Vec::new();
    let guarded = policy.fuse.sentinel == Sentinel::Own && policy.task.run == RunMode::Task;
    if guarded || policy.image.source.is_pushed() {
        list.push((ResourceKind::Repository, names.repository.clone()));
    }
    let image = match &policy.image.source {
        ImageSource::Registry { uri, mirror: false } => uri.clone(),
        _ => format!("{}:{}", names.repository, policy.image.tag),
    };
    list.push((ResourceKind::Image, image));
    if guarded {
        list.push((ResourceKind::Image, format!("{}:{}", names.repository, sentinel::TAG)));
    }
    list.push((ResourceKind::LogGroup, names.log_group));
    if policy.task.execution_role.is_none() {
        list.push((ResourceKind::ExecutionRole, names.execution_role));
    }
    if policy.activity.insights.enabled {
        list.push((ResourceKind::InsightsLog, insights_log(&names.cluster)));
    }
    list.push((ResourceKind::Cluster, names.cluster));
    list.push((ResourceKind::SecurityGroup, names.security_group));
    list.push((ResourceKind::TaskDefinition, names.task_definition));
    match policy.task.run {
        RunMode::Task => list.push((ResourceKind::Task, format!("{session}-1"))),
        RunMode::Service { desired } => list.push((ResourceKind::Service, format!("{} × {desired}", names.service))),
    }
    if policy.fuse.scheduler {
        list.push((ResourceKind::ScheduleGroup, fuse::group_name(&session)));
        if policy.fuse.scheduler_role.is_none() {
            list.push((ResourceKind::SchedulerRole, fuse::role_name(&session)));
        }
    }
    list
}

fn warnings(policy: &Policy, card: &RateCard, rate: Money) -> Vec<String> {
    let mut warnings = Vec::new();
    let seen = !policy.activity.sources().is_empty();
    let open = policy.network.ingress.iter().filter(|ingress| ingress.sources.iter().any(|it| it.ends_with("/0")));
    let ports: Vec<String> = open.map(|ingress| ingress.port.to_string()).collect();
    if !ports.is_empty() {
        let (noun, are, them) = if ports.len() == 1 { ("port", "is", "it") } else { ("ports", "are", "them") };
        let count = if seen { ", and their requests count as use" } else { "" };
        warnings.push(format!(
            "{noun} {} {are} open to the whole internet; scanners find {them} within minutes{count} \
             (narrow `network.ingress` to your own address)",
            ports.join(" and ")
        ));
    }
    let limits = &policy.limits;
    if let Some(timeout) = limits.idle_timeout.filter(|_| !seen) {
        warnings.push(format!(
            "its use is not seen: no source of activity is set, so that it ends as idle after {timeout} though it is used, \
             unless `labguard touch` or `with-lease` says so (`activity.metrics_path`, or another source; or `idle_timeout = \"never\"`)"
        ));
    }
    if limits.idle_timeout.is_none() {
        warnings.push("no idle timeout: unused, it runs until another limit ends it".to_owned());
    }
    let activity = &policy.activity;
    let counted = activity.metrics_path.is_some() && activity.labels.is_empty() && activity.exclude_labels.is_empty();
    if counted && activity.min_requests == 1 && activity.address_label.is_none() && limits.idle_timeout.is_some() {
        warnings.push(format!(
            "where the application counts them in {}, labguard's own probes are use, and it is never idle: leave them out by \
             `activity.labels` or `exclude_labels` (their user agent begins with \"labguard-probe/\")",
            activity.counter
        ));
    }
    if !policy.network.public_ip {
        warnings.push("no public address: labguard cannot probe it, so it will end as never healthy".to_owned());
    }
    if policy.task.size.spot {
        warnings.push("Spot: AWS may take the task back at two minutes' notice".to_owned());
    }
    warnings.extend(price_warnings(policy, card));
    let least = rate.per_hour_over(Span::from_secs(MINIMUM_SECS) + drain(policy) + policy.fuse.lead());
    if limits.budget <= least {
        warnings.push(format!(
            "the budget of {} does not cover the shortest run and its teardown ({least}): it would end at once",
            limits.budget
        ));
    }
    if limits.budget < rate.per_hour_over(limits.lifetime) {
        warnings
            .push(format!("the budget of {} ends it before its lifetime of {} does", limits.budget, limits.lifetime));
    }
    warnings
}

/// What a person should know of the prices: which are guesses, and which are missing.
#[must_use]
pub fn price_warnings(policy: &Policy, card: &RateCard) -> Vec<String> {
    let needs = needs(policy);
    let named = |items: Vec<String>| items.join(", ");
    let guessed = needs.iter().filter(|item| card.price(**item).is_some_and(|price| price.basis == Basis::Estimated));
    let guessed: Vec<String> = guessed.map(ToString::to_string).collect();
    let missing: Vec<String> = card.unpriced(&needs).map(|item| item.to_string()).collect();
    let mut warnings = Vec::new();
    if !guessed.is_empty() {
        warnings.push(format!(
            "prices in {} are estimated for: {} (`labguard rates import` takes AWS's own price file)",
            card.region,
            named(guessed)
        ));
    }
    if !missing.is_empty() {
        warnings.push(format!(
            "no price is known in {} for: {}; `up` refuses it until there is one (`[rates]`, or `labguard rates import`)",
            card.region,
            named(missing)
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{meter::RateBook, policy::samples};

    #[test]
    fn a_counter_that_may_count_the_probes_is_warned_of_until_labels_tell_them_apart() {
        let card = RateBook::embedded().card("us-east-1");
        let warned =
            |policy: &Policy| estimate(policy, &card).warnings.iter().any(|it| it.contains("own probes are use"));
        let mut policy = samples::policy();
        policy.activity.metrics_path = Some("/metrics".to_owned());
        (policy.activity.labels, policy.activity.exclude_labels) = Default::default();
        assert!(warned(&policy));
        policy.activity.exclude_labels = [("agent".to_owned(), "labguard-probe/*".to_owned())].into();
        assert!(!warned(&policy));
    }

    #[test]
    fn a_net_that_a_service_cannot_have_is_not_told_to_be_off() {
        let card = RateBook::embedded().card("us-east-1");
        let mut policy = samples::policy();
        (policy.fuse.sentinel, policy.fuse.scheduler) = (Sentinel::Off, false);
        let names = |policy: &Policy| estimate(policy, &card).nets.into_iter().map(|(net, _)| net).collect::<Vec<_>>();
        policy.task.run = RunMode::Task;
        assert_eq!(names(&policy), ["sentinel", "scheduler"]);
        policy.task.run = RunMode::Service { desired: 1 };
        assert_eq!(names(&policy), ["scheduler"]);
    }
}
