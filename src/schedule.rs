//! Cron wake-ups: when a policy's hours close, the engine looks again.
//!
//! Guarantees: a job carries no data and decides nothing; it only wakes the driver, which reads the state and
//! the clock itself. So a tick that is missed, late or doubled changes nothing but the promptness.

use std::sync::Arc;

use chrono_tz::Tz;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::reconcile::handle::Handle;

/// Why there is no schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Not an IANA time zone.
    #[error("\"{zone}\" is not a time zone; expected one such as Europe/Berlin")]
    Zone {
        /// What was given.
        zone: String,
    },
    /// Not a cron expression.
    #[error("\"{cron}\" is not a cron expression of five or six fields; expected one such as \"0 18 * * Mon-Fri\"")]
    Cron {
        /// What was given.
        cron: String,
        /// What the parser said.
        #[source]
        source: JobSchedulerError,
    },
    /// The scheduler itself failed.
    #[error("the cron scheduler failed")]
    Scheduler(#[from] JobSchedulerError),
}

/// The running jobs.
pub struct Schedule {
    handle: Handle,
    scheduler: JobScheduler,
    jobs: usize,
}

impl Schedule {
    /// One job for every different pair of cron expression and time zone.
    ///
    /// # Errors
    /// When an expression or a zone is wrong (`config` refuses those earlier), or the scheduler cannot start.
    pub async fn start(handle: Handle, hours: Vec<(String, String)>) -> Result<Self, ScheduleError> {
        let (scheduler, jobs) = scheduled(&handle, hours).await?;
        Ok(Self { handle, scheduler, jobs })
    }

    /// Other hours after a reload. The old jobs go on when the new ones are wrong.
    ///
    /// # Errors
    /// As [`Schedule::start`].
    pub async fn replace(&mut self, hours: Vec<(String, String)>) -> Result<(), ScheduleError> {
        let (scheduler, jobs) = scheduled(&self.handle, hours).await?;
        let mut old = std::mem::replace(&mut self.scheduler, scheduler);
        self.jobs = jobs;
        old.shutdown().await?;
        // A window that closed between the two is seen now.
        self.handle.wake_all();
        Ok(())
    }

    /// How many jobs there are.
    #[must_use]
    pub const fn jobs(&self) -> usize {
        self.jobs
    }

    /// No more wake-ups.
    ///
    /// # Errors
    /// When the scheduler cannot be stopped.
    pub async fn stop(mut self) -> Result<(), ScheduleError> {
        Ok(self.scheduler.shutdown().await?)
    }
}

async fn scheduled(handle: &Handle, mut hours: Vec<(String, String)>) -> Result<(JobScheduler, usize), ScheduleError> {
    hours.sort();
    hours.dedup();
    let jobs: Vec<Job> = hours.iter().map(|(cron, zone)| job(handle, cron, zone)).collect::<Result<_, _>>()?;
    let scheduler = JobScheduler::new().await?;
    let count = jobs.len();
    for job in jobs {
        scheduler.add(job).await?;
    }
    scheduler.start().await?;
    Ok((scheduler, count))
}

fn job(handle: &Handle, cron: &str, zone: &str) -> Result<Job, ScheduleError> {
    let zone: Tz = zone.parse().map_err(|_| ScheduleError::Zone { zone: zone.to_owned() })?;
    let handle = Arc::clone(handle);
    Job::new_tz(with_seconds(cron), zone, move |_id, _scheduler| handle.wake_all())
        .map_err(|source| ScheduleError::Cron { cron: cron.to_owned(), source })
}

/// The scheduler wants seconds; five fields mean second 0.
fn with_seconds(cron: &str) -> String {
    if cron.split_whitespace().count() == 5 { format!("0 {cron}") } else { cron.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::fake::Fake;

    fn hours(cron: &str, zone: &str) -> Vec<(String, String)> {
        vec![(cron.to_owned(), zone.to_owned())]
    }

    #[tokio::test]
    async fn a_tick_wakes_the_driver_and_nothing_else() {
        let engine = Fake::new();
        let schedule = Schedule::start(engine.clone(), hours("* * * * * *", "Europe/Berlin")).await.unwrap();
        // The cron scheduler keeps the machine's own time: paused time cannot move it.
        tokio::time::timeout(Duration::from_secs(5), async {
            while engine.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        schedule.stop().await.unwrap();
        assert!(engine.asked().iter().all(|asked| asked == "wake_all"));
    }

    #[tokio::test]
    async fn the_same_hours_of_many_policies_are_one_job() {
        let mut all = hours("0 18 * * Mon-Fri", "Europe/Berlin");
        all.extend(hours("0 18 * * Mon-Fri", "Europe/Berlin"));
        all.extend(hours("0 0 18 * * Mon-Fri", "UTC"));
        let schedule = Schedule::start(Fake::new(), all).await.unwrap();
        assert_eq!(schedule.jobs(), 2);
        schedule.stop().await.unwrap();
    }

    #[tokio::test]
    async fn wrong_hours_leave_the_old_ones_in_force() {
        let mut schedule = Schedule::start(Fake::new(), hours("0 18 * * *", "UTC")).await.unwrap();
        assert!(matches!(schedule.replace(hours("0 18 * * *", "Mars/Base")).await, Err(ScheduleError::Zone { .. })));
        assert!(matches!(schedule.replace(hours("sometimes", "UTC")).await, Err(ScheduleError::Cron { .. })));
        assert_eq!(schedule.jobs(), 1);
        schedule.replace(Vec::new()).await.unwrap();
        assert_eq!(schedule.jobs(), 0);
        schedule.stop().await.unwrap();
    }
}
