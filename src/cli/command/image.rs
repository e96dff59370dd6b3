//! `labguard image`: look at an image, or push one, by hand.

use clap::{Args, Subcommand};
use tokio::sync::watch;

use super::super::{
    CliError, Context, ExitCode,
    output::{Icon, image, layers, narrator::Narrator},
    signals::Signals,
    wiring,
};
use crate::domain::model::{Arch, BuildRecipe, Effect, ImageConfig, ImageProgress, ImageSource, ImageSpec, Platforms};

/// Arguments of `image`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct ImageArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with an image.
#[derive(Debug, Subcommand)]
pub enum What {
    /// What is in an image: digest, platforms, layers, configuration.
    #[command(after_help = "\
Layers are not read, and nothing is sent. Values of environment variables are not shown.

Examples:
  labguard image inspect archive:lab.tar
  labguard image inspect executable:./serve
  labguard image inspect registry:localhost:5000/lab:1 --json | jq .digest")]
    Inspect(Inspect),
    /// Push an image straight to a registry; prints its pinned reference.
    #[command(after_help = "\
What the registry has is not sent again. The account's own registry is reached with the configuration's
credentials, every other with the login that `docker login` stored. Ctrl-C ends it; the next push goes on.

Examples:
  labguard image push archive:lab.tar localhost:5000/lab:1
  labguard image push build:. localhost:5000/lab:1 --file deploy/prediction/Dockerfile
  labguard image push executable:./serve 123456789012.dkr.ecr.us-east-1.amazonaws.com/lab:1 --port 5000")]
    Push(Push),
}

/// Which image.
#[derive(Debug, Args)]
pub struct Which {
    /// build:FOLDER, docker:NAME:TAG, executable:PATH, archive:PATH, archive:PATH#NAME:TAG, or registry:HOST/REPOSITORY:TAG.
    #[arg(value_parser = source)]
    pub source: ImageSource,
    /// The platform that is wanted of it.
    #[arg(long, default_value = "linux/amd64", value_parser = platform, value_name = "PLATFORM")]
    pub platform: Arch,
    /// All of an index's platforms, attestations included.
    #[arg(long)]
    pub all_platforms: bool,
    /// An argument after the executable; may be given several times.
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// The Dockerfile of a build, relative to its folder or absolute.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// The stage of a build; the last when left out.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// A build's argument; may be given several times. Not for secrets: the image's history shows them.
    #[arg(long = "build-arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub build_args: Vec<(String, String)>,
    /// A TCP port that an executable's image exposes; may be given several times.
    #[arg(long = "port", value_name = "PORT")]
    pub ports: Vec<u16>,
    /// Most GiB that the layers may unpack to.
    #[arg(long, default_value_t = 20, value_name = "GIB")]
    pub room: u32,
}

impl Which {
    fn spec(&self) -> ImageSpec {
        let mut source = self.source.clone();
        match &mut source {
            ImageSource::Executable { args, .. } => args.clone_from(&self.args),
            ImageSource::Build(recipe) => {
                recipe.dockerfile.clone_from(&self.file);
                recipe.target.clone_from(&self.target);
                recipe.args.clone_from(&self.build_args);
            }
            _ => {}
        }
        ImageSpec {
            repository: None,
            tag: String::new(),
            mark: None,
            source,
            arch: self.platform,
            ports: self.ports.clone(),
            platforms: if self.all_platforms { Platforms::All } else { Platforms::Task },
            room_gib: self.room,
        }
    }
}

/// Arguments of `image inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Which image.
    #[command(flatten)]
    pub which: Which,
}

/// Arguments of `image push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Which image.
    #[command(flatten)]
    pub which: Which,
    /// Where to: HOST/REPOSITORY:TAG.
    pub destination: String,
}

impl ImageArgs {
    /// Does it.
    ///
    /// # Errors
    /// When the source cannot be read, or a registry refuses.
    pub async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        match &self.what {
            What::Inspect(inspect) => inspect.run(context).await,
            What::Push(push) => push.run(context).await,
        }
    }
}

impl Inspect {
    async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let spec = self.which.spec();
        let (hand, report, ear) = wiring::by_hand(context).await?;
        let summary = attended(context, ear, hand.inspect(&spec, report)).await?;
        let output = &context.output;
        if output.json {
            output.print_json(&summary)?;
        } else {
            output.print(&image::image(output.data, &summary))?;
        }
        Ok(ExitCode::Ok)
    }
}

