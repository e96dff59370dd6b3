//! The guard inside the task: which container it is, what it is told, and who may reach it.
//!
//! Guarantees: every task is told an absolute end inside the session's hard limits and a lease inside its present
//! ones, so that both hold without labguard; nothing that is told is secret (docs/sentinel.md).

use crate::domain::{
    meter,
    model::{
        Event, ImageConfig, ImageSource, ImageSpec, Ingress, Life, Net, OwnAddress, Platforms, ResourceKey,
        ResourceKind, SentinelContainer, SentinelLease, SentinelOrders, Source, Span, Timestamp, sentinel,
    },
    policy::Sentinel,
};

use super::{
    deploy_order,
    health::PULL_BOUND,
    idleness, limits, renewals,
    turn::{Turn, serving},
};

/// Sleeps until its deadline, and ends at once without one.
const SHELL: &str = "trap 'exit 143' TERM; case \"$LABGUARD_SENTINEL_DEADLINE\" in ''|*[!0-9]*) echo \
                     'LABGUARD_SENTINEL_DEADLINE is not set, expected seconds since 1970-01-01 UTC'; exit 64;; esac; \
                     while [ \"$(date +%s)\" -lt \"$LABGUARD_SENTINEL_DEADLINE\" ]; do sleep 5 & wait $!; done; \
                     echo 'the deadline has come'; exit 80";

/// The guard that its tasks have. A service starts its tasks by itself, and would start one after each that a guard
/// ended, with orders as old as its definition: it has none.
pub(super) fn guard(turn: &Turn<'_>) -> Sentinel {
    if turn.service_mode() { Sentinel::Off } else { turn.policy().fuse.sentinel }
}

/// Says whether the net inside the task holds, once that is known.
pub(super) fn tell(turn: &mut Turn<'_>) {
    if !turn.policy().fuse.has(Net::Sentinel) {
        return;
    }
    let fuse = &turn.policy().fuse;
    let (holds, detail) = match guard(turn) {
        Sentinel::Off => (false, "a service would replace what its guard ends; the schedules are its net".to_owned()),
        _ if turn.record.only(ResourceKind::TaskDefinition).is_none_or(|it| it.life != Life::Live) => return,
        Sentinel::Shell => (true, "a shell inside the task ends it at the hard end".to_owned()),
        Sentinel::Own if !reached(turn) => {
            let why = match &turn.seen.own_address {
                OwnAddress::Unknown(why) if !fuse.sources.is_empty() => {
                    format!(": the own address is not known: {why}")
                }
                _ => String::new(),
            };
            let what = "a guard inside the task ends it at the hard end; nobody can renew a lease (fuse.sources)";
            (true, format!("{what}{why}"))
        }
        Sentinel::Own => (true, format!("a guard inside the task ends it {} after labguard's last word", fuse.lease)),
    };
    let known = turn.record.nets.get(&Net::Sentinel);
    // A lease that cannot be renewed is told once, and until renewals have gone well for a while.
    let (holds, detail) = match renewals::verdict(turn) {
        _ if guard(turn) != Sentinel::Own || !reached(turn) => (holds, detail),
        verdict if known.is_some_and(|known| !known.holds) && verdict != Some(true) => return,
        Some(false) => (false, renewals::why(turn).unwrap_or(detail)),
        _ => (holds, detail),
    };
    if known.is_none_or(|known| known.holds != holds || known.detail != detail) {
        turn.note(Event::NetChanged { net: Net::Sentinel, holds, detail });
    }
}

/// The guard's program on this machine, and what makes it a guard.
fn program(turn: &Turn<'_>) -> Option<(String, Vec<String>)> {
    let at_hand = turn.seen.sentinel.as_ref().map(|means| means.program.clone());
    let path = turn.policy().fuse.sentinel_executable.clone().or(at_hand)?;
    // A program of another name is labguard itself, which is a sentinel when it is told so.
    let own_name = path.rsplit('/').next().is_some_and(|name| name.starts_with("labguard-sentinel"));
    let args = if own_name { Vec::new() } else { vec!["sentinel".to_owned()] };
    Some((path, args))
}

