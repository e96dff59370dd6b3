//! A minimal OCI image from one executable: one layer with the file at `/app/NAME`, and what a named user needs.
//!
//! Reproducible: same file, arguments, architecture, ports and configuration give the same digests. Streamed: memory is
//! flat whatever the program's size. A dynamically linked program runs only where its libraries are (the sandbox's
//! host): for Fargate it must be static.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use serde_json::json;

use super::{
    beside,
    choose::Shape,
    content::{CHUNK, Content, fill, open_file},
    docker_save::assemble,
    document::{Config, digest, parse},
    elf::{self, Machine},
    pack::gzip,
    prepared::{Blob, Check, Prepared},
    refused, spool,
};
use crate::domain::model::{Arch, Fault, FaultClass, ImageConfig};

/// What an image is made of.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) ports: Vec<u16>,
    pub(super) config: ImageConfig,
    pub(super) shape: Shape,
}

/// The number of a user that only has a name.
const USER: u32 = 10_001;

fn unusable(path: &str, why: impl std::fmt::Display) -> Fault {
    refused(
        FaultClass::Rejected,
        "ImageSourceUnreadable",
        format!("the executable {path} cannot be used: {why}"),
        "give the path of a built, readable and executable program",
    )
}

/// Reads the program and builds the image, off the async threads.
pub(super) async fn build(recipe: Recipe, workspace: &Path) -> Result<Prepared, Fault> {
    let workspace = workspace.to_owned();
    let work = move || build_now(&recipe, &workspace);
    beside::begin(work).await
}

fn build_now(recipe: &Recipe, workspace: &Path) -> Result<Prepared, Fault> {
    let path = &recipe.path;
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| unusable(path, "its name is not plain text"))?;
    if name.len() > 90 {
        return Err(unusable(path, "its name is longer than 90 characters"));
    }
    validate(&recipe.config)?;
    let (program, length) = open(path, recipe.shape.arch)?;
    if length > u64::from(recipe.shape.room_gib) << 30 {
        return Err(unusable(path, format!("it is larger than the task's {} GiB", recipe.shape.room_gib)));
    }
    let (layer, unpacked) = pack(name, &program, length, recipe, workspace)?;
    let bytes = configuration(name, &unpacked, recipe).to_string().into_bytes();
    let config: Config = parse("the configuration", &bytes)?;
    assemble(&[layer], &digest(&bytes), bytes.into(), config, recipe.shape)
}

/// Opens it, if it is a program of the architecture.
fn open(path: &str, arch: Arch) -> Result<(File, u64), Fault> {
    let mut program = open_file(Path::new(path)).map_err(|error| unusable(path, error))?;
    let about = program.metadata().map_err(|error| unusable(path, error))?;
    if std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 == 0 {
        return Err(unusable(path, "it has no execute permission"));
    }
    let mut first = [0; 64];
    let read = fill(&mut program, &mut first).map_err(|error| unusable(path, error))?;
    program.seek(SeekFrom::Start(0)).map_err(|error| unusable(path, error))?;
    let refuse =
        |message: String, advice: &str| Err(refused(FaultClass::Rejected, "ImageArchitecture", message, advice));
    match elf::machine(&first[..read]) {
        Machine::Fits(found) if found == arch => Ok((program, about.len())),
        Machine::Fits(found) => refuse(
            format!("the executable {path} is for {}, the task is {}", found.ecs_name(), arch.ecs_name()),
            "build it for the task's architecture, or change the policy's `arch`",
        ),
        Machine::Other(number) => refuse(
            format!("the executable {path} is for a machine that Fargate has not (ELF machine {number})"),
            "build it for x86-64 or 64-bit ARM Linux",
        ),
        Machine::NotElf => Err(unusable(path, "it is no Linux (ELF) program")),
    }
}

/// The dynamic loader that the program at `path` needs, which an image of it alone has not.
///
/// # Errors
/// When it cannot be read.
pub fn loader(path: &Path) -> io::Result<Option<String>> {
    elf::loader(&mut open_file(path)?)
}

