//! A fake engine for the tests of the surfaces: one live session, everything asked of it is written down.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Auth, ensure_token};
use crate::{
    domain::model::{
        Basis, Cause, Charge, ChargeQuery, CostLine, CostQuery, CostReport, Entry, Estimate, Event, Forecast, Identity,
        Item, LastActivity, Life, Limit, LimitKind, Measure, Money, Net, Period, Phase, Receipt, ReceiptResource,
        Request, ResourceKey, ResourceKind, Scope, SessionId, Share, Sign, Slice, Source, SourceReading, Span,
        Timestamp, Units,
    },
    reconcile::{
        handle::{
            CommandError, Control, Orphan, OrphanState, SweepJob, SweepReport, SweepRequest, SweepStage, Swept, Verdict,
        },
        status::{
            BudgetStatus, HealthStatus, LeaseStatus, NetStatus, NetWord, ResourceStatus, SessionStatus, ThresholdStatus,
        },
    },
};

/// 2026-11-22 14:00:00 UTC.
pub(crate) fn noon() -> Timestamp {
    "2026-11-22T14:00:00Z".parse().unwrap()
}

pub(crate) fn id() -> SessionId {
    "admission-7k2m9q".parse().unwrap()
}

fn usd(text: &str) -> Money {
    format!("{text} USD").parse().unwrap()
}

/// A session that has run for 30 minutes and has been idle for 12.
pub(crate) fn running() -> SessionStatus {
    let opened_at = noon() - Span::from_mins(30);
    let live = |kind, name: &str| ResourceStatus {
        key: ResourceKey::only(kind),
        name: name.into(),
        id: Some(format!("arn:aws:x:{name}")),
        life: Life::Live,
        ours: true,
        fault: None,
        waiting: None,
    };
    SessionStatus {
        id: id(),
        name: "admission".into(),
        owner: "ada".into(),
        phase: Phase::Running,
        phase_since: opened_at + Span::from_mins(1),
        doing: "watching".into(),
        identity: Some(Identity {
            account: "000000000000".into(),
            arn: "arn:aws:iam::000000000000:user/sandbox".into(),
            region: "us-east-1".into(),
        }),
        opened_at,
        url: Some("http://127.0.0.9:5000".into()),
        health: HealthStatus {
            healthy: Some(true),
            detail: "GET /ping answered 200".into(),
            at: Some(noon()),
            latency_us: 1500,
        },
        last_activity: Some(LastActivity {
            at: noon() - Span::from_mins(12),
            source: "requests".into(),
            what: "3 requests".into(),
        }),
        sources: vec![
            SourceReading {
                source: Source::Requests,
                sign: Sign::Quiet { since: noon() - Span::from_mins(12) },
                read_at: noon() - Span::from_secs(4),
                latency: Span::ZERO,
                interval: Span::from_secs(15),
            },
            SourceReading {
                source: Source::Logs,
                sign: Sign::Unknown { since: noon() - Span::from_mins(2), why: "no right to read them".into() },
                read_at: noon() - Span::from_secs(10),
                latency: Span::from_secs(90),
                interval: Span::from_mins(1),
            },
        ],
        leases: vec![LeaseStatus {
            id: "77-1".into(),
            by: "train.py".into(),
            opened_at: noon() - Span::from_mins(10),
            expires_at: noon() + Span::from_mins(4),
        }],
        idle: Some(Span::from_mins(12)),
        spend: usd("0.0087"),
        rate: usd("0.0173425"),
        budget: usd("1.50"),
        budget_left: usd("1.49"),
        teardown_cost: usd("0.0007"),
        overshoot: usd("0.001"),
        forecast: Forecast {
            hour: (noon() + Span::from_mins(60), usd("0.0260425")),
            day: (noon() + Span::from_mins(600), usd("0.182125")),
        },
        deadline: Some(noon() + Span::from_mins(90)),
        nets: vec![NetStatus {
            net: Net::Scheduler,
            state: NetWord::Holds,
            required: false,
            detail: "schedules outside the task stop it".into(),
            acts_at: Some(noon() + Span::from_mins(89)),
        }],
        limits: vec![
            Limit {
                kind: LimitKind::Idle,
                cause: Cause::Idle,
                at: noon() + Span::from_mins(8),
                why: "idle for 12m of 20m".into(),
                moved_by: "a request to the application, or `labguard touch`".into(),
                spend: usd("0.011"),
            },
            Limit {
                kind: LimitKind::Lifetime,
                cause: Cause::Lifetime,
                at: noon() + Span::from_mins(90),
                why: "up for 30m of 2h".into(),
                moved_by: "`labguard extend --lifetime`".into(),
                spend: usd("0.0347"),
            },
        ],
        ending: None,
        restarts: 0,
        resources: vec![live(ResourceKind::Cluster, "lab"), live(ResourceKind::Task, "token-1")],
        things_left: 2,
        image: None,
        blockers: vec![],
        next_look: Some(noon() + Span::from_secs(10)),
        next_try: None,
        alarm: None,
        closed_at: None,
        at: noon(),
    }
}

