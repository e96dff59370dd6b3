//! Images as data: where one comes from, what of it is pushed, what it must pass, and how far the supply has come.

use serde::{Deserialize, Serialize};

use super::{size::Arch, time::Timestamp};

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum ImageSource {
    /// Already in a registry: `HOST/REPOSITORY:TAG` or `…@sha256:…`. Pinned to a digest at deploy.
    Registry {
        /// The image reference.
        uri: String,
        /// Whether it is copied into the session's repository, and run from there.
        #[serde(default)]
        mirror: bool,
    },
    /// Assembled by labguard from a local executable and pushed into the session's repository.
    Executable {
        /// Path on this machine.
        path: String,
        /// Arguments after the executable.
        args: Vec<String>,
        /// What else the image's configuration says.
        #[serde(default)]
        config: ImageConfig,
    },
    /// An OCI layout (folder, tar or gzipped tar) or the output of `docker save`.
    Archive {
        /// Path on this machine.
        path: String,
        /// Which image of it: a tag, `NAME:TAG`, or a digest. Absent: the only one there.
        reference: Option<String>,
    },
    /// In the local Docker engine.
    Docker {
        /// Its name, tag or id there.
        reference: String,
    },
    /// Built by the local Docker engine.
    Build(BuildRecipe),
}

impl ImageSource {
    /// Whether labguard pushes it into a repository; otherwise it is used where it stands.
    #[must_use]
    pub const fn is_pushed(&self) -> bool {
        !matches!(self, ImageSource::Registry { mirror: false, .. })
    }

    /// As a person would call it: `executable:./serve`, `docker:admission_prediction`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            ImageSource::Registry { uri, .. } => format!("registry:{uri}"),
            ImageSource::Executable { path, .. } => format!("executable:{path}"),
            ImageSource::Archive { path, reference: None } => format!("archive:{path}"),
            ImageSource::Archive { path, reference: Some(reference) } => format!("archive:{path}#{reference}"),
            ImageSource::Docker { reference } => format!("docker:{reference}"),
            ImageSource::Build(recipe) => format!("build:{}", recipe.context),
        }
    }
}

/// What an image is built from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BuildRecipe {
    /// The folder whose files the builder gets.
    pub context: String,
    /// The Dockerfile, relative to the folder or absolute; absent: `Dockerfile`.
    pub dockerfile: Option<String>,
    /// The stage to build; absent: the last.
    pub target: Option<String>,
    /// Build arguments. Not for secrets: the image's history shows them.
    pub args: Vec<(String, String)>,
}

/// What an assembled image's configuration says beside the executable and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Replaces `["/app/NAME"]`, where not empty.
    pub entrypoint: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// `USER`, `UID` or `UID:GID` that it runs as; absent: root.
    pub user: Option<String>,
}

/// Which of a multi-platform image's manifests are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platforms {
    /// The one that the task needs.
    #[default]
    Task,
    /// The whole index, attestations included.
    All,
}

/// The image as it shall be: made, found, pushed, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Repository to push into; absent where the image is used where it stands.
    pub repository: Option<String>,
    /// Tag for the pushed image.
    pub tag: String,
    /// In a repository that was there before: the tag (and its prefix, for an index's children) that says whose push it
    /// was. Removing it removes the image only where nobody else's tag is on it (aws-facts §3.1).
    pub mark: Option<String>,
    /// Where it comes from.
    pub source: ImageSource,
    /// Which platform the task needs.
    pub arch: Arch,
    /// TCP ports to expose in an assembled image's configuration.
    pub ports: Vec<u16>,
    /// Which manifests of an index are pushed.
    pub platforms: Platforms,
    /// Most GiB that its layers may unpack to: the task's ephemeral storage.
    pub room_gib: u32,
}

impl ImageSpec {
    /// An image for X86_64 in a repository of one's own, where 20 GiB are free for its layers.
    #[must_use]
    pub fn plain(repository: &str, tag: &str, source: ImageSource) -> Self {
        Self {
            repository: Some(repository.to_owned()),
            tag: tag.to_owned(),
            mark: None,
            source,
            arch: Arch::X86_64,
            ports: Vec::new(),
            platforms: Platforms::Task,
            room_gib: 20,
        }
    }
}

