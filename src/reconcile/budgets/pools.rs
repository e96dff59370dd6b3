//! The pools: what every shared budget's sessions come to, what was promised meanwhile, and which thresholds were
//! reached.
//!
//! Guarantees: a closed session counts once in each period that it spent in; a promise counts until a sum that began
//! after it was kept or dropped; what a budget has reached in a period stands until the period, or the budget, changes.
//! Must never wait, ask the journal, or look at a clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::domain::{
    meter::{self, SUM_AGE},
    model::{BudgetReading, Money, Pool, RateCard, Record, SessionId, Stage, Threshold, Timestamp},
    policy::{Policy, SharedBudget},
};

/// A rule by its place, and whose part of it.
pub(super) type Key = (usize, String);

/// One budget of one owner, group, account or daemon.
#[derive(Debug, Default)]
pub(super) struct Entry {
    from: Timestamp,
    until: Option<Timestamp>,
    thresholds: Vec<Threshold>,
    /// Spent in this period by sessions that are closed.
    closed: Money,
    /// What all of them came to when they were last summed.
    pool: Pool,
    /// Its live sessions.
    pub members: Vec<SessionId>,
    /// When each threshold was reached.
    pub reached: BTreeMap<Threshold, Timestamp>,
}

impl Entry {
    fn begin(&mut self, (from, until): (Timestamp, Option<Timestamp>)) {
        if self.from != from || self.until != until {
            (self.from, self.until) = (from, until);
            (self.closed, self.pool) = (Money::ZERO, Pool::default());
            self.reached.clear();
        }
    }

    /// The furthest that it has ended sessions in this period.
    fn ended(&self) -> Option<Stage> {
        self.reached.keys().filter_map(|threshold| threshold.measure.stage()).max()
    }
}

/// What was let in and is not yet in any sum.
#[derive(Debug)]
struct Promise {
    number: u64,
    keys: Vec<Key>,
    needed: Money,
    /// Whether its session is where a sum finds it, or never will be.
    settled: bool,
}

/// A threshold that was reached just now.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    pub reading: BudgetReading,
    pub threshold: Threshold,
}

/// Everything that is known of shared budgets between sums.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub rules: Arc<[SharedBudget]>,
    pub entries: BTreeMap<Key, Entry>,
    promises: Vec<Promise>,
    promised: u64,
    summed_at: Option<Timestamp>,
    /// The periods of the rules that were summed.
    stretches: Vec<(Timestamp, Option<Timestamp>)>,
    /// The account that sessions run in which do not know theirs yet.
    pub home: Option<String>,
    crossings: Vec<Crossing>,
}

/// One pass over the sessions.
#[derive(Debug)]
pub(super) struct Sum {
    rules: Arc<[SharedBudget]>,
    now: Timestamp,
    stretches: Vec<(Timestamp, Option<Timestamp>)>,
    home: Option<String>,
    parts: BTreeMap<Key, Part>,
    settled: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Part {
    closed: Money,
    live: Pool,
    members: Vec<SessionId>,
}

impl Sum {
    /// Takes a closed session in.
    pub fn closed(&mut self, record: &Record, card: &RateCard) {
        self.meet(record);
        let ended = record.closed_at.unwrap_or(self.now);
        self.add(record, card, |from| ended < from, |part, spent| part.closed += spent);
    }

    /// Takes a live session in.
    pub fn live(&mut self, record: &Record, policy: &Policy, card: &RateCard) {
        self.meet(record);
        let commitment = meter::commitment(record, policy, card, self.now);
        let take = |part: &mut Part, spent| {
            part.live += Pool { spent, ..commitment };
            part.members.push(record.id.clone());
        };
        self.add(record, card, |_| false, take);
    }

    fn meet(&mut self, record: &Record) {
        if let Some(identity) = &record.identity {
            self.home = Some(identity.account.clone());
        }
    }

