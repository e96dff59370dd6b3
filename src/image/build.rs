//! Builds an image with the local Docker engine, from a Dockerfile and its folder.
//!
//! The engine's own builder runs each step; its cache is kept. The image is tagged by what it is built from, so that a new
//! build takes the old one's place. Guarantees: a build that is given up is stopped; a failure shows the builder's last
//! words, without the values of build arguments. Must never remove an image that something else is called by.

use std::{collections::HashMap, path::Path, time::Duration};

use bollard::{
    body_try_stream,
    query_parameters::{BuildImageOptions, BuilderVersion, RemoveImageOptions},
};
use futures::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use super::{
    Desk, Prepared,
    choose::Shape,
    content::{CHUNK, stopped},
    context::{self, Context},
    engine::{self, Engine, Found},
    refused,
};
use crate::domain::model::{BuildRecipe, Fault, FaultClass, SupplyStage};

/// Lines of the builder that a failure shows.
const LAST_WORDS: usize = 12;

/// Longest line of them.
const LONGEST_LINE: usize = 300;

/// Longest build: the builder answers when it has the whole folder, and it may be long in coming.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Builds it, and has it ready to be pushed.
///
/// # Errors
/// `Rejected` when the folder cannot be read or a step fails; else as [`engine::connect`].
pub(super) async fn prepare(desk: &Desk<'_>, recipe: &BuildRecipe, shape: Shape) -> Result<Prepared, Fault> {
    let engine = engine::connect(desk).await?;
    desk.report.stage(SupplyStage::Building, format!("gathering {}", recipe.context));
    let (folder, dockerfile, workspace) = (recipe.context.clone(), recipe.dockerfile.clone(), desk.workspace.clone());
    let gathering =
        tokio::task::spawn_blocking(move || context::gather(Path::new(&folder), dockerfile.as_deref(), &workspace));
    let context = gathering.await.map_err(|error| stopped(&error))??;
    tracing::debug!(files = context.files, bytes = context.length, "the build's folder is gathered");
    let tag = tag(recipe, shape);
    let before = engine.find(&tag).await?;
    let id = run(desk, &engine, recipe, shape, context, &tag).await?;
    let Some(built) = engine.find(&id).await? else {
        let message = format!("the Docker engine built {id} from {}, and does not know it any more", recipe.context);
        return Err(refused(
            FaultClass::Transient,
            "Engine",
            message,
            "see whether something prunes the engine's images",
        ));
    };
    if let Some(before) = before.filter(|before| before.id != built.id) {
        forget(&engine, &before, &tag).await;
    }
    engine.prepare(desk, &built, &recipe.context, shape).await
}

/// The image's name in the engine: the folder's own, and what tells this build from others.
fn tag(recipe: &BuildRecipe, shape: Shape) -> String {
    let place = std::fs::canonicalize(&recipe.context).unwrap_or_else(|_| recipe.context.clone().into());
    let name = place.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let legal = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let name: String = name.chars().filter(|letter| legal(*letter)).take(40).collect();
    let what = (place.display().to_string(), &recipe.dockerfile, &recipe.target, shape.arch.oci_name());
    let hash = hex::encode(Sha256::digest(format!("{what:?}")));
    format!("labguard-build/{}:{}", if name.is_empty() { "image" } else { &name }, &hash[..12])
}

async fn run(
    desk: &Desk<'_>,
    engine: &Engine,
    recipe: &BuildRecipe,
    shape: Shape,
    context: Context,
    tag: &str,
) -> Result<String, Fault> {
    let options = BuildImageOptions {
        dockerfile: context.dockerfile.clone(),
        t: Some(tag.to_owned()),
        rm: true,
        forcerm: true,
        buildargs: Some(recipe.args.iter().cloned().collect::<HashMap<_, _>>()),
        platform: format!("linux/{}", shape.arch.oci_name()),
        target: recipe.target.clone().unwrap_or_default(),
        version: BuilderVersion::BuilderV1,
        ..BuildImageOptions::default()
    };
    let mut tar = tokio::fs::File::from_std(context.tar);
    tokio::io::AsyncSeekExt::rewind(&mut tar)
        .await
        .map_err(|error| super::spool::unwritable(&desk.workspace, &error))?;
    let body = body_try_stream(ReaderStream::with_capacity(tar, CHUNK));
    let patient = engine.docker.clone().with_timeout(LONGEST);
    let mut said = LastWords::default();
    let mut id = None;
    let mut answers = std::pin::pin!(patient.build_image(options, None, Some(body)));
    while let Some(answer) = answers.next().await {
        let failed = match answer {
            Err(bollard::errors::Error::DockerStreamError { error }) => error,
            Err(error) => return Err(refusal(engine, recipe, error, &said)),
            Ok(line) => {
                if let Some(text) = &line.stream {
                    for text in text.lines().map(str::trim_end).filter(|text| !text.is_empty()) {
                        if text.starts_with("Step ") {
                            desk.report.stage(SupplyStage::Building, clean(recipe, text));
                        }
                        tracing::debug!("{}", clean(recipe, text));
                        said.hear(text);
                    }
                }
                id = line.aux.and_then(|aux| aux.id).or(id);
                match line.error_detail.and_then(|detail| detail.message) {
                    Some(error) => error,
                    None => continue,
                }
            }
        };
        return Err(failure(recipe, &failed, &said));
    }
    id.ok_or_else(|| failure(recipe, "the builder ended without an image", &said))
}

