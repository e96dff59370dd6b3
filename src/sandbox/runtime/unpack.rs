//! Unpacking an image's layers into a directory.
//!
//! Guarantees: nothing is written outside the directory: absolute paths and `..` are refused, devices skipped; the sum
//! of sizes and the number of entries are bounded. Whiteouts take effect. Never follows a link out of the directory.

use std::{
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use super::Layer;

const LARGEST: u64 = 4 << 30;
const MOST_ENTRIES: usize = 500_000;

fn refuse(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Unpacks all layers into `root`, which must exist.
///
/// # Errors
/// For a path that leads outside, for too much data, and for what the file system refuses.
pub(super) fn unpack(layers: &[Layer], root: &Path) -> io::Result<()> {
    let (mut size, mut entries) = (0u64, 0usize);
    for layer in layers {
        let data = layer.data.as_ref().as_ref();
        let reader: Box<dyn Read> = if data.starts_with(&[0x1F, 0x8B]) {
            Box::new(flate2::read::GzDecoder::new(data))
        } else if layer.media_type.ends_with("zstd") {
            return Err(refuse("a layer compressed with zstd cannot be unpacked here; push it with gzip"));
        } else {
            Box::new(data)
        };
        let mut archive = tar::Archive::new(reader);
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(false);
        for entry in archive.entries()? {
            let mut entry = entry?;
            entries += 1;
            size += entry.size();
            if size > LARGEST || entries > MOST_ENTRIES {
                return Err(refuse("the image is larger than the sandbox unpacks (4 GiB, 500,000 entries)"));
            }
            let path = entry.path()?.into_owned();
            if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Err(refuse(format!("the image has a path that leads outside: {}", path.display())));
            }
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(hidden) = name.strip_prefix(".wh.") {
                remove(root, &path, hidden)?;
                continue;
            }
            let kind = entry.header().entry_type();
            if kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link() {
                entry.unpack_in(root)?;
            }
        }
    }
    Ok(())
}

fn remove(root: &Path, whiteout: &Path, hidden: &str) -> io::Result<()> {
    let parent = whiteout.parent().unwrap_or(Path::new(""));
    let Ok(parent) = root.join(parent).canonicalize() else { return Ok(()) };
    if !parent.starts_with(root.canonicalize()?) {
        return Err(refuse("a whiteout leads outside the image"));
    }
    let remove_one = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    if hidden == ".wh..opq" {
        for child in fs::read_dir(parent)? {
            remove_one(child?.path())?;
        }
        return Ok(());
    }
    if hidden.is_empty() || hidden == "." || hidden == ".." {
        return Err(refuse("a whiteout leads outside the image"));
    }
    remove_one(parent.join(hidden))
}

/// Where a program is inside `root`: as `execvp` would find it there.
///
/// # Errors
/// When it is not there, or leads outside.
pub(super) fn find_program(root: &Path, working_directory: &Path, path: &str, program: &str) -> io::Result<PathBuf> {
    let inside =
        |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).collect::<PathBuf>();
    let candidates: Vec<PathBuf> = if program.starts_with('/') {
        vec![root.join(inside(Path::new(program)))]
    } else if program.contains('/') {
        vec![working_directory.join(inside(Path::new(program)))]
    } else {
        path.split(':').map(|folder| root.join(inside(Path::new(folder))).join(program)).collect()
    };
    let home = root.canonicalize()?;
    for candidate in candidates {
        if let Ok(real) = candidate.canonicalize() {
            if !real.starts_with(&home) {
                return Err(refuse(format!("\"{program}\" is a link that leads outside the image")));
            }
            if real.is_file() {
                return Ok(real);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("exec: \"{program}\": no such file in the image")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn layer(path: &str, content: &[u8]) -> Layer {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, content).unwrap();
        let data = bytes::Bytes::from(builder.into_inner().unwrap());
        Layer { media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(), data: Arc::new(data) }
    }

    #[test]
    fn layers_are_laid_over_each_other_and_programs_found_inside_only() {
        let root = tempfile::tempdir().unwrap();
        unpack(&[layer("app/run", b"x"), layer("app/gone", b"y"), layer("app/.wh.gone", b"")], root.path()).unwrap();
        assert!(root.path().join("app/run").exists() && !root.path().join("app/gone").exists());
        let found = find_program(root.path(), root.path(), "/bin:/app", "run").unwrap();
        assert!(found.ends_with("app/run"));
        assert!(find_program(root.path(), root.path(), "/bin", "sh").is_err(), "the host's programs are out of reach");
    }

    #[test]
    fn paths_that_lead_outside_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for path in ["../evil", "/etc/evil", "a/../../evil"] {
            assert!(unpack(&[layer(path, b"x")], root.path()).is_err(), "{path}");
        }
    }
}