pub(crate) fn receipt() -> Receipt {
    let opened_at = noon() - Span::from_mins(30);
    Receipt {
        session: id(),
        name: "admission".into(),
        owner: "ada".into(),
        group: "ml-101".into(),
        identity: running().identity,
        cause: Some(Cause::Idle),
        cause_detail: "idle for 20m of 20m".into(),
        opened_at,
        ended_at: noon(),
        restarts: 0,
        resources: vec![
            ReceiptResource {
                key: ResourceKey::only(ResourceKind::Cluster),
                name: "lab".into(),
                id: Some("arn:aws:ecs:us-east-1:000000000000:cluster/lab".into()),
                ours: true,
                born_at: Some(opened_at + Span::from_secs(2)),
                gone_at: Some(noon()),
                remark: None,
            },
            ReceiptResource {
                key: ResourceKey::only(ResourceKind::ExecutionRole),
                name: "shared-role".into(),
                id: Some("arn:aws:iam::000000000000:role/shared-role".into()),
                ours: false,
                born_at: Some(opened_at + Span::from_secs(2)),
                gone_at: None,
                remark: None,
            },
        ],
        lines: vec![CostLine {
            key: Some(ResourceKey::task(1)),
            item: "Fargate vCPU".into(),
            billed_as: Some(Item::VcpuX86),
            quantity: "0.25 vCPU × 1700 s".into(),
            units: Units { of: 256 * 1700, per: 1024 * 3600 },
            from: Some(opened_at),
            until: Some(opened_at + Span::from_secs(1700)),
            unit_price: usd("0.04048"),
            unit: "vCPU-hour".into(),
            basis: Basis::Published,
            amount: usd("0.004778889"),
        }],
        total: usd("0.004778889"),
        budget: usd("1.50"),
        rates_as_of: "2026-11-01".into(),
        proven_clean: true,
        billed: None,
    }
}

/// Two days of two sessions.
pub(crate) fn report(query: &CostQuery) -> CostReport {
    let midnight: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let (old, new) = ("preview-3fmxta".to_owned(), id().to_string());
    let share = |name: &String, amount, basis| Share { name: name.clone(), amount: usd(amount), sessions: 1, basis };
    let slice = |from, until, amount, shares| Slice { from, until, amount: usd(amount), shares };
    CostReport {
        since: midnight - Span::from_mins(24 * 60),
        until: noon(),
        by: query.by,
        bucket: query.bucket,
        zone: query.zone,
        shares: vec![share(&old, "0.40", Basis::Estimated), share(&new, "0.10", Basis::Published)],
        slices: vec![
            slice(midnight - Span::from_mins(24 * 60), midnight, "0.30", vec![(old.clone(), usd("0.30"))]),
            slice(midnight, noon(), "0.20", vec![(new, usd("0.10")), (old, usd("0.10"))]),
        ],
        sessions: 2,
        live: 1,
        basis: Basis::Estimated,
        total: usd("0.50"),
    }
}

/// The line of [`receipt`], as a charge.
pub(crate) fn charge() -> Charge {
    let Receipt { session, name, owner, group, identity, opened_at, lines, .. } = receipt();
    Charge {
        session,
        name,
        owner,
        group,
        account: identity.as_ref().map(|identity| identity.account.clone()),
        region: identity.map(|identity| identity.region).unwrap_or_default(),
        month: ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-12-01T00:00:00Z".parse().unwrap()),
        from: opened_at,
        until: opened_at + Span::from_secs(1700),
        resource_id: Some("arn:aws:ecs:us-east-1:000000000000:task/lab/1".into()),
        resource_name: Some("token-1".into()),
        line: lines.into_iter().next().unwrap(),
    }
}

