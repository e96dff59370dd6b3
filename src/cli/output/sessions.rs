//! `labguard status`: the table of all sessions, and everything about one.

use super::{
    BAD, BOLD, DIM, GOOD, Look, NOTICE,
    columns::{Cell, table},
    moment::{Zone, short},
};
use crate::{
    domain::model::{Life, Limit, LimitKind, Money, Phase, ResourceKind, Sign, SourceReading, Span, Timestamp},
    reconcile::status::{NetWord, SessionStatus},
};

/// All sessions.
#[must_use]
pub fn overview<'a>(
    look: Look,
    zone: Zone,
    now: Timestamp,
    sessions: impl IntoIterator<Item = &'a SessionStatus>,
) -> String {
    let (live, mut ended): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|session| session.closed_at.is_none());
    ended.sort_by_key(|session| session.closed_at);
    let before = ended.len().saturating_sub(ENDED_SHOWN);
    let rows: Vec<Vec<Cell>> = ended
        .drain(before..)
        .chain(live)
        .map(|session| {
            vec![
                session.id.to_string().into(),
                phase(session),
                session.url.clone().unwrap_or_else(|| "–".into()).into(),
                health(session),
                session.idle_at(now).map_or_else(|| "–".into(), short).into(),
                format!("{} / {}", session.spend, session.budget).into(),
                torn(session, next_end(session, zone, now)),
            ]
        })
        .collect();
    let mut text = table(look, &["session", "phase", "url", "health", "idle", "spend / budget", "next end"], &rows);
    if before > 0 {
        text.push_str(&format!("\nand {before} that ended before: `labguard history`\n"));
    }
    text
}

/// So many sessions that have ended are shown beside those that live.
const ENDED_SHOWN: usize = 5;

fn phase(session: &SessionStatus) -> Cell {
    let cell = Cell::new(session.phase.name());
    match session.phase {
        Phase::Running => cell.styled(GOOD),
        Phase::Stuck => cell.styled(BAD),
        Phase::Ended => cell.styled(DIM),
        Phase::Pending | Phase::Provisioning | Phase::Starting | Phase::Stopping | Phase::TearingDown => {
            cell.styled(NOTICE)
        }
    }
}

fn health(session: &SessionStatus) -> Cell {
    let answers = matches!(session.phase, Phase::Starting | Phase::Running);
    match session.health.healthy.filter(|_| answers) {
        None => Cell::new("–"),
        Some(true) => Cell::new("healthy").styled(GOOD),
        Some(false) => Cell::new("unhealthy").styled(BAD),
    }
}

fn next_end(session: &SessionStatus, zone: Zone, now: Timestamp) -> String {
    match (&session.ending, session.closed_at, session.limits.first()) {
        (Some((cause, _)), Some(at), _) => format!("ended {}: {cause}", zone.clock(at, now)),
        (None, Some(at), _) => format!("ended {}", zone.clock(at, now)),
        (Some((cause, _)), None, Some(limit)) if session.phase == Phase::Stopping => {
            format!("{} ({cause}); torn down {}", stopped(session), zone.away(limit.at, now))
        }
        (Some((cause, _)), None, _) => format!("ending now: {cause}"),
        (None, None, Some(limit)) => format!("{} {}", limit.cause, zone.away(limit.at, now)),
        (None, None, None) => "no limit is set".into(),
    }
}

/// How far a stop has come: what may run is paid for.
fn stopped(session: &SessionStatus) -> &'static str {
    let computes = |kind| matches!(kind, ResourceKind::Task | ResourceKind::Service);
    let runs = session.resources.iter().any(|it| computes(it.key.kind) && it.ours && it.life.may_exist());
    if runs { "being stopped" } else { "stopped" }
}

/// What ends it, marked where a net that should hold does not.
fn torn(session: &SessionStatus, ends: String) -> Cell {
    let torn = session.nets.iter().filter(|net| net.state == NetWord::Fails && session.closed_at.is_none());
    let torn: Vec<&str> = torn.map(|net| net.net.name()).collect();
    if torn.is_empty() {
        return ends.into();
    }
    Cell::new(format!("{ends}; NO NET: {}", torn.join(", "))).styled(NOTICE)
}

