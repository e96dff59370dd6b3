//! The local Docker engine, asked for an image that it has. Building one is [`super::build`]'s.
//!
//! Guarantees: the image is refused for another platform before a byte is exported; what is exported goes through a
//! nameless spool, so that memory is flat and nothing is left; every refusal says what to do. Must never change anything
//! in the engine.

use std::{io::Write as _, time::Duration};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use futures::{Stream, StreamExt};

use super::{Desk, Prepared, choose, choose::Shape, content::stopped, refused, source, spool};
use crate::domain::model::{Fault, FaultClass, SupplyStage};

/// Where Docker's clients look without DOCKER_HOST.
const USUAL: &str = "unix:///var/run/docker.sock";

/// Longest wait for the beginning of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes between two tellings of how far the export is.
const TOLD_EVERY: u64 = 16 * 1024 * 1024;

const WITHOUT: &str = "start Docker, or say where it is with DOCKER_HOST; without an engine give an archive, an executable, or a registry's image";

/// The engine at the desk's address, or where Docker's own clients find it.
///
/// # Errors
/// `Rejected` when nobody answers there, or this user may not ask; `Transient` when it does not answer in time.
pub(super) async fn connect(desk: &Desk<'_>) -> Result<Engine, Fault> {
    let address =
        desk.engine.clone().or_else(|| std::env::var("DOCKER_HOST").ok()).filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| USUAL.to_owned());
    let seconds = PATIENCE.as_secs();
    let (scheme, _) = address.split_once("://").unwrap_or(("", ""));
    let docker = match scheme {
        "unix" => Docker::connect_with_unix(&address, seconds, API_DEFAULT_VERSION),
        "tcp" | "http" => Docker::connect_with_http(&address, seconds, API_DEFAULT_VERSION),
        _ => {
            let message = format!("the Docker engine's address {address:?} cannot be used");
            let advice =
                "set DOCKER_HOST to unix://PATH or tcp://HOST:PORT; a TLS or SSH engine is reached over a tunnel";
            return Err(refused(FaultClass::Rejected, "NoEngine", message, advice));
        }
    };
    let found = async { docker?.negotiate_version().await };
    let late = || fault(&address, "be asked", Error::RequestTimeoutError);
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(docker)) => Ok(Engine { docker, address }),
        Ok(Err(error)) => Err(fault(&address, "be asked", error)),
        Err(_) => Err(late()),
    }
}

/// A Docker engine that answers.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    pub(super) address: String,
}

/// An image in the engine.
#[derive(Debug)]
pub(super) struct Found {
    /// `sha256:…`, the engine's own name for it.
    pub(super) id: String,
    platform: String,
    size: u64,
    /// `NAME:TAG`, each.
    pub(super) tags: Vec<String>,
}

impl Engine {
    /// An image by name, tag or id; none when it is not there.
    pub(super) async fn find(&self, reference: &str) -> Result<Option<Found>, Fault> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => {
                let part = |part: Option<String>| part.filter(|part| !part.is_empty());
                let (os, arch) = (part(image.os), part(image.architecture));
                let platform =
                    format!("{}/{}", os.as_deref().unwrap_or("unknown"), arch.as_deref().unwrap_or("unknown"));
                Ok(Some(Found {
                    id: image.id.unwrap_or_else(|| reference.to_owned()),
                    platform,
                    size: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                    tags: image.repo_tags.unwrap_or_default(),
                }))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(fault(&self.address, &format!("be asked for {reference}"), error)),
        }
    }

    /// Has an image of the engine ready to be pushed; `name` is how people call it.
    pub(super) async fn prepare(
        &self,
        desk: &Desk<'_>,
        found: &Found,
        name: &str,
        shape: Shape,
    ) -> Result<Prepared, Fault> {
        let wanted = format!("linux/{}", shape.arch.oci_name());
        if found.platform != wanted {
            return Err(choose::no_platform(name, shape.arch, std::slice::from_ref(&found.platform)));
        }
        let stream = self.docker.export_image(&found.id);
        let file = self.spool(desk, name, found.size, stream).await?;
        source::read_file(desk, file, &format!("{name} (as the engine saves it)"), shape).await
    }

    /// What comes, in a file without a name.
    async fn spool(
        &self,
        desk: &Desk<'_>,
        name: &str,
        size: u64,
        stream: impl Stream<Item = Result<bytes::Bytes, Error>>,
    ) -> Result<std::fs::File, Fault> {
        let mut file = spool::create(&desk.workspace).map_err(|error| spool::unwritable(&desk.workspace, &error))?;
        let mut stream = std::pin::pin!(stream);
        let (mut written, mut told) = (0_u64, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| fault(&self.address, &format!("export {name}"), error))?;
            written += chunk.len() as u64;
            let write = tokio::task::spawn_blocking(move || file.write_all(&chunk).map(|()| file));
            file = write
                .await
                .map_err(|error| stopped(&error))?
                .map_err(|error| spool::unwritable(&desk.workspace, &error))?;
            if written - told >= TOLD_EVERY {
                told = written;
                let detail =
                    format!("{name} from the engine, {} of about {} MB", written / 1_000_000, size / 1_000_000);
                desk.report.stage(SupplyStage::Reading, detail);
            }
        }
        Ok(file)
    }
}

/// An image that the engine has.
///
/// # Errors
/// `NotFound` when there is none of that name; `Rejected` when it is for another platform; else as [`connect`].
pub(super) async fn prepare(desk: &Desk<'_>, reference: &str, shape: Shape) -> Result<Prepared, Fault> {
    let engine = connect(desk).await?;
    let Some(found) = engine.find(reference).await? else {
        let message = format!("the Docker engine at {} has no image {reference}", engine.address);
        let advice = "see `docker images`; build or pull it, or let labguard build it (image.source = \"build\")";
        return Err(refused(FaultClass::NotFound, "NoSuchImage", message, advice));
    };
    engine.prepare(desk, &found, reference, shape).await
}

/// The engine's refusal, with what to do about it.
pub(super) fn fault(address: &str, what: &str, error: Error) -> Fault {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let answered = |class, code: &str, advice: &str| {
        refused(class, code, format!("the Docker engine at {address} could not {what}: {text}"), advice)
    };
    let lower = text.to_ascii_lowercase();
    let away =
        ["no such file", "connection refused", "not found:", "connect"].iter().any(|words| lower.contains(words));
    match &error {
        Error::DockerResponseServerError { status_code, .. } => match status_code {
            401 | 403 => answered(FaultClass::Denied, "EngineDenied", "see who may use this engine"),
            404 => answered(FaultClass::NotFound, "NoSuchImage", "see `docker images`"),
            400..500 => answered(FaultClass::Rejected, "Engine", "mend what it says, and try again"),
            _ => answered(FaultClass::Transient, "Engine", "see the engine's own log"),
        },
        Error::RequestTimeoutError => {
            answered(FaultClass::Transient, "EngineSilent", "see whether `docker version` answers")
        }
        _ if lower.contains("permission denied") => answered(
            FaultClass::Rejected,
            "EngineDenied",
            "let this user use Docker: `sudo usermod -aG docker $USER`, then log in anew",
        ),
        Error::SocketNotFoundError(_) => answered(FaultClass::Rejected, "NoEngine", WITHOUT),
        Error::HyperLegacyError { err } if err.is_connect() => answered(FaultClass::Rejected, "NoEngine", WITHOUT),
        _ if away => answered(FaultClass::Rejected, "NoEngine", WITHOUT),
        _ => answered(FaultClass::Transient, "EngineBroken", "see whether the engine still runs"),
    }
}
