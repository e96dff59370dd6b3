//! What systemd is told: readiness, reloads, the watchdog, and that we are stopping.
//!
//! Without systemd (no `NOTIFY_SOCKET`) every call does nothing. The protocol is sd_notify(3).

#[cfg(target_os = "linux")]
use std::time::Duration;

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

/// How much longer systemd waits for us while we drain, each time it is told (sd_notify(3), `EXTEND_TIMEOUT_USEC`).
#[cfg(target_os = "linux")]
const EXTENSION: Duration = Duration::from_secs(120);

/// The daemon still drains: a time-out of systemd's that is shorter than the grace must not cut a teardown off.
pub fn draining(left: usize) {
    #[cfg(target_os = "linux")]
    {
        let micros = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        let status = format!("draining, {left} sessions being torn down");
        tell(&[NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(&status)]);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = left;
}

/// Says that we live, twice per watchdog period, until `stop`, for as long as `lives` says so: when the runtime hangs
/// or the loop stands still, the ticks end and systemd restarts the daemon.
pub async fn watchdog(lives: impl Fn() -> bool, stop: CancellationToken) {
    #[cfg(target_os = "linux")]
    if let Some(period) = sd_notify::watchdog_enabled() {
        let mut tick = tokio::time::interval(period / 2);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if lives() {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the loop stands still: sessions are not guarded; systemd is not told that we live");
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = lives;
    #[cfg(not(target_os = "linux"))]
    stop.cancelled().await;
}