fn idle(session: &SessionStatus, now: Timestamp) -> String {
    match (session.idle_at(now), session.phase) {
        (Some(idle), _) => short(idle),
        (None, Phase::Running) => "not known".into(),
        (None, _) => "only counts while it runs".into(),
    }
}

/// What a source of activity says, and how fresh that is.
fn reading(source: &SourceReading, zone: Zone, now: Timestamp) -> String {
    let says = match &source.sign {
        Sign::Active { last, what, .. } => format!("in use: {what}, {}", zone.away(*last, now)),
        Sign::Quiet { since } => format!("quiet since {}", zone.away(*since, now)),
        Sign::Unknown { since, why } => format!("not known since {}: {why}", zone.away(*since, now)),
    };
    let late =
        if source.latency == Span::ZERO { String::new() } else { format!(", news up to {} late", source.latency) };
    format!("{}: {says}; read {}{late}", source.source, zone.away(source.read_at, now))
}

fn rule(limit: &Limit) -> &'static str {
    match limit.kind {
        LimitKind::Keep => "kept stopped",
        LimitKind::SharedBudget => "shared budget reached",
        LimitKind::SentinelLease => "its sentinel's lease ends",
        LimitKind::Net => "a schedule that stands",
        LimitKind::Idle
        | LimitKind::Budget
        | LimitKind::Lifetime
        | LimitKind::EndTime
        | LimitKind::Hours
        | LimitKind::StartGrace
        | LimitKind::Credentials => limit.cause.describe(),
    }
}

