//! The end of an engine as a crash ends it: at once, wherever it is. For the tests that restart one.

use super::lab::Lab;

/// Ends it without a word: nothing is flushed, told or waited for.
pub async fn crash(lab: Lab) {
    for task in &lab.tasks {
        task.abort();
    }
    for task in lab.tasks {
        let _ = task.await;
    }
}
