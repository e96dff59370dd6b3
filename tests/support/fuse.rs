//! Stops an engine for ever at its n-th checkpoint, as a crash would. For the tests that restart one, or never do.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use futures::FutureExt;
use labguard::reconcile::Checkpoint;
use tokio::sync::Notify;

/// Burns down by one at each checkpoint while it is armed.
#[derive(Clone)]
pub struct Fuse {
    left: Arc<AtomicI64>,
    /// Once for each time that it is blown.
    pub told: Arc<Notify>,
}

impl Fuse {
    pub fn new() -> Self {
        Self { left: Arc::new(AtomicI64::new(i64::MAX)), told: Arc::new(Notify::new()) }
    }

    /// At the n-th checkpoint from now on, counted from 1.
    pub fn arm(&self, nth: i64) {
        self.left.store(nth, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }

    pub async fn blown(&self) {
        self.told.notified().await;
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let fuse = self.clone();
        Arc::new(move |_place| {
            let fuse = fuse.clone();
            async move {
                if fuse.left.load(Ordering::SeqCst) == i64::MAX {
                    return;
                }
                let left = fuse.left.fetch_sub(1, Ordering::SeqCst);
                if left <= 1 {
                    // Everything that reaches a checkpoint from now on is dead too.
                    if left == 1 {
                        fuse.told.notify_one();
                    }
                    std::future::pending::<()>().await;
                }
            }
            .boxed()
        })
    }
}