pub(crate) fn estimate() -> Estimate {
    Estimate {
        name: "admission".into(),
        resources: vec![(ResourceKind::Cluster, "lab".into()), (ResourceKind::Task, "one task".into())],
        nets: vec![("sentinel".into(), "off".into())],
        per_hour: vec![CostLine {
            key: None,
            item: "Fargate vCPU".into(),
            billed_as: Some(Item::VcpuX86),
            quantity: "0.25 vCPU".into(),
            units: Units { of: 256 * 3600, per: 1024 * 3600 },
            from: None,
            until: None,
            unit_price: usd("0.04048"),
            unit: "vCPU-hour".into(),
            basis: Basis::Published,
            amount: usd("0.01012"),
        }],
        rate: usd("0.0173425"),
        until: vec![("lifetime".into(), Span::from_mins(120), usd("0.034685"))],
        forgotten_month: usd("12.660025"),
        least: usd("0.0052"),
        teardown: usd("0.0008"),
        overshoot: usd("0.001"),
        warnings: vec!["port 5000 is open to the whole internet".into()],
    }
}

/// A class's budget of the day that takes no further session since an hour ago.
pub(crate) fn budget() -> BudgetStatus {
    let threshold = |percent: u8, measure, amount, reached_at, due| ThresholdStatus {
        percent,
        measure,
        amount: usd(amount),
        reached_at,
        due,
    };
    let midnight: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let due = noon() + Span::from_mins(234);
    BudgetStatus {
        name: "class".into(),
        scope: Scope::Group,
        of: "ml".into(),
        period: Period::Day,
        zone: "UTC".into(),
        from: Some(midnight),
        until: Some(midnight + Span::from_mins(24 * 60)),
        limit: usd("5.00"),
        spent: usd("4.60"),
        percent: 92,
        rate: usd("0.10"),
        teardown: usd("0.01"),
        reserved: Money::ZERO,
        overshoot: usd("0.006"),
        thresholds: vec![
            threshold(50, Measure::Notify, "2.50", None, None),
            threshold(90, Measure::Block, "4.50", Some(noon() - Span::from_mins(60)), None),
            threshold(100, Measure::Teardown, "5.00", None, Some(due)),
        ],
        next: "tears its sessions down (100 %)".into(),
        next_at: Some(due),
        sessions: vec![id()],
        at: noon(),
    }
}

/// A sweep of one cluster.
pub(crate) fn swept(remove: bool, sessions: Vec<String>) -> SweepReport {
    let cluster = Orphan {
        kind: "cluster".into(),
        id: "arn:aws:ecs:us-east-1:000000000000:cluster/old".into(),
        made_at: None,
        state: if remove { OrphanState::Gone } else { OrphanState::Found },
        detail: remove.then(|| "removed".to_owned()),
    };
    let session = Swept {
        session: "old-abcdef".into(),
        owner: Some("ada".into()),
        known: false,
        verdict: Verdict::Orphan,
        why: "nothing runs".into(),
        running: Vec::new(),
        newest_at: Some(noon()),
        things: vec![cluster],
    };
    SweepReport {
        asked: SweepRequest { remove, sessions },
        stage: SweepStage::Done,
        region: "us-east-1".into(),
        began_at: noon(),
        ended_at: Some(noon()),
        sessions: vec![session],
        not_searched: Vec::new(),
        unknown: Vec::new(),
        failure: None,
        failure_kind: None,
    }
}

/// A daemon over TCP whose engine is not one; it ends when it is dropped.
pub(crate) struct Daemon {
    pub engine: Arc<Fake>,
    pub url: String,
    folder: tempfile::TempDir,
    _stop: DropGuard,
}

impl Daemon {
    /// Its token file.
    pub(crate) fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }
}

pub(crate) async fn daemon() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let token = ensure_token(&folder.path().join("token")).unwrap();
    let engine = Fake::new();
    let auth = Auth { token: token.into(), allowed_hosts: vec![] };
    let router = super::router(engine.clone(), Arc::new(String::new), auth);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(super::serve(listener, router, stop.clone()));
    Daemon { engine, url, folder, _stop: stop.drop_guard() }
}

/// The engine that is not one.
pub(crate) struct Fake {
    pub asked: Mutex<Vec<String>>,
    pub status: watch::Sender<Arc<SessionStatus>>,
    pub sweep: watch::Sender<Arc<SweepReport>>,
    pub refuse: Mutex<Option<CommandError>>,
    pub stands_still: AtomicBool,
    /// Knows of no sweep, as after a restart.
    pub forgot: AtomicBool,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: Mutex::default(),
            status: watch::Sender::new(Arc::new(running())),
            sweep: watch::Sender::new(Arc::new(swept(true, Vec::new()))),
            refuse: Mutex::default(),
            stands_still: AtomicBool::new(false),
            forgot: AtomicBool::new(false),
        })
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note<T>(&self, what: String, value: T) -> Result<T, CommandError> {
        self.asked.lock().unwrap().push(what);
        match &*self.refuse.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(value),
        }
    }

    fn known(&self, session: &str) -> Result<(), CommandError> {
        let status = self.status.borrow();
        if session == status.id.as_str() || session == status.name {
            Ok(())
        } else {
            Err(CommandError::UnknownSession(session.to_owned()))
        }
    }
}

