//! Images without a session: what `labguard image` looks at and pushes. Needs no daemon; opens no journal.

use std::path::PathBuf;

use super::connection::cloud_config;
use crate::{
    clock::Clock,
    cloud::Cloud,
    config::Settings,
    domain::model::{Fault, ImageSpec},
    image::{self, Desk, ImageSummary, Pushed, Report, Target},
    telemetry::prometheus::Metrics,
};

/// What is needed to supply an image by hand.
#[derive(Debug)]
pub struct ByHand {
    /// Absent on the sandbox: it has no registry before a daemon serves it.
    cloud: Option<Cloud>,
    workspace: PathBuf,
}

impl ByHand {
    /// By the settings: the account's own registry is reached with its credentials, others with Docker's stored logins.
    pub async fn new(settings: &Settings) -> Self {
        let clock = Clock::System;
        let cloud = if settings.aws.sandbox.enabled {
            None
        } else {
            Some(Cloud::connect(cloud_config(settings, None, &clock, &Metrics::new().into())).await)
        };
        Self { cloud, workspace: settings.daemon.state_folder().join("images") }
    }

    /// Reads the source, and says what is in it. Layers are not read.
    ///
    /// # Errors
    /// As [`image::prepare`].
    pub async fn inspect(&self, spec: &ImageSpec, report: Report) -> Result<ImageSummary, Fault> {
        Ok(image::prepare(&self.desk(report), spec).await?.summary())
    }

    /// Reads the source and pushes what is missing at `uri`, `HOST/REPOSITORY:TAG`.
    ///
    /// # Errors
    /// As [`image::prepare`] and [`image::push`].
    pub async fn push(&self, spec: &ImageSpec, uri: &str, report: Report) -> Result<Pushed, Fault> {
        let desk = self.desk(report);
        let prepared = image::prepare(&desk, spec).await?;
        image::push(&desk, &Target::Elsewhere { uri: uri.to_owned() }, &prepared).await
    }

    fn desk(&self, report: Report) -> Desk<'_> {
        Desk::by_hand(self.cloud.as_ref(), self.workspace.clone(), report)
    }
}
