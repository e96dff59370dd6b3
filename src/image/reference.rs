//! Image references: `HOST/REPOSITORY:TAG` and `HOST/REPOSITORY@sha256:…`, as registries and people write them.

use super::refused;
use crate::domain::model::{Fault, FaultClass};

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Host, with its port.
    pub(super) host: String,
    /// Repository.
    pub(super) repository: String,
    /// Tag or `sha256:…`.
    pub(super) target: String,
}

impl Reference {
    /// `None` when it is no reference. `latest` is the default tag, Docker Hub the default host.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (name, target) = match text.split_once('@') {
            // A tag beside a digest says nothing more.
            Some((name, digest)) => (strip_tag(name).0, digest.to_owned()),
            None => {
                let (name, tag) = strip_tag(text);
                (name, tag.unwrap_or("latest").to_owned())
            }
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let digest = target.strip_prefix("sha256:");
        let fine = !repository.is_empty()
            && !repository.ends_with('/')
            && !target.is_empty()
            && digest.is_none_or(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            && (digest.is_some() || !target.contains([':', '/']))
            && !repository.contains([' ', ':', '@']);
        fine.then(|| Self { host: host.to_owned(), repository, target })
    }

    /// As [`Reference::read`], with words for what is wrong.
    ///
    /// # Errors
    /// `Rejected` when it is no reference.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        Self::read(text).ok_or_else(|| {
            refused(
                FaultClass::Rejected,
                "ImageReference",
                format!("\"{text}\" is no image reference"),
                "write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…",
            )
        })
    }

    /// Whether it is pinned already.
    pub(super) fn digest(&self) -> Option<&str> {
        self.target.starts_with("sha256:").then_some(self.target.as_str())
    }

    /// `HOST/REPOSITORY@digest`.
    pub(super) fn pinned(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.host, self.repository)
    }

    /// The URL of its registry.
    pub(super) fn endpoint(&self) -> String {
        let host = if self.host == "docker.io" { "registry-1.docker.io" } else { &self.host };
        let name = host.split(':').next().unwrap_or(host);
        let local = name == "localhost" || name.starts_with("127.");
        format!("{}://{host}", if local { "http" } else { "https" })
    }
}

fn strip_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        // A colon before a slash belongs to a port.
        Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_people_write_them() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, host, repository, target) in [
            ("nginx", "docker.io", "library/nginx", "latest"),
            ("bitnami/nginx:1", "docker.io", "bitnami/nginx", "1"),
            ("127.0.0.1:5000/lab/web:v1", "127.0.0.1:5000", "lab/web", "v1"),
            ("127.0.0.1:5000/lab/web", "127.0.0.1:5000", "lab/web", "latest"),
            ("1.dkr.ecr.us-east-1.amazonaws.com/a/b:v2", "1.dkr.ecr.us-east-1.amazonaws.com", "a/b", "v2"),
            (&format!("public.ecr.aws/x/y:v1@{digest}"), "public.ecr.aws", "x/y", &digest),
        ] {
            let read = Reference::read(text).unwrap();
            assert_eq!(
                (read.host.as_str(), read.repository.as_str(), read.target.as_str()),
                (host, repository, target)
            );
        }
        for wrong in ["", "h.example/", "h.example/a@sha256:12", "a b"] {
            assert_eq!(Reference::read(wrong), None, "{wrong}");
        }
        assert_eq!(Reference::read("localhost:5000/a").unwrap().endpoint(), "http://localhost:5000");
    }
}