/// Everything about one session.
#[must_use]
pub fn detail(look: Look, zone: Zone, now: Timestamp, session: &SessionStatus) -> String {
    let mut facts: Vec<(&str, Cell)> = Vec::new();
    facts.push(("phase", Cell::new(format!("{}, {}", session.phase, zone.away(session.phase_since, now)))));
    facts.push(("doing", Cell::new(zone.told(&session.doing, now))));
    if let Some(alarm) = &session.alarm {
        facts.push(("ALARM", Cell::new(alarm.as_str()).styled(BAD)));
    }
    facts.push(("url", Cell::new(session.url.as_deref().unwrap_or("not announced"))));
    let probe = match (session.health.healthy, session.health.at) {
        (None, _) | (_, None) => "no verdict yet".to_owned(),
        (Some(healthy), Some(at)) => format!(
            "{}: {}, {} ms, {}",
            if healthy { "healthy" } else { "unhealthy" },
            session.health.detail,
            session.health.latency_us.div_ceil(1000),
            zone.away(at, now)
        ),
    };
    facts.push(("health", Cell::new(probe)));
    let used = session.last_activity.as_ref().map_or_else(
        || "never used".to_owned(),
        |last| format!("{} by {}, {}", last.what, last.source, zone.away(last.at, now)),
    );
    facts.push(("last use", Cell::new(used)));
    if session.idle.is_some() && session.sources.is_empty() && session.closed_at.is_none() {
        facts.push(("source", Cell::new("none is set: only `labguard touch` and leases count as use")));
    }
    for source in session.sources.iter().filter(|_| session.closed_at.is_none()) {
        facts.push(("source", Cell::new(reading(source, zone, now))));
    }
    for lease in &session.leases {
        let (since, until) = (zone.away(lease.opened_at, now), zone.away(lease.expires_at, now));
        facts.push(("lease", Cell::new(format!("{}, since {since}; lapses {until} unless it is renewed", lease.by))));
    }
    facts.push(("idle", Cell::new(idle(session, now))));
    facts.push(("spend", Cell::new(format!("{} so far, {} an hour now", session.spend, session.rate))));
    facts.push((
        "budget",
        Cell::new(format!("{}, {} left; at worst {} over", session.budget, session.budget_left, session.overshoot)),
    ));
    // What lies ahead counts for what goes on.
    if session.closed_at.is_none() && session.rate > Money::ZERO {
        let by = |(at, spend): (Timestamp, Money)| format!("{spend} by {}", zone.clock(at, now));
        let ahead = format!("{}, {}", by(session.forecast.hour), by(session.forecast.day));
        facts.push(("forecast", Cell::new(format!("{ahead}; ending it now still costs {}", session.teardown_cost))));
    }
    if let Some(deadline) = session.deadline {
        let held = session.nets.iter().any(|net| net.state == NetWord::Holds);
        let by = if held { "something else sees to that" } else { "nothing else stops them yet" };
        let text =
            format!("{}: without labguard its tasks would have to stop by then, and {by}", zone.away(deadline, now));
        facts.push(("deadline", Cell::new(text)));
    }
    for net in session.nets.iter().filter(|net| net.state != NetWord::Off && session.closed_at.is_none()) {
        let at = net.acts_at.map(|at| format!(", from {}", zone.away(at, now))).unwrap_or_default();
        let required = if net.required { ", required" } else { "" };
        let text = format!("{} {}{at}{required}: {}", net.net.name(), net.state.name(), net.detail);
        facts.push(("net", Cell::new(text)));
    }
    facts.push(("opened", Cell::new(format!("{} for {}", zone.away(session.opened_at, now), session.owner))));
    if let Some(identity) = &session.identity {
        let sandbox = if identity.is_sandbox() { " (sandbox: not AWS)" } else { "" };
        facts.push(("where", Cell::new(format!("account {}, {}{sandbox}", identity.account, identity.region))));
    }
    if session.restarts > 0 {
        facts.push(("restarts", Cell::new(session.restarts.to_string())));
    }
    let why = match (&session.ending, session.closed_at) {
        (Some((cause, figures)), Some(at)) => {
            format!("it ended {}: {cause} ({})", zone.away(at, now), zone.told(figures, now))
        }
        (Some((cause, figures)), None) => {
            let doing = if session.phase == Phase::Stopping { stopped(session) } else { "ending" };
            format!("it is {doing}: {cause} ({})", zone.told(figures, now))
        }
        (None, Some(at)) => format!("it ended {}", zone.away(at, now)),
        (None, None) => match session.limits.first() {
            Some(limit) => format!("{}; ends {}", zone.told(&limit.why, now), zone.away(limit.at, now)),
            None => "no limit is set".into(),
        },
    };
    facts.push(("why", Cell::new(why)));
    let facts: Vec<Vec<Cell>> =
        facts.into_iter().map(|(name, value)| vec![Cell::new(name).styled(DIM), value]).collect();

    let mut text = format!("{}\n{}", look.paint(BOLD, session.id.as_str()), table(look, &[], &facts));
    if !session.limits.is_empty() && session.closed_at.is_none() {
        let rows: Vec<Vec<Cell>> = session
            .limits
            .iter()
            .flat_map(|limit| {
                let figures = zone.told(&limit.why, now).into();
                let moved_by = Cell::new(format!("moved by {}", limit.moved_by)).styled(DIM);
                [
                    vec![
                        rule(limit).into(),
                        zone.away(limit.at, now).into(),
                        Cell::new(limit.spend.to_string()).right(),
                        figures,
                    ],
                    vec!["".into(), "".into(), "".into(), moved_by],
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(look, &["would end it", "at", "spent by then", "figures"], &rows));
    }
    if !session.resources.is_empty() {
        let rows: Vec<Vec<Cell>> = session
            .resources
            .iter()
            .map(|resource| {
                let left = resource.life == Life::Gone && resource.fault.is_some();
                let life = if left { "left".to_owned() } else { format!("{:?}", resource.life).to_lowercase() };
                let note = match (resource.fault.as_ref().or(resource.waiting.as_ref()), resource.ours) {
                    (Some(why), _) => Cell::new(why.as_str()).styled(NOTICE),
                    (None, false) => Cell::new("not ours: left standing"),
                    (None, true) => Cell::new(resource.id.as_deref().unwrap_or_default()).styled(DIM),
                };
                vec![resource.key.to_string().into(), resource.name.as_str().into(), life.into(), note]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(look, &["resource", "name", "life", ""], &rows));
    }
    for blocker in &session.blockers {
        let line = format!(
            "blocked: {} {}: {} (costs {} an hour while it stays)",
            blocker.key,
            blocker.name,
            zone.told(&blocker.why, now),
            blocker.cost_per_hour
        );
        text.push_str(&format!("\n{}", look.paint(BAD, &line)));
    }
    if !session.blockers.is_empty() {
        if let Some(at) = session.next_try {
            text.push_str(&format!("\nnext try {}", zone.away(at, now)));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::fake,
        domain::model::{Blocker, Money, ResourceKey, ResourceKind, Span},
    };

    #[test]
    fn the_overview_reads_like_this() {
        let expected = "\
session           phase    url                     health   idle  spend / budget           next end
admission-7k2m9q  Running  http://127.0.0.9:5000  healthy  12m   0.0087 USD / 1.5000 USD  idle timeout 14:08:00 UTC (in 8m)
";
        let written = overview(Look::PLAIN, Zone::UTC, fake::noon(), [&fake::running()]);
        let squeeze = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&written), squeeze(expected), "{written}");
    }

    #[test]
    fn the_overview_marks_a_session_whose_net_does_not_hold() {
        let mut torn = fake::running();
        torn.nets[0].state = NetWord::Fails;
        let written = overview(Look::PLAIN, Zone::UTC, fake::noon(), [&torn]);
        assert!(written.contains("(in 8m); NO NET: scheduler"), "{written}");
        torn.closed_at = Some(fake::noon());
        assert!(!overview(Look::PLAIN, Zone::UTC, fake::noon(), [&torn]).contains("NO NET"));
    }

    #[test]
    fn the_detail_says_why_it_lives_what_ends_it_and_what_would_move_that() {
        let text = detail(Look::PLAIN, Zone::UTC, fake::noon(), &fake::running());
        for line in [
            "why       idle for 12m of 20m; ends 14:08:00 UTC (in 8m)",
            "last use  3 requests by requests, 13:48:00 UTC (12m ago)",
            "source    requests: quiet since 13:48:00 UTC (12m ago); read 13:59:56 UTC (4s ago)\n",
            "source    logs: not known since 13:58:00 UTC (2m ago): no right to read them; read 13:59:50 UTC (10s ago), news up to 1m 30s late\n",
            "lease     train.py, since 13:50:00 UTC (10m ago); lapses 14:04:00 UTC (in 4m) unless it is renewed\n",
            "spend     0.0087 USD so far, 0.0174 USD an hour now",
            "forecast  0.0261 USD by 15:00:00 UTC, 0.1822 USD by 2026-11-23 00:00:00 UTC; ending it now still costs 0.0007 USD",
            "deadline  15:30:00 UTC (in 1h 30m): without labguard its tasks would have to stop by then, and something else sees to that",
            "net       scheduler holds, from 15:29:00 UTC (in 1h 29m): schedules outside the task stop it",
            "idle timeout      14:08:00 UTC (in 8m)         0.0110 USD  idle for 12m of 20m\n",
            "                                                           moved by a request to the application, or `labguard touch`\n",
            "maximum lifetime  15:30:00 UTC (in 1h 30m)     0.0347 USD  up for 30m of 2h\n",
            "                                                           moved by `labguard extend --lifetime`",
            "cluster   lab      live",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }

    #[test]
    fn a_stuck_session_names_its_blocker_its_cost_and_the_next_try() {
        let mut stuck = fake::running();
        stuck.phase = Phase::Stuck;
        stuck.blockers = vec![Blocker {
            key: ResourceKey::only(ResourceKind::SecurityGroup),
            name: "sg-1".into(),
            why: "network interface eni-2 still uses it".into(),
            held_by: vec!["eni-2".into()],
            cost_per_hour: Money::ZERO,
        }];
        stuck.next_try = Some(fake::noon() + Span::from_secs(30));
        let text = detail(Look::PLAIN, Zone::UTC, fake::noon(), &stuck);
        assert!(text.contains("blocked: security group sg-1: network interface eni-2 still uses it"), "{text}");
        assert!(text.contains("next try 14:00:30 UTC (in 30s)"), "{text}");
    }
}
