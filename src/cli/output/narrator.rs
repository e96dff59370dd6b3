//! Progress as it happens: what changed between two statuses, in words.
//!
//! Guarantees: every change is told once; on a terminal the present doing spins below, elsewhere there are
//! plain lines only; it writes to stderr alone.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{
    BOLD, DIM, Icon, Output,
    layers::{self, Bars},
    moment::{short, tenths},
};
use crate::{
    domain::model::{ImageProgress, Life, Span, Timestamp},
    reconcile::status::{NetWord, SessionStatus},
};

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub icon: Icon,
    /// In words.
    pub text: String,
}

fn tell(icon: Icon, text: impl Into<String>) -> Line {
    Line { icon, text: text.into() }
}

/// What changed, in the order it should be told.
#[must_use]
pub fn changes(before: Option<&SessionStatus>, now: &SessionStatus) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(identity) = &now.identity
        && before.is_none_or(|before| before.identity != now.identity)
    {
        lines.push(tell(Icon::Done, format!("account {}, {}", identity.account, identity.region)));
    }
    if let Some((cause, figures)) = &now.ending
        && before.is_none_or(|before| before.ending != now.ending)
    {
        let icon = if cause.is_failure() { Icon::Fail } else { Icon::Going };
        lines.push(tell(icon, format!("ending: {cause} ({figures})")));
    }
    for resource in &now.resources {
        let old = before.and_then(|before| before.resources.iter().find(|old| old.key == resource.key));
        let changed = old.map(|old| old.life) != Some(resource.life);
        let name = format!("{} {}", resource.key, resource.name);
        match resource.life {
            Life::Live if changed && !resource.ours => {
                lines.push(tell(Icon::Done, format!("{name} (was there before; left standing)")));
            }
            Life::Live if changed => lines.push(tell(Icon::Done, name.clone())),
            // What was left is told below, with why.
            Life::Gone if changed && old.is_some() && resource.fault.is_none() => {
                lines.push(tell(Icon::Done, format!("{name} gone")))
            }
            Life::Intended | Life::Live | Life::Leaving | Life::Gone | Life::Never => {}
        }
        if let Some(waiting) = &resource.waiting
            && old.and_then(|old| old.waiting.as_ref()) != Some(waiting)
        {
            lines.push(tell(Icon::Going, format!("{name}: {waiting}")));
        }
        if let Some(fault) = &resource.fault
            && old.and_then(|old| old.fault.as_deref()).map(unnumbered) != Some(unnumbered(fault))
        {
            lines.push(tell(Icon::Warn, format!("{name}: {fault}")));
        }
    }
    for net in &now.nets {
        let old = before.and_then(|before| before.nets.iter().find(|old| old.net == net.net));
        if old.is_some_and(|old| (old.state, &old.detail) == (net.state, &net.detail)) {
            continue;
        }
        let text = format!("net {} {}: {}", net.net.name(), net.state.name(), net.detail);
        match net.state {
            NetWord::Holds => lines.push(tell(Icon::Done, text)),
            NetWord::Fails => lines.push(tell(Icon::Warn, text)),
            NetWord::Off | NetWord::Pending => {}
        }
    }
    if before.is_some_and(|before| before.restarts < now.restarts) {
        lines.push(tell(Icon::Warn, format!("restart {}: {}", now.restarts, now.doing)));
    }
    let was_healthy = before.and_then(|before| before.health.healthy);
    if now.health.healthy != was_healthy {
        match now.health.healthy {
            Some(true) => lines.push(tell(Icon::Done, format!("healthy: {}", now.health.detail))),
            Some(false) => lines.push(tell(Icon::Warn, format!("unhealthy: {}", now.health.detail))),
            None => {}
        }
    }
    for blocker in &now.blockers {
        if before.is_none_or(|before| !before.blockers.contains(blocker)) {
            let cost = blocker.cost_per_hour;
            let text = format!("{} {} blocks the end: {} ({cost} an hour)", blocker.key, blocker.name, blocker.why);
            lines.push(tell(Icon::Warn, text));
        }
    }
    if let Some(alarm) = &now.alarm
        && before.and_then(|before| before.alarm.as_ref()) != Some(alarm)
    {
        lines.push(tell(Icon::Warn, alarm.clone()));
    }
    lines
}

/// A fault without the number of its request: tried again, it is the same.
fn unnumbered(fault: &str) -> String {
    match fault.split_once(" (request ") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => fault.to_owned(),
    }
}

/// What moves on a terminal: what goes on now, and below it the layers on their way.
struct Drawn {
    all: MultiProgress,
    spinner: ProgressBar,
    bars: Bars,
}

impl Drawn {
    fn new() -> Self {
        let all = MultiProgress::new();
        let spinner = all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        let bars = Bars::new(all.clone());
        Self { all, spinner, bars }
    }
}

/// Tells the changes of one session.
pub struct Narrator {
    output: Output,
    drawn: Option<Drawn>,
    before: Option<SessionStatus>,
    since: Option<Timestamp>,
}