    fn add(
        &mut self,
        record: &Record,
        card: &RateCard,
        skip: impl Fn(Timestamp) -> bool,
        mut take: impl FnMut(&mut Part, Money),
    ) {
        // Budgets whose periods began together, or before the session, share the work.
        let mut known: Vec<(Timestamp, Money)> = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let from = self.stretches[place].0;
            let Some(key) = rule.key_of(record, self.home.as_deref()).filter(|_| !skip(from)) else { continue };
            let from = if record.opened_at >= from { Timestamp::default() } else { from };
            let spent = match known.iter().find(|(since, _)| *since == from) {
                Some((_, spent)) => *spent,
                None => {
                    let spent = meter::spent_since(record, card, from, self.now);
                    known.push((from, spent));
                    spent
                }
            };
            take(self.parts.entry((place, key)).or_default(), spent);
        }
    }
}

impl Pools {
    /// Whether the sums are young enough to decide by.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let over = self.stretches.iter().any(|(_, until)| until.is_some_and(|until| until <= now));
        let young = self.summed_at.is_some_and(|at| at <= now && now.since(at) < SUM_AGE);
        self.rules.is_empty() || young && !over
    }

    /// Whether the clock was set back into an earlier period, of which nothing is known any more.
    pub fn went_back(&self, now: Timestamp) -> bool {
        self.summed_at.is_some_and(|at| now < at)
            && self.rules.iter().zip(&self.stretches).any(|(rule, (from, _))| rule.stretch(now).0 < *from)
    }

    /// Begins a pass.
    pub fn begin_sum(&self, now: Timestamp) -> Sum {
        Sum {
            rules: Arc::clone(&self.rules),
            now,
            stretches: self.rules.iter().map(|rule| rule.stretch(now)).collect(),
            home: self.home.clone(),
            parts: BTreeMap::new(),
            settled: self.promises.iter().filter(|promise| promise.settled).map(|promise| promise.number).collect(),
        }
    }

    /// Takes a pass in; with `whole`, it holds every closed session and not only those since the last pass.
    pub fn take(&mut self, mut sum: Sum, whole: bool) {
        self.home = sum.home.take();
        self.summed_at = Some(sum.now);
        self.stretches.clone_from(&sum.stretches);
        self.promises.retain(|promise| !sum.settled.contains(&promise.number));
        // A budget of somebody named is there before its first session.
        for (place, rule) in self.rules.iter().enumerate() {
            if let Some(key) = rule.named() {
                sum.parts.entry((place, key)).or_default();
            }
        }
        for key in self.entries.keys() {
            sum.parts.entry(key.clone()).or_default();
        }
        for (key, part) in sum.parts {
            let rule = &self.rules[key.0];
            let entry = self.entries.entry(key.clone()).or_default();
            entry.begin(sum.stretches[key.0]);
            if entry.thresholds.is_empty() {
                entry.thresholds = rule.thresholds();
            }
            entry.closed = if whole { part.closed } else { entry.closed + part.closed };
            entry.pool = Pool { at: sum.now, spent: part.live.spent + entry.closed, ..part.live };
            entry.members = part.members;
            let promised = self.promises.iter().any(|promise| promise.keys.contains(&key));
            if entry.members.is_empty() && entry.closed == Money::ZERO && rule.named().is_none() && !promised {
                self.entries.remove(&key);
            }
        }
        let keys: Vec<Key> = self.entries.keys().cloned().collect();
        for key in keys {
            self.mark(&key, sum.now);
        }
    }

    /// Takes other rules; what stays the same keeps what it has reached.
    pub fn replace(&mut self, rules: Vec<SharedBudget>) {
        let places: BTreeMap<usize, usize> = (self.rules.iter().enumerate())
            .filter_map(|(old, rule)| Some((old, rules.iter().position(|it| it == rule)?)))
            .collect();
        let known = std::mem::take(&mut self.entries);
        self.entries =
            known.into_iter().filter_map(|((old, of), entry)| Some(((*places.get(&old)?, of), entry))).collect();
        self.promises.iter_mut().for_each(|promise| {
            promise.keys.retain_mut(|(place, _)| places.get(place).map(|new| *place = *new).is_some());
        });
        self.rules = rules.into();
        self.summed_at = None;
    }

    /// The budgets that a session of that owner and group spends.
    pub fn keys(&self, owner: &str, group: &str, account: Option<&str>) -> Vec<Key> {
        let account = account.or(self.home.as_deref());
        let key = |(place, rule): (usize, &SharedBudget)| Some((place, rule.key(owner, group, account)?));
        self.rules.iter().enumerate().filter_map(key).collect()
    }

    /// A budget as it stands at `now`, promises included; none where its period is over and not yet summed anew.
    pub fn reading(&self, key: &Key, now: Timestamp) -> Option<BudgetReading> {
        let rule = self.rules.get(key.0)?;
        let none = Entry::default();
        let (entry, stretch) = match self.entries.get(key) {
            Some(entry) => (entry, (entry.from, entry.until)),
            None => (&none, rule.stretch(now)),
        };
        if stretch.1.is_some_and(|until| until <= now) {
            return None;
        }
        let promises = self.promises.iter().filter(|promise| promise.keys.contains(key));
        let promised: Money = promises.map(|promise| promise.needed).sum();
        let known = !entry.thresholds.is_empty();
        let at = if known { entry.pool.at } else { now };
        Some(BudgetReading {
            name: rule.name.clone(),
            scope: rule.scope,
            of: key.1.clone(),
            period: rule.period,
            from: stretch.0,
            until: stretch.1,
            limit: rule.limit,
            thresholds: if known { entry.thresholds.clone() } else { rule.thresholds() },
            pool: Pool { at, reserved: entry.pool.reserved + promised, ..entry.pool },
            reached: entry.ended(),
        })
    }

    /// What a decision about a session sees.
    pub fn readings(&mut self, record: &Record, now: Timestamp) -> Vec<BudgetReading> {
        let account = record.identity.as_ref().map(|identity| identity.account.as_str());
        let keys = self.keys(&record.owner, &record.group, account);
        keys.iter()
            .filter(|key| self.entries.contains_key(*key))
            .cloned()
            .collect::<Vec<Key>>()
            .iter()
            .filter_map(|key| {
                self.mark(key, now);
                self.reading(key, now)
            })
            .collect()
    }

    /// Remembers which thresholds have come.
    fn mark(&mut self, key: &Key, now: Timestamp) {
        let Some(entry) = self.entries.get(key) else { return };
        if entry.thresholds.len() == entry.reached.len() {
            return;
        }
        let Some(reading) = self.reading(key, now) else { return };
        let come: Vec<(Threshold, Timestamp)> = reading
            .thresholds
            .iter()
            .filter(|threshold| !self.entries[key].reached.contains_key(threshold))
            .filter_map(|threshold| Some((*threshold, meter::reaches(&reading, threshold).filter(|at| *at <= now)?)))
            .collect();
        if let Some(entry) = self.entries.get_mut(key) {
            entry.reached.extend(come.iter().copied());
        }
        let crossing = |(threshold, _)| Crossing { reading: reading.clone(), threshold };
        self.crossings.extend(come.into_iter().map(crossing));
    }

    /// What was reached and not yet told.
    pub fn untold(&mut self) -> Vec<Crossing> {
        std::mem::take(&mut self.crossings)
    }

    /// The sessions that a budget ends now or before the next sum, with how far.
    pub fn ending(&self, now: Timestamp) -> Vec<(SessionId, Stage)> {
        let mut ending = Vec::new();
        for (key, entry) in &self.entries {
            let soon = |reading: BudgetReading| {
                let ends = reading.thresholds.iter().filter_map(|threshold| {
                    let at = meter::reaches(&reading, threshold)?;
                    threshold.measure.stage().filter(|_| at <= now + SUM_AGE)
                });
                ends.max().max(reading.reached)
            };
            if let Some(stage) = self.reading(key, now).and_then(soon) {
                ending.extend(entry.members.iter().map(|member| (member.clone(), stage)));
            }
        }
        ending
    }

    /// Counts what is being let in, at once; its number.
    pub fn promise(&mut self, keys: Vec<Key>, needed: Money) -> u64 {
        self.promised += 1;
        self.promises.push(Promise { number: self.promised, keys, needed, settled: false });
        self.promised
    }

    /// From the next sum on, the sessions themselves say what they need.
    pub fn settle(&mut self, number: u64) {
        if let Some(promise) = self.promises.iter_mut().find(|promise| promise.number == number) {
            promise.settled = true;
        }
    }
}