impl Control for Fake {
    fn up(&self, policy: String) -> BoxFuture<'_, Result<SessionId, CommandError>> {
        Box::pin(async move {
            if policy != "admission" {
                return Err(CommandError::UnknownPolicy { name: policy, known: "admission".into() });
            }
            self.note(format!("up {policy}"), id())
        })
    }

    fn request(&self, session: String, request: Request) -> BoxFuture<'_, Result<SessionId, CommandError>> {
        Box::pin(async move {
            self.known(&session)?;
            self.note(format!("{session} {}", serde_json::to_string(&request).unwrap()), id())
        })
    }

    fn list(&self) -> Vec<Arc<SessionStatus>> {
        vec![self.status.borrow().clone()]
    }

    fn get(&self, session: &str) -> Result<Arc<SessionStatus>, CommandError> {
        self.known(session)?;
        Ok(self.status.borrow().clone())
    }

    fn follow(&self, session: &str) -> Result<watch::Receiver<Arc<SessionStatus>>, CommandError> {
        self.known(session)?;
        Ok(self.status.subscribe())
    }

    fn history(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Receipt>, CommandError>> {
        Box::pin(async move { self.note(format!("history {limit}"), vec![receipt()]) })
    }

    fn receipt(&self, session: String) -> BoxFuture<'_, Result<Receipt, CommandError>> {
        Box::pin(async move {
            self.known(&session)?;
            self.note(format!("receipt {session}"), receipt())
        })
    }

    fn entries(&self, session: String) -> BoxFuture<'_, Result<Vec<Entry>, CommandError>> {
        Box::pin(async move {
            self.known(&session)?;
            let entry = Entry { seq: 1, at: noon(), session: id(), event: Event::Resumed };
            self.note(format!("journal {session}"), vec![entry])
        })
    }

    fn cost(&self, query: CostQuery) -> BoxFuture<'_, Result<CostReport, CommandError>> {
        Box::pin(async move {
            let by = (query.by.name(), query.bucket.name(), query.zone);
            self.note(format!("cost by {} {} {}", by.0, by.1, by.2), report(&query))
        })
    }

    fn charges(&self, query: ChargeQuery) -> BoxFuture<'_, Result<Vec<Charge>, CommandError>> {
        Box::pin(async move {
            if let Some(session) = &query.session {
                self.known(session)?;
            }
            self.note(format!("charges {}", serde_json::to_string(&query).unwrap()), vec![charge()])
        })
    }

    fn reconcile(&self, session: String, agreed: bool) -> BoxFuture<'_, Result<Receipt, CommandError>> {
        Box::pin(async move {
            self.known(&session)?;
            self.note(format!("reconcile {session} {agreed}"), receipt())
        })
    }

    fn plan(&self, policy: &str) -> Result<Estimate, CommandError> {
        self.note(format!("plan {policy}"), estimate())
    }

    fn budgets(&self) -> BoxFuture<'_, Vec<BudgetStatus>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push("budgets".into());
            vec![budget()]
        })
    }

    fn orphans(&self, sessions: Vec<String>) -> BoxFuture<'_, Result<SweepReport, CommandError>> {
        Box::pin(async move { self.note(format!("orphans {}", sessions.join(" ")), swept(false, sessions)) })
    }

    fn sweep(&self, sessions: Vec<String>) -> Result<SweepJob, CommandError> {
        let report = self.note(format!("sweep {}", sessions.join(" ")), swept(true, sessions))?;
        Ok(SweepJob { joined: false, report: watch::channel(Arc::new(report)).1 })
    }

    fn sweeping(&self) -> Option<watch::Receiver<Arc<SweepReport>>> {
        self.asked.lock().unwrap().push("sweeping".into());
        (!self.forgot.load(Ordering::Relaxed)).then(|| self.sweep.subscribe())
    }

    fn wake_all(&self) {
        self.asked.lock().unwrap().push("wake_all".into());
    }

    fn lives(&self) -> bool {
        !self.stands_still.load(Ordering::Relaxed)
    }

    fn now(&self) -> Timestamp {
        noon()
    }
}