impl Narrator {
    /// One that has told nothing yet.
    #[must_use]
    pub fn new(output: &Output) -> Self {
        let drawn = (output.talk.terminal && !output.quiet).then(Drawn::new);
        Self { output: output.clone(), drawn, before: None, since: None }
    }

    /// One that starts where another left off: what stands is not told again.
    #[must_use]
    pub fn from_here(output: &Output, status: &SessionStatus) -> Self {
        let mut narrator = Self::new(output);
        narrator.before = Some(status.clone());
        narrator.since = Some(status.at);
        narrator
    }

    /// Tells what is new, and how long after the beginning it was.
    pub fn update(&mut self, status: &SessionStatus) {
        let ending = self.before.as_ref().is_some_and(|before| before.ending.is_none()) && status.ending.is_some();
        if ending || self.since.is_none() {
            self.since = Some(if status.ending.is_some() { status.at } else { status.opened_at });
        }
        let elapsed = status.at.since(self.since.unwrap_or(status.at));
        for line in changes(self.before.as_ref(), status) {
            self.line(&line, Some(elapsed));
        }
        self.supply(self.before.as_ref().and_then(|before| before.image.clone()).as_ref(), status.image.as_ref());
        self.doing(&format!("{}: {}", status.phase, status.doing));
        self.before = Some(status.clone());
    }

    /// Shows how an image's supply has come on: bars on a terminal, lines elsewhere.
    pub fn supply(&mut self, before: Option<&ImageProgress>, now: Option<&ImageProgress>) {
        match &mut self.drawn {
            Some(drawn) => drawn.bars.show(now),
            None => layers::news(before, now).iter().for_each(|line| self.line(line, None)),
        }
    }

    /// Tells one thing.
    pub fn line(&self, line: &Line, elapsed: Option<Span>) {
        let stamp =
            elapsed.map(|elapsed| format!("  {}", self.output.talk.paint(DIM, &format!("+{}", tenths(elapsed)))));
        let now = self.before.as_ref().map(|status| status.at);
        let told = now.map_or_else(|| line.text.clone(), |now| self.output.zone.told(&line.text, now));
        let text = format!("{told}{}", stamp.unwrap_or_default());
        self.aside(|| self.output.say(line.icon, &text));
    }

    /// A heading between parts of the story.
    pub fn heading(&self, text: &str) {
        let text = self.output.talk.paint(BOLD, text);
        self.aside(|| self.output.say_bare(&text));
    }

    /// Does something on the same terminal with the spinner out of the way.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.drawn {
            Some(drawn) => drawn.all.suspend(work),
            None => work(),
        }
    }

    /// Shows what goes on now; terminals only.
    pub fn doing(&self, text: &str) {
        if let Some(drawn) = &self.drawn {
            drawn.spinner.set_message(text.to_owned());
        }
    }

    /// Shows the time to the next end; terminals only.
    pub fn countdown(&self, status: &SessionStatus, now: Timestamp) {
        if let (None, Some(limit)) = (&status.ending, status.limits.first()) {
            let why = self.output.zone.told(&limit.why, now);
            self.doing(&format!("{why}: {} in {}", limit.cause, short(limit.at.since(now))));
        }
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        if let Some(drawn) = &mut self.drawn {
            drawn.bars.show(None);
            drawn.spinner.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::fake, domain::model::Cause};

    #[test]
    fn every_change_is_told_once() {
        let status = fake::running();
        let texts = |lines: Vec<Line>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(
            texts(changes(None, &status)),
            [
                "account 000000000000, us-east-1",
                "cluster lab",
                "task 1 token-1",
                "net scheduler holds: schedules outside the task stop it",
                "healthy: GET /ping answered 200",
            ]
        );
        assert!(changes(Some(&status), &status).is_empty());
        let mut ended = status.clone();
        ended.ending = Some((Cause::Idle, "idle for 20m of 20m".into()));
        ended.resources[1].life = Life::Gone;
        assert_eq!(
            texts(changes(Some(&status), &ended)),
            ["ending: idle timeout (idle for 20m of 20m)", "task 1 token-1 gone",]
        );
    }

    #[test]
    fn a_net_that_tears_is_a_warning_and_one_that_is_being_made_is_not_told() {
        let before = fake::running();
        let mut now = before.clone();
        now.nets[0].state = NetWord::Fails;
        now.nets[0].detail = "its schedules could not be set".into();
        let lines = changes(Some(&before), &now);
        assert_eq!(lines, [tell(Icon::Warn, "net scheduler does not hold: its schedules could not be set")]);
        assert!(changes(Some(&now), &now).is_empty());
        now.nets[0].state = NetWord::Pending;
        assert!(changes(Some(&before), &now).is_empty());
    }

    #[test]
    fn faults_are_told_when_they_come_and_not_again() {
        let before = fake::running();
        let mut now = before.clone();
        now.resources[0].fault = Some("ecs:DeleteCluster answered ClusterContainsTasksException".into());
        let lines = changes(Some(&before), &now);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].icon, Icon::Warn);
        assert!(changes(Some(&now), &now).is_empty());
    }
}
