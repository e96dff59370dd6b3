//! A minimal OCI image from one executable: one layer with the file at `/app/NAME`, and nothing else.
//!
//! Reproducible: same file, arguments, architecture and ports give the same digests. A dynamically linked
//! program runs only where its libraries are (the sandbox's host): for Fargate it must be static.

use std::{io::Write, path::Path};

use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    elf::{self, Machine},
    refused,
};
use crate::domain::model::{Arch, Fault, FaultClass};

/// Media types of the OCI image specification 1.1.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Nothing larger is put into an image.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Bytes under their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) bytes: bytes::Bytes,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), bytes: bytes.into() }
    }
}

/// Everything to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// Layer and configuration.
    pub(super) blobs: Vec<Blob>,
    /// The manifest.
    pub(super) manifest: Blob,
}

/// `sha256:…` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn unreadable(path: &str, why: impl std::fmt::Display) -> Fault {
    refused(
        FaultClass::Rejected,
        "ImageSourceUnreadable",
        format!("the executable {path} cannot be used: {why}"),
        "give the path of a built, readable and executable program",
    )
}

/// Reads the program and builds the image, off the async threads.
pub(super) async fn from_executable(path: &str, args: &[String], arch: Arch, ports: &[u16]) -> Result<Image, Fault> {
    let (path, args, ports) = (path.to_owned(), args.to_vec(), ports.to_vec());
    let work = move || {
        let program = read(&path, arch)?;
        let name = Path::new(&path).file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| unreadable(&path, "its name is not plain text"))?;
        build(name, &program, &args, arch, &ports).map_err(|error| unreadable(&path, error))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(image) => image,
        Err(error) => Err(refused(FaultClass::Transient, "AssemblyStopped", error.to_string(), "try again")),
    }
}

fn read(path: &str, arch: Arch) -> Result<Vec<u8>, Fault> {
    let about = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if !about.is_file() {
        return Err(unreadable(path, "it is no file"));
    }
    if about.len() > LARGEST {
        return Err(unreadable(path, "it is larger than 512 MiB"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 == 0 {
        return Err(unreadable(path, "it has no execute permission"));
    }
    let program = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    match elf::machine(&program) {
        Machine::Fits(found) if found == arch => Ok(program),
        Machine::Fits(found) => Err(refused(
            FaultClass::Rejected,
            "ImageArchitecture",
            format!("the executable {path} is for {}, the task is {}", found.ecs_name(), arch.ecs_name()),
            "build it for the task's architecture, or change the policy's `arch`",
        )),
        Machine::Other(number) => Err(refused(
            FaultClass::Rejected,
            "ImageArchitecture",
            format!("the executable {path} is for a machine that Fargate has not (ELF machine {number})"),
            "build it for x86-64 or 64-bit ARM Linux",
        )),
        Machine::NotElf => Err(unreadable(path, "it is no Linux (ELF) program")),
    }
}

fn build(name: &str, program: &[u8], args: &[String], arch: Arch, ports: &[u16]) -> std::io::Result<Image> {
    let tar = layer(name, program)?;
    let unpacked = digest(&tar);
    // No file name and time 0 in the header; a fixed level: the same bytes every time.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    gzip.write_all(&tar)?;
    let layer = Blob::new(gzip.finish()?);
    let exposed: serde_json::Map<String, serde_json::Value> =
        ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
    let mut inner = json!({
        "Entrypoint": [format!("/app/{name}")],
        "WorkingDir": "/",
    });
    if !args.is_empty() {
        inner["Cmd"] = json!(args);
    }
    if !exposed.is_empty() {
        inner["ExposedPorts"] = exposed.into();
    }
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": arch.oci_name(),
        "os": "linux",
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "labguard"}],
    });
    let config = Blob::new(config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.bytes.len()},
        "layers": [{"mediaType": LAYER, "digest": layer.digest, "size": layer.bytes.len()}],
    });
    let manifest = Blob::new(manifest.to_string().into_bytes());
    Ok(Image { blobs: vec![layer, config], manifest })
}

fn layer(name: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let entry = |kind: tar::EntryType, size: usize| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    tar.append_data(&mut entry(tar::EntryType::Directory, 0), "app/", std::io::empty())?;
    tar.append_data(&mut entry(tar::EntryType::Regular, program.len()), format!("app/{name}"), program)?;
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::elf::tests::program;

    #[test]
    fn the_same_program_gives_the_same_image_and_another_gives_another() {
        let args = vec!["--port".to_owned(), "5000".to_owned()];
        let build = |bytes: &[u8], arch| build("web", bytes, &args, arch, &[80, 5000]).unwrap();
        let one = build(&program(Arch::X86_64), Arch::X86_64);
        assert_eq!(one, build(&program(Arch::X86_64), Arch::X86_64));
        assert_ne!(one.manifest.digest, build(&program(Arch::Arm64), Arch::Arm64).manifest.digest);
        let config: serde_json::Value = serde_json::from_slice(&one.blobs[1].bytes).unwrap();
        assert_eq!(config["config"]["Entrypoint"][0], "/app/web");
        assert_eq!(config["config"]["ExposedPorts"].as_object().unwrap().len(), 2);
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&one.blobs[0].bytes[..]));
        let entries: Vec<(String, u32)> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap()))
            .collect();
        assert_eq!(entries, [("app/".to_owned(), 0o755), ("app/web".to_owned(), 0o755)]);
    }

    #[tokio::test]
    async fn what_is_no_program_of_the_architecture_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web");
        let text = path.to_str().unwrap();
        let code = async |arch| from_executable(text, &[], arch, &[]).await.map_err(|fault| (fault.class, fault.code));
        let unreadable = Err((FaultClass::Rejected, "ImageSourceUnreadable".to_owned()));
        assert_eq!(code(Arch::X86_64).await.map(|_| ()), unreadable);
        std::fs::write(&path, program(Arch::X86_64)).unwrap();
        assert_eq!(code(Arch::X86_64).await.map(|_| ()), unreadable);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(code(Arch::X86_64).await.is_ok());
        assert_eq!(code(Arch::Arm64).await.unwrap_err().1, "ImageArchitecture");
    }
}