impl Push {
    async fn run(&self, context: &Context) -> Result<ExitCode, CliError> {
        let spec = self.which.spec();
        let (hand, report, ear) = wiring::by_hand(context).await?;
        let pushed = attended(context, ear, hand.push(&spec, &self.destination, report)).await?;
        let output = &context.output;
        if output.json {
            let document = serde_json::json!({ "uri": pushed.uri, "sent_bytes": pushed.sent, "tags": pushed.tags });
            output.print_json(&document)?;
            return Ok(ExitCode::Ok);
        }
        let said = match (pushed.effect, pushed.sent) {
            (Effect::AlreadyThere, _) => "it was there already".to_owned(),
            (_, sent) => format!("{} sent", layers::size(sent)),
        };
        output.say(Icon::Done, &format!("{}: {said}", self.destination));
        output.print(&pushed.uri)?;
        Ok(ExitCode::Ok)
    }
}

/// Waits for it, showing how it comes on; Ctrl-C ends it.
async fn attended<T>(
    context: &Context,
    mut ear: watch::Receiver<Option<ImageProgress>>,
    work: impl Future<Output = Result<T, crate::domain::model::Fault>>,
) -> Result<T, CliError> {
    let mut narrator = Narrator::new(&context.output);
    let mut signals = Signals::listen();
    let mut before: Option<ImageProgress> = None;
    let mut work = std::pin::pin!(work);
    let mut heard = true;
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            changed = ear.changed(), if heard => {
                heard = changed.is_ok();
                None
            }
            () = signals.nth(1) => {
                let text = "interrupted; what has been sent stays at the registry, and the next push goes on from it";
                return Err(CliError::Interrupted(text.to_owned()));
            }
        };
        let now = ear.borrow_and_update().clone();
        narrator.supply(before.as_ref(), now.as_ref());
        if let Some(now) = &now {
            narrator.doing(&now.describe());
        }
        before = now;
        if let Some(done) = done {
            return done.map_err(CliError::Image);
        }
    }
}

fn source(text: &str) -> Result<ImageSource, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    if rest.is_empty() {
        return Err(
            "expected build:FOLDER, docker:NAME, executable:PATH, archive:PATH or registry:HOST/REPOSITORY:TAG"
                .to_owned(),
        );
    }
    Ok(match kind {
        "executable" => {
            ImageSource::Executable { path: rest.to_owned(), args: Vec::new(), config: ImageConfig::default() }
        }
        "archive" => {
            let (path, reference) = rest.split_once('#').map_or((rest, None), |(path, it)| (path, Some(it.to_owned())));
            ImageSource::Archive { path: path.to_owned(), reference }
        }
        "docker" => ImageSource::Docker { reference: rest.to_owned() },
        "build" => ImageSource::Build(BuildRecipe { context: rest.to_owned(), ..BuildRecipe::default() }),
        // To be read from there, so that it can be pushed elsewhere.
        "registry" => ImageSource::Registry { uri: rest.to_owned(), mirror: true },
        other => {
            return Err(format!("{other:?} is no source; expected build, docker, executable, archive or registry"));
        }
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no '='; expected NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn platform(text: &str) -> Result<Arch, String> {
    match text {
        "linux/amd64" => Ok(Arch::X86_64),
        "linux/arm64" | "linux/arm64/v8" => Ok(Arch::Arm64),
        other => Err(format!("{other:?} is no platform of Fargate's; expected linux/amd64 or linux/arm64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_they_are_shown() {
        for text in [
            "build:.",
            "docker:lab:1",
            "executable:./serve",
            "archive:lab.tar",
            "archive:lab.tar#lab:1",
            "registry:h:5000/lab:1",
        ] {
            assert_eq!(source(text).unwrap().describe(), text);
        }
        for (text, said) in [("lab.tar", "expected"), ("archive:", "expected"), ("ftp:x", "is no source")] {
            assert!(source(text).unwrap_err().contains(said), "{text}");
        }
        assert_eq!(pair("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(pair("A").unwrap_err().contains("NAME=VALUE"));
        assert!(platform("windows/amd64").unwrap_err().contains("linux/arm64"));
    }
}