/// What can be wrong with what a person writes.
fn validate(config: &ImageConfig) -> Result<(), Fault> {
    let wrong = |message: String, advice: &str| Err(refused(FaultClass::Rejected, "ImageConfig", message, advice));
    let zero = |text: &str| text.contains('\0');
    if config.entrypoint.first().is_some_and(String::is_empty) || config.entrypoint.iter().any(|part| zero(part)) {
        return wrong("the entrypoint is no command".to_owned(), "write the program's path first");
    }
    if let Some((name, _)) = config
        .environment
        .iter()
        .find(|(name, value)| name.is_empty() || name.contains('=') || zero(name) || zero(value))
    {
        return wrong(format!("{name:?} is no environment variable's name"), "use letters, digits and _");
    }
    let part = |text: &str| {
        let number = text.parse::<u32>().is_ok_and(|number| i32::try_from(number).is_ok());
        let mut letters = text.chars();
        let name = letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
            && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_' || it == '-')
            && text.len() <= 32;
        (number, name)
    };
    let fine = match config.user.as_deref().map(|user| (user, user.split_once(':'))) {
        None => true,
        Some((_, Some((user, group)))) => part(user).0 && part(group).0,
        Some((user, None)) => part(user).0 || part(user).1,
    };
    if fine {
        return Ok(());
    }
    let user = config.user.as_deref().unwrap_or_default();
    wrong(format!("{user:?} is no user to run as"), "write a name in small letters, a UID, or UID:GID")
}

/// The user, where it is a name: it is looked up in the image.
fn named_user(config: &ImageConfig) -> Option<&str> {
    config.user.as_deref().filter(|user| !user.starts_with(|first: char| first.is_ascii_digit()))
}

/// Writes the layer; with the digest of what it unpacks to.
fn pack(name: &str, program: &File, length: u64, recipe: &Recipe, workspace: &Path) -> Result<(Blob, String), Fault> {
    let failed = |error: &io::Error| spool::unwritable(workspace, error);
    let file = spool::create(workspace).map_err(|error| failed(&error))?;
    // No file name and time 0 in the header; a fixed level: the same bytes every time.
    let zipped = gzip(spool::Hashing::new(BufWriter::with_capacity(CHUNK, file)), 6);
    let mut tar = tar::Builder::new(spool::Hashing::new(zipped));
    let written = (|| {
        append(&mut tar, "app/", tar::EntryType::Directory, 0o755, 0, io::empty())?;
        append(&mut tar, &format!("app/{name}"), tar::EntryType::Regular, 0o755, length, program)?;
        if let Some(user) = named_user(&recipe.config) {
            append(&mut tar, "etc/", tar::EntryType::Directory, 0o755, 0, io::empty())?;
            let others = |line: String| if user == "root" { String::new() } else { line };
            let users = format!("root:x:0:0::/:\n{}", others(format!("{user}:x:{USER}:{USER}::/:\n")));
            let groups = format!("root:x:0:\n{}", others(format!("{user}:x:{USER}:\n")));
            for (path, text) in [("etc/passwd", users), ("etc/group", groups)] {
                append(&mut tar, path, tar::EntryType::Regular, 0o644, text.len() as u64, text.as_bytes())?;
            }
        }
        tar.into_inner()
    })();
    let (zipped, unpacked, _) = written.map_err(|error| failed(&error))?.finish();
    let (writer, digest, size) = zipped.finish().map_err(|error| failed(&error))?.finish();
    let file = writer.into_inner().map_err(|error| failed(error.error()))?;
    let content = Content::Slice(spool::slice(file, name, size));
    Ok((Blob { digest, size, content, check: Check::Nothing }, unpacked))
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    size: u64,
    data: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut counted = Counted { data: data.take(size), read: 0 };
    tar.append_data(&mut header, path, &mut counted)?;
    if counted.read == size { Ok(()) } else { Err(io::Error::other("the program changed while it was read")) }
}

/// Counts: the tar's writer does not.
struct Counted<R> {
    data: io::Take<R>,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.data.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

fn configuration(name: &str, unpacked: &str, recipe: &Recipe) -> serde_json::Value {
    let ImageConfig { entrypoint, environment, user } = &recipe.config;
    let exposed: serde_json::Map<String, serde_json::Value> =
        recipe.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
    let own = [format!("/app/{name}")];
    let entrypoint = if entrypoint.is_empty() { &own[..] } else { entrypoint };
    let mut inner = json!({ "Entrypoint": entrypoint, "WorkingDir": "/" });
    if !recipe.args.is_empty() {
        inner["Cmd"] = json!(recipe.args);
    }
    if !environment.is_empty() {
        inner["Env"] = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    }
    if let Some(user) = user {
        inner["User"] = json!(user);
    }
    if !exposed.is_empty() {
        inner["ExposedPorts"] = exposed.into();
    }
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": recipe.shape.arch.oci_name(),
        "os": "linux",
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "labguard"}],
    })
}