/// What the builder said last.
#[derive(Debug, Default)]
struct LastWords(std::collections::VecDeque<String>);

impl LastWords {
    fn hear(&mut self, line: &str) {
        if self.0.len() == LAST_WORDS {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(LONGEST_LINE).collect());
    }
}

/// A builder's text without the values of build arguments, which people use for secrets all the same.
fn clean(recipe: &BuildRecipe, text: &str) -> String {
    let mut text: String = text.chars().take(LONGEST_LINE).collect();
    for (name, value) in recipe.args.iter().filter(|(_, value)| value.len() >= 6) {
        text = text.replace(value, &format!("${name}"));
    }
    text
}

fn failure(recipe: &BuildRecipe, error: &str, said: &LastWords) -> Fault {
    let words: Vec<String> = said.0.iter().map(|line| clean(recipe, line)).collect();
    let message = format!(
        "{} could not be built: {}; the builder's last words:\n  {}",
        recipe.context,
        clean(recipe, error),
        words.join("\n  ")
    );
    let lower = error.to_ascii_lowercase();
    let newer =
        ["buildkit", "--mount", "heredoc", "unknown flag", "unknown instruction"].iter().any(|it| lower.contains(it));
    let advice = if newer {
        "if the Dockerfile needs BuildKit: build it with `docker build`, and use image.source = \"docker\""
    } else {
        "mend the Dockerfile or what it needs; `docker build` shows the whole of it"
    };
    refused(FaultClass::Rejected, "BuildFailed", message, advice)
}

fn refusal(engine: &Engine, recipe: &BuildRecipe, error: bollard::errors::Error, said: &LastWords) -> Fault {
    match error {
        // A Dockerfile that cannot be read, a stage that is not there.
        bollard::errors::Error::DockerResponseServerError { status_code: 400..500, message } => {
            failure(recipe, &message, said)
        }
        error => engine::fault(&engine.address, &format!("build {}", recipe.context), error),
    }
}

/// The image whose name a newer one took: gone, unless something else is called by it or uses it.
async fn forget(engine: &Engine, before: &Found, tag: &str) {
    if before.tags.iter().any(|it| it != tag) {
        return;
    }
    let removed = engine.docker.remove_image(&before.id, None::<RemoveImageOptions>, None).await;
    if let Err(error) = removed {
        tracing::debug!(image = before.id, %error, "the image of the last build stays in the engine");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{Arch, Platforms};

    fn recipe() -> BuildRecipe {
        BuildRecipe {
            context: "deploy/prediction".to_owned(),
            dockerfile: None,
            target: None,
            args: vec![("TOKEN".to_owned(), "hunter2hunter2".to_owned()), ("N".to_owned(), "1".to_owned())],
        }
    }

    #[test]
    fn a_failure_shows_the_last_words_without_the_values_of_arguments() {
        let mut said = LastWords::default();
        for number in 0..40 {
            said.hear(&format!("line {number} {}", "x".repeat(400)));
        }
        said.hear("curl -H hunter2hunter2");
        let fault = failure(&recipe(), "The command returned a non-zero code: 1 (hunter2hunter2)", &said);
        let text = fault.to_string();
        assert!(text.contains("$TOKEN") && !text.contains("hunter2") && text.contains("line 39"), "{text}");
        assert!(!text.contains("line 20") && text.len() < 6000, "{}", text.len());
        let newer = failure(&recipe(), "the --mount option requires BuildKit", &said);
        assert!(newer.advice.unwrap().contains("image.source = \"docker\""));
    }

    #[test]
    fn a_build_has_a_name_of_its_own_in_the_engine() {
        let shape = Shape { arch: Arch::X86_64, platforms: Platforms::Task, room_gib: 20 };
        let name = tag(&recipe(), shape);
        assert!(name.starts_with("labguard-build/prediction:") && name == tag(&recipe(), shape), "{name}");
        let other = BuildRecipe { target: Some("test".to_owned()), ..recipe() };
        assert_ne!(tag(&other, shape), name);
        assert_ne!(tag(&recipe(), Shape { arch: Arch::Arm64, ..shape }), name);
        assert!(tag(&BuildRecipe { context: "/".to_owned(), ..recipe() }, shape).starts_with("labguard-build/image:"));
    }
}
