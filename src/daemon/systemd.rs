//! What systemd is told: readiness, reloads, the watchdog, and that we are stopping.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing. The protocol is sd_notify(3).

use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

#[cfg(target_os = "linux")]
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// The daemon answers.
pub fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] follows.
pub fn reloading() {
    #[cfg(target_os = "linux")]
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the monotonic clock cannot be read"),
    }
}

/// The daemon drains; `left` sessions are still being torn down.
pub fn stopping(left: usize) {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Stopping, NotifyState::Status(&format!("draining, {left} sessions being torn down"))]);
    #[cfg(not(target_os = "linux"))]
    let _ = left;
}

/// Says that we live, twice per watchdog period, until `stop`. The ticks come from the runtime that runs the
/// loop: when it hangs, they end and systemd restarts the daemon.
pub async fn watchdog(stop: CancellationToken) {
    #[cfg(target_os = "linux")]
    if let Some(period) = sd_notify::watchdog_enabled() {
        let mut tick = tokio::time::interval(period / 2);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
    #[cfg(not(target_os = "linux"))]
    stop.cancelled().await;
}