/// What ECS asks of the guard in its image, which holds nothing but `/app/NAME`.
fn healthy(turn: &Turn<'_>) -> Option<Vec<String>> {
    let (path, args) = program(turn)?;
    let name = path.rsplit('/').next()?.to_owned();
    let line = ["CMD".to_owned(), format!("/app/{name}")].into_iter().chain(args).chain(["healthy".to_owned()]);
    Some(line.collect())
}

/// The sentinel's image: pushed beside the application's.
pub(super) fn image(turn: &Turn<'_>) -> Option<ImageSpec> {
    let policy = turn.policy();
    if guard(turn) != Sentinel::Own {
        return None;
    }
    let (path, args) = program(turn)?;
    Some(ImageSpec {
        repository: Some(turn.names().repository),
        tag: sentinel::TAG.to_owned(),
        mark: deploy_order::image_mark(turn),
        source: ImageSource::Executable { path, args, config: ImageConfig::default() },
        arch: policy.task.size.arch,
        ports: vec![policy.fuse.port],
        platforms: Platforms::Task,
        room_gib: policy.task.size.storage,
    })
}

/// The guard's container, once what it needs is there: `Err` while it is not.
pub(super) fn container(turn: &Turn<'_>, application: &str) -> Result<Option<SentinelContainer>, ()> {
    match guard(turn) {
        Sentinel::Off => Ok(None),
        Sentinel::Shell => Ok(Some(SentinelContainer {
            image: application.to_owned(),
            command: vec!["/bin/sh".to_owned(), "-c".to_owned(), SHELL.to_owned()],
            port: None,
            // It would say nothing: the application's container has no health check, so that the task's health is not
            // known in any case.
            healthy: Vec::new(),
        })),
        Sentinel::Own => {
            let image = turn.record.resources.get(&ResourceKey::SENTINEL_IMAGE);
            let image = image.filter(|image| image.life == Life::Live).and_then(|image| image.id.clone()).ok_or(())?;
            let (port, healthy) = (Some(turn.policy().fuse.port), healthy(turn).ok_or(())?);
            Ok(Some(SentinelContainer { image, command: Vec::new(), port, healthy }))
        }
    }
}

/// Who may reach the sentinel's port, as the policy says it.
pub(super) fn ingress(turn: &Turn<'_>) -> Option<Ingress> {
    let fuse = &turn.policy().fuse;
    let wanted = guard(turn) == Sentinel::Own && !fuse.sources.is_empty();
    wanted.then(|| Ingress { port: fuse.port, sources: fuse.sources.clone() })
}

/// Whether somebody can reach it: by the rules that were opened, where labguard opened them.
pub(super) fn reached(turn: &Turn<'_>) -> bool {
    let fuse = &turn.policy().fuse;
    match &turn.record.admitted {
        Some(rules) => rules.iter().any(|rule| rule.port == fuse.port),
        None => !fuse.sources.is_empty(),
    }
}

/// Whether labguard renews its lease.
pub(super) fn renewed(turn: &Turn<'_>) -> bool {
    guard(turn) == Sentinel::Own && reached(turn) && turn.ending_stage().is_none()
}

/// What labguard renews, while the session has a sentinel that it can reach. No idle time while the task does not run.
pub(super) fn lease(turn: &Turn<'_>, until: Timestamp) -> Option<SentinelLease> {
    let fuse = &turn.policy().fuse;
    if !renewed(turn) {
        return None;
    }
    // What the sentinel cannot see holds the session, too: then it is labguard alone that ends it for idleness.
    let met = [Source::Requests, Source::InFlight, Source::Sentinel];
    let last = turn.record.last_activity.as_ref();
    let seen_by_it = last.is_none_or(|last| met.iter().any(|source| source.to_string() == last.source));
    let leased = turn.record.leases.values().any(|lease| lease.lapses(turn.now) > turn.now);
    let own = fuse.end_idle && turn.record.extensions.idle_until.is_none() && seen_by_it && !leased;
    Some(SentinelLease { until, idle: if own { idle(turn) } else { None } })
}

