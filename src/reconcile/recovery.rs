//! Start-up: every open session of the journal gets its slot back and is looked at.
//!
//! There is no other recovery code: the loop goes on from the record, whatever the instant of the crash.

use std::sync::Arc;

use super::engine::Engine;
use crate::{
    domain::{model::Record, policy::Policy},
    journal::{JournalError, Which},
};

/// Why recovery is refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal cannot be read.
    #[error("failed to read the journal")]
    Journal(#[source] JournalError),
    /// A journalled policy is not one this version understands.
    #[error(
        "session {session} was opened under a policy this version cannot read; run the version that opened it, or end it there first"
    )]
    Policy {
        /// Which session.
        session: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Gives every open session its slot; answers how many.
///
/// # Errors
/// [`RecoveryError`]; a session that cannot be understood is never ignored, since it may cost money.
pub async fn recover(engine: &Arc<Engine>) -> Result<usize, RecoveryError> {
    let records = engine.journal.records(Which::Open).await.map_err(RecoveryError::Journal)?;
    let mut sessions: Vec<(Record, Policy)> = Vec::with_capacity(records.len());
    for record in records {
        let policy = serde_json::from_value(record.policy.clone())
            .map_err(|source| RecoveryError::Policy { session: record.id.to_string(), source })?;
        sessions.push((record, policy));
    }
    let count = sessions.len();
    for (record, policy) in sessions {
        tracing::info!(session.id = %record.id, phase = %record.phase, "session taken over from the journal");
        engine.admit(record, policy);
    }
    Ok(count)
}
