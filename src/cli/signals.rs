//! Ctrl-C and SIGTERM: the first asks, the second insists.

use tokio::sync::watch;

/// Counts the signals of this process.
#[derive(Clone, Debug)]
pub struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Starts to listen; from here on Ctrl-C and SIGTERM no longer end the process by themselves.
    #[must_use]
    pub fn listen() -> Self {
        let (count, signals) = watch::channel(0);
        let mut sources = Sources::open();
        tokio::spawn(async move {
            while sources.one().await {
                count.send_modify(|count| *count += 1);
            }
        });
        Self(signals)
    }

    /// Signals that never come.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self(watch::channel(0).1)
    }

    /// Signals given by hand.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<u32>, Self) {
        let (count, signals) = watch::channel(0);
        (count, Self(signals))
    }

    /// How many came so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits for the `nth` signal, counted from the start.
    pub async fn nth(&mut self, nth: u32) {
        if self.0.wait_for(|count| *count >= nth).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Opened once, so that no signal between two waits is lost.
#[cfg(unix)]
struct Sources {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Sources {
    fn open() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self { interrupt: signal(SignalKind::interrupt()).ok(), terminate: signal(SignalKind::terminate()).ok() }
    }

    /// Waits for one of them; false when no more can come.
    async fn one(&mut self) -> bool {
        match (&mut self.interrupt, &mut self.terminate) {
            (Some(interrupt), Some(terminate)) => tokio::select! {
                came = interrupt.recv() => came.is_some(),
                came = terminate.recv() => came.is_some(),
            },
            (Some(only), None) | (None, Some(only)) => only.recv().await.is_some(),
            (None, None) => false,
        }
    }
}

#[cfg(not(unix))]
struct Sources;

#[cfg(not(unix))]
impl Sources {
    const fn open() -> Self {
        Self
    }

    async fn one(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
