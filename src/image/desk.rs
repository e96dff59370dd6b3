//! What supplying an image works with, and where an image can go. Holds no secret: logins are asked for when needed.

use std::path::PathBuf;

use super::{Report, refused};
use crate::{
    cloud::{Cloud, Owner},
    domain::model::{Fault, FaultClass, ImageSpec},
};

/// What supplying an image works with.
#[derive(Debug)]
pub struct Desk<'a> {
    /// AWS, the sandbox, or an emulator; absent where another registry is used by hand.
    pub cloud: Option<&'a Cloud>,
    /// Whose image it is; absent by hand.
    pub owner: Option<Owner<'a>>,
    /// Where files may be spooled (unlinked at once, so that nothing is left however it ends).
    pub workspace: PathBuf,
    /// Where it is remembered which layers were compressed and checked before (`layers.json`, small, may be deleted at
    /// any time); absent: nothing is remembered. Whoever empties the workspace leaves it there, if it lies there.
    pub memory: Option<PathBuf>,
    /// Where the Docker engine answers, `unix://PATH` or `tcp://HOST:PORT`; absent: where Docker's own clients find it.
    pub engine: Option<String>,
    /// Told how far it has come.
    pub report: Report,
}

impl<'a> Desk<'a> {
    /// A session's desk; what was seen is remembered in `workspace`.
    #[must_use]
    pub fn new(cloud: &'a Cloud, owner: Owner<'a>, workspace: PathBuf, report: Report) -> Self {
        let memory = Some(workspace.join("layers.json"));
        Self { cloud: Some(cloud), owner: Some(owner), workspace, memory, engine: None, report }
    }

    /// A desk for use by hand, with AWS or without.
    #[must_use]
    pub fn by_hand(cloud: Option<&'a Cloud>, workspace: PathBuf, report: Report) -> Self {
        let memory = Some(workspace.join("layers.json"));
        Self { cloud, owner: None, workspace, memory, engine: None, report }
    }

    /// A desk that tells nobody and remembers nothing, with the system's folder for temporary files.
    #[must_use]
    pub fn silent(cloud: &'a Cloud, owner: Owner<'a>) -> Self {
        let workspace = std::env::temp_dir();
        Self {
            cloud: Some(cloud),
            owner: Some(owner),
            workspace,
            memory: None,
            engine: None,
            report: Report::default(),
        }
    }

    /// The cloud, where one is needed.
    ///
    /// # Errors
    /// `Rejected` when the desk has none.
    pub fn aws(&self) -> Result<&'a Cloud, Fault> {
        self.cloud.ok_or_else(|| {
            refused(
                FaultClass::Rejected,
                "NoCloud",
                "this needs the account's own registry, and no AWS settings are given",
                "name a registry as HOST/REPOSITORY:TAG, or give a configuration with AWS in it",
            )
        })
    }
}

/// Where an image is pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A repository of the account's own registry.
    Account {
        /// Its name.
        repository: String,
        /// The tag on the image.
        tag: String,
        /// In a repository that was there before: the tag that says whose push it is (see [`ImageSpec::mark`]).
        mark: Option<String>,
    },
    /// Any registry, by hand: `HOST/REPOSITORY:TAG`.
    Elsewhere {
        /// The reference.
        uri: String,
    },
}

impl Target {
    /// Where a session's image goes.
    ///
    /// # Errors
    /// `Rejected` when it names no repository.
    pub fn of(spec: &ImageSpec) -> Result<Self, Fault> {
        let repository = spec.repository.clone().ok_or_else(|| {
            refused(
                FaultClass::Rejected,
                "NoRepository",
                format!("{} needs a repository to be pushed into", spec.source.describe()),
                "name one in the policy",
            )
        })?;
        Ok(Self::Account { repository, tag: spec.tag.clone(), mark: spec.mark.clone() })
    }
}
