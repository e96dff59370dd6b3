//! Which of several images in an archive is meant: by tag, by name and tag, or by digest.

use super::{document::no_image, refused};
use crate::domain::model::{Fault, FaultClass};

/// An image as people call it: without Docker Hub's own host and folder.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The tag of a name; none where there is none.
fn tag(name: &str) -> Option<&str> {
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

/// Whether an image with this digest and these names is the one asked for.
fn is_meant(asked: &str, digest: &str, names: &[String]) -> bool {
    let asked = short(asked);
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let id = asked.strip_prefix("sha256:").unwrap_or(asked);
    let by_digest =
        asked == digest || (id.len() >= 12 && hex.starts_with(id)) || asked.ends_with(&format!("@{digest}"));
    by_digest
        || names.iter().map(|name| short(name)).any(|name| {
            name == asked || tag(name) == Some(asked) || (tag(asked).is_none() && name == format!("{asked}:latest"))
        })
}

/// The one that is meant, of images with their digests and names; its place.
///
/// # Errors
/// `Rejected` with all that are there, when none or several fit.
pub(super) fn choose(archive: &str, asked: Option<&str>, images: &[(String, Vec<String>)]) -> Result<usize, Fault> {
    let fits: Vec<usize> = (0..images.len())
        .filter(|place| {
            let (digest, names) = &images[*place];
            asked.is_none_or(|asked| is_meant(asked, digest, names))
        })
        .collect();
    let same = |one: &usize| images[*one].0 == images[fits[0]].0;
    if !fits.is_empty() && fits.iter().all(same) {
        return Ok(fits[0]);
    }
    if images.is_empty() {
        return Err(no_image(archive, "it holds no image"));
    }
    let shown = |(digest, names): &(String, Vec<String>)| {
        if names.is_empty() { digest.clone() } else { names.join(" or ") }
    };
    let list: Vec<String> = images.iter().take(20).map(shown).collect();
    let message = match asked {
        Some(asked) if fits.is_empty() => format!("{archive} holds no image called {asked:?}, but {}", list.join(", ")),
        Some(asked) => format!("{archive} holds several images called {asked:?}: {}", list.join(", ")),
        None => format!("{archive} holds several images: {}", list.join(", ")),
    };
    let advice = "name one of them as `reference` (a tag, NAME:TAG, or a digest)";
    Err(refused(FaultClass::Rejected, "ImageNotInArchive", message, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_tag_name_or_digest_and_all_are_listed_otherwise() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let images = [
            (digest("a"), vec!["web:latest".to_owned()]),
            (digest("b"), vec!["docker.io/library/web:v2".to_owned(), "h.example:5000/x/web:v3".to_owned()]),
            (digest("c"), vec![]),
        ];
        let of = |asked: &str| choose("it", Some(asked), &images);
        for (asked, place) in [
            ("web", 0),
            ("latest", 0),
            ("docker.io/library/web:latest", 0),
            ("web:v2", 1),
            ("v3", 1),
            ("h.example:5000/x/web:v3", 1),
            (digest("c").as_str(), 2),
            ("cccccccccccc", 2),
        ] {
            assert_eq!(of(asked).unwrap(), place, "{asked}");
        }
        assert!(of("v9").unwrap_err().message.contains("web:latest"));
        assert_eq!(of("ccc").unwrap_err().code, "ImageNotInArchive");
        assert!(choose("it", None, &images).unwrap_err().message.contains("several"));
        assert_eq!(choose("it", None, &images[1..2]).unwrap(), 0);
        assert_eq!(choose("it", None, &[images[0].clone(), images[0].clone()]).unwrap(), 0, "twice the same");
    }
}
