//! Reloading: on SIGHUP and when a file changes. A bad file changes nothing and says so.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{hours, rates, systemd};
use crate::{
    clock::Clock,
    config::{self, Settings, watch::Reloader},
    reconcile::Engine,
    schedule::Schedule,
};

/// What a reload works on.
pub(super) struct Reload {
    pub engine: Arc<Engine>,
    pub schedule: Arc<Mutex<Option<Schedule>>>,
    pub request: config::Request,
    /// What the daemon talks to; fixed at its start.
    pub region: String,
    /// As of the last good load.
    pub settings: Settings,
    /// SIGHUP, heard since before anybody knew that the daemon runs.
    pub hangups: Hangups,
}

/// What hears SIGHUP from when it is made: a signal that comes before the configuration is watched is kept, and ends no
/// process.
#[derive(Debug)]
pub struct Hangups(mpsc::Receiver<()>);

impl Reload {
    /// Watches and reloads until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut reloader, mut signals) = Reloader::new();
        self.watch(&mut reloader);
        // A change between the start's load and the watch has no signal of its own.
        self.take_in().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = signals.recv() => {
                    // Links may lead elsewhere now, and folders be there that were not.
                    self.watch(&mut reloader);
                    self.load().await;
                }
                Some(()) = self.hangups.0.recv() => self.load().await,
            }
        }
    }

    fn watch(&self, reloader: &mut Reloader) {
        if self.settings.daemon.watch_files
            && let Err(error) = reloader.watch(&self.watched())
        {
            tracing::warn!(error = %error.source, "{error}");
        }
    }

    /// The configuration's files, and what was imported.
    fn watched(&self) -> Vec<PathBuf> {
        let mut watched = self.request.watched();
        watched.push(rates::file(&self.settings));
        watched
    }

    async fn load(&mut self) {
        systemd::reloading();
        self.take_in().await;
        systemd::ready();
    }

    async fn take_in(&mut self) {
        match config::load(&self.request) {
            Ok(mut settings) => match rates::take_in(&mut settings) {
                Ok(()) => self.apply(settings).await,
                Err(error) => tracing::error!("nothing was reloaded, what was in force stays: {error}"),
            },
            Err(mistakes) => {
                tracing::error!("the configuration was not reloaded, the old one stays in force:\n{mistakes}");
            }
        }
    }

    async fn apply(&mut self, settings: Settings) {
        if settings.daemon != self.settings.daemon || settings.aws != self.settings.aws {
            tracing::warn!("[daemon] and [aws] are read at the start only; restart to change them");
        }
        if !settings.sessions.is_empty() && settings.region() != self.region {
            tracing::error!(
                "the configuration was not reloaded, the old one stays in force: its sessions are in {}, and this daemon \
                 was started for {}; restart it, or run another one with a state folder of its own",
                settings.region(),
                self.region
            );
            return;
        }
        self.prices(&settings);
        self.budgets(&settings).await;
        if settings.sessions == self.settings.sessions {
            (self.settings.budgets, self.settings.rates) = (settings.budgets, settings.rates);
            tracing::debug!("the configuration was reloaded; no session's policy changed");
            return;
        }
        // Windows are levels: without its wake-up one closes at the session's next look, a minute late at most.
        if let Some(schedule) = &mut *self.schedule.lock().await
            && let Err(error) = schedule.replace(hours(&settings.sessions)).await
        {
            tracing::error!(%error, "the changed hours could not be scheduled; the old wake-ups stay");
        }
        let changed = self.engine.replace_policies(settings.sessions.clone()).await;
        tracing::info!(live_sessions_changed = changed, "the configuration was reloaded");
        self.settings = settings;
    }

    /// Live sessions are billed by other prices from now on; what was billed before stays as it was.
    fn prices(&self, settings: &Settings) {
        let card = settings.rates.card(&self.region);
        let of = card.describe();
        if self.engine.replace_card(card) {
            tracing::info!(prices = %of, "other prices are in force from now on");
            if let Some(warning) = settings.age_warning(Clock::System.now()) {
                tracing::warn!("{warning}");
            }
        }
    }

    /// Shared budgets hold at once, for live sessions too.
    async fn budgets(&self, settings: &Settings) {
        match self.engine.replace_budgets(settings.budgets.clone()).await {
            Ok(true) => tracing::info!(budgets = settings.budgets.len(), "the shared budgets were reloaded"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the shared budgets were not reloaded, the old ones stay in force: the journal cannot be read");
            }
        }
    }
}

/// Hears SIGHUP from now on, for [`super::Daemon::reload_on_change`]. Needs a tokio runtime.
#[cfg(unix)]
#[must_use]
pub fn hangups() -> Hangups {
    let (tell, hangups) = mpsc::channel(1);
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        Ok(mut signal) => {
            tokio::spawn(async move { while signal.recv().await.is_some() && tell.send(()).await.is_ok() {} });
        }
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be heard; files are still watched"),
    }
    Hangups(hangups)
}

/// There is no SIGHUP here.
#[cfg(not(unix))]
#[must_use]
pub fn hangups() -> Hangups {
    Hangups(mpsc::channel(1).1)
}