/// The tag that says whose push an image was.
#[must_use]
pub fn mark_of(session: &str) -> String {
    format!("labguard.{session}")
}

/// Whose push a tag tells of, if it is a mark.
#[must_use]
pub fn session_of_mark(tag: &str) -> Option<&str> {
    let session = tag.strip_prefix("labguard.")?;
    // An index's child has its place behind the session.
    let session = session.split_once('.').map_or(session, |(session, _)| session);
    (!session.is_empty()).then_some(session)
}

/// The mark of an index's child, by its place in the index.
#[must_use]
pub fn child_mark(mark: &str, place: usize) -> String {
    format!("{mark}.{place}")
}

/// What the supply is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupplyStage {
    /// Other images are on their way.
    Waiting,
    /// It is built by the Docker engine.
    Building,
    /// It is read from where it is.
    Reading,
    /// Layers and manifests are sent.
    Pushing,
}

/// How far one layer (or configuration) has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerProgress {
    /// `sha256:…`.
    pub digest: String,
    /// Its size in bytes, as sent.
    pub size: u64,
    /// Bytes sent in the present try.
    pub sent: u64,
    /// Where it is.
    pub state: LayerState,
}

/// Where a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// Its turn has not come.
    Waiting,
    /// On its way.
    Sending,
    /// Sent in this push.
    Sent,
    /// The registry had it.
    AlreadyThere,
}

/// How far an image's supply has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageProgress {
    /// What it is doing.
    pub stage: SupplyStage,
    /// In a person's words: the archive's name.
    pub detail: String,
    /// Layers and configurations, once known.
    pub layers: Vec<LayerProgress>,
    /// Since when the stage lasts.
    pub since: Timestamp,
}

impl ImageProgress {
    /// As a person would say it: `pushing to HOST/lab, 12.5 of 80.2 MB`.
    #[must_use]
    pub fn describe(&self) -> String {
        let doing = match self.stage {
            SupplyStage::Waiting => "waiting for",
            SupplyStage::Building => "building:",
            SupplyStage::Reading => "reading",
            SupplyStage::Pushing => "pushing",
        };
        let (done, all) = self.bytes();
        // Tenths of a megabyte, as registries and engines show sizes.
        let tenths = |bytes: u64| format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
        match (self.stage, all) {
            (SupplyStage::Pushing, 1..) => {
                format!("{doing} {}, {} of {} MB", self.detail, tenths(done), tenths(all))
            }
            _ => format!("{doing} {}", self.detail),
        }
    }

    /// Bytes that are sent or were there, and all bytes.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let done = |layer: &LayerProgress| match layer.state {
            LayerState::Waiting => 0,
            LayerState::Sending => layer.sent.min(layer.size),
            LayerState::Sent | LayerState::AlreadyThere => layer.size,
        };
        (self.layers.iter().map(done).sum(), self.layers.iter().map(|layer| layer.size).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_an_older_labguard_is_still_read() {
        let old: ImageSource = serde_json::from_str(r#"{"source":"executable","path":"/a","args":[]}"#).unwrap();
        assert_eq!(old.describe(), "executable:/a");
        let old: ImageSource = serde_json::from_str(r#"{"source":"registry","uri":"h/a:1"}"#).unwrap();
        assert!(!old.is_pushed());
    }

    #[test]
    fn a_mark_tells_its_session() {
        let mark = mark_of("lab-7k2m9q");
        assert_eq!(session_of_mark(&mark), Some("lab-7k2m9q"));
        assert_eq!(session_of_mark(&child_mark(&mark, 3)), Some("lab-7k2m9q"));
        assert!(["latest", "labguard.", "labguard", "v1"].iter().all(|tag| session_of_mark(tag).is_none()));
    }

    #[test]
    fn bytes_count_what_was_there_and_what_was_sent() {
        let layer = |size, sent, state| LayerProgress { digest: String::new(), size, sent, state };
        let progress = ImageProgress {
            stage: SupplyStage::Pushing,
            detail: String::new(),
            since: Timestamp::from_millis(0),
            layers: vec![
                layer(10, 4, LayerState::Sending),
                layer(7, 0, LayerState::AlreadyThere),
                layer(5, 5, LayerState::Sent),
                layer(3, 9, LayerState::Waiting),
            ],
        };
        assert_eq!(progress.bytes(), (16, 25));
    }
}