/// The sentinel ends an idle task that much later than labguard would, besides what news may be late.
const LATER: Span = Span::from_secs(30);

/// The idle time that the sentinel is told: it counts from its last use, or from its start, by its own clock, and knows
/// neither how late labguard's news are nor what labguard waits for. So that labguard decides first, it gets all that on
/// top. None while labguard does not count idle time either.
fn idle(turn: &Turn<'_>) -> Option<Span> {
    let timeout = turn.policy().limits.idle_timeout?;
    let idle = idleness::idle(turn)?;
    let (_, task) = serving(&turn.record, turn.policy())?;
    let started = task.live_at.unwrap_or(task.intended_at);
    let counts_from = turn.record.last_activity.as_ref().map_or(started, |last| last.at.max(started));
    Some(idle.due(timeout, turn.now).since(counts_from).max(timeout) + idle.lag + LATER)
}

/// The shortest lease at the start: the first renewal comes within seconds.
const FIRST: Span = Span::from_secs(30);

/// What one task's guard is told. `Err` while labguard's key is not known.
pub(super) fn orders(turn: &Turn<'_>) -> Result<Option<SentinelOrders>, ()> {
    let policy = turn.policy();
    let fuse = &policy.fuse;
    if guard(turn) == Sentinel::Off {
        return Ok(None);
    }
    let deadline = |budget| meter::deadline(&turn.record, policy, turn.rules.card, budget, turn.now);
    // The hard end: no extension reaches beyond it. The present one goes into the lease, which labguard renews.
    let hard = deadline(policy.limits.max_budget.max(policy.limits.budget)).max(turn.now);
    let mut environment = vec![(sentinel::DEADLINE.to_owned(), turn.seen.apart().theirs(hard).as_secs().to_string())];
    if guard(turn) == Sentinel::Own {
        let key = turn.seen.sentinel.as_ref().map(|means| means.key.clone()).ok_or(())?;
        let soft = deadline(limits::budget(&turn.record, policy));
        // Nobody can renew what nobody can reach: then it lives to the hard end.
        let lease = if reached(turn) { fuse.lease } else { hard.since(turn.now) };
        // What ends before that may be extended: only the first lease is cut.
        let first = Some(soft.since(turn.now).max(FIRST)).filter(|first| reached(turn) && *first < lease);
        let seconds = |span: Span| span.as_secs().max(1).to_string();
        let ports: Vec<String> = policy
            .network
            .ingress
            .iter()
            .map(|ingress| ingress.port)
            .chain([policy.health.port])
            .collect::<std::collections::BTreeSet<u16>>()
            .into_iter()
            .map(|port| port.to_string())
            .collect();
        let mut tell = |name: &str, value: String| environment.push((name.to_owned(), value));
        tell(sentinel::SESSION, turn.record.id.to_string());
        tell(sentinel::KEY, key);
        tell(sentinel::LEASE, seconds(lease));
        if let Some(first) = first {
            tell(sentinel::FIRST_LEASE, seconds(first));
        }
        tell(sentinel::LISTEN, format!("0.0.0.0:{}", fuse.port));
        tell(sentinel::PORTS, ports.join(","));
        let activity = &policy.activity;
        for (name, ranges) in
            [(sentinel::ALLOWED, &activity.allowed_sources), (sentinel::IGNORED, &activity.ignored_sources)]
        {
            if !ranges.is_empty() {
                tell(name, ranges.join(","));
            }
        }
        if let Some(idle) = policy.limits.idle_timeout.filter(|_| fuse.end_idle) {
            // Until it is first reached nobody has used it: neither the pull of its image nor the start grace is idle time.
            tell(sentinel::IDLE, seconds(idle + PULL_BOUND + policy.health.start_grace));
        }
    }
    Ok(Some(SentinelOrders { environment }))
}
