//! Images from the local Docker engine: built by it, exported from it, run by it. Where none answers these tests say that
//! they were skipped; what an engine may answer is played by a server on loopback in any case.

#[path = "support/engine.rs"]
mod engine;
#[path = "support/house.rs"]
#[expect(dead_code, reason = "only the daemon's own tests signal it")]
mod house;
#[path = "image_supply/registry.rs"]
#[expect(dead_code, reason = "the registry's own tests look further into it")]
mod registry;

use std::{collections::HashMap, path::Path, time::Duration};

use bollard::{
    models::{ContainerCreateBody, HostConfig, PortBinding},
    query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder},
};
use engine::Base;
use labguard::{
    domain::model::{Arch, BuildRecipe, Fault, FaultClass, ImageSource, ImageSpec, SupplyStage},
    image::{self, Desk, Prepared, Report, Target},
};
use registry::Registry;

fn spec(source: ImageSource) -> ImageSpec {
    let arch = if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 };
    ImageSpec { repository: None, arch, ..ImageSpec::plain("", "", source) }
}

async fn prepared(workspace: &Path, source: ImageSource) -> Result<Prepared, Fault> {
    image::prepare(&Desk::by_hand(None, workspace.to_owned(), Report::default()), &spec(source)).await
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn build(folder: &Path, base: &Base, more: &[(&str, &str)]) -> BuildRecipe {
    let mut args = vec![("BASE".to_owned(), base.name.clone())];
    args.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    BuildRecipe { context: folder.display().to_string(), args, ..BuildRecipe::default() }
}

/// The engine's name for the last build of a folder on this base, whose label every build on it bears: a folder of the
/// same name may have builds of a run that was killed, or of one that runs beside this one.
async fn built(base: &Base, folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_str().unwrap().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let ours = HashMap::from([("label", vec![format!("labguard.test={}", base.name)])]);
    let ours = ListImagesOptionsBuilder::default().filters(&ours).build();
    let images = base.docker.list_images(Some(ours)).await.unwrap();
    let tags: Vec<String> = images.into_iter().flat_map(|image| image.repo_tags).collect();
    let mut found = tags.into_iter().filter(|tag| tag.starts_with(&format!("labguard-build/{name}:")));
    let tag = found.next().expect("a build is tagged");
    assert_eq!(found.next(), None, "a folder has one build");
    tag
}

/// What it answers first, waited for a minute: it starts beside whatever else this machine does.
async fn until_answer(url: &str) -> Result<serde_json::Value, String> {
    let request = serde_json::json!({
        "gre_score": 300, "toefl_score": 100, "university_rating": 4, "sop": 3, "lor": 4, "cgpa": 8.90, "research": "Yes"
    });
    // A second installation is refused and fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let asked = tokio::time::Instant::now();
    loop {
        let last = match client.post(url).json(&request).timeout(Duration::from_secs(10)).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(answer.json().await.unwrap()),
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.to_string(),
        };
        if asked.elapsed() > Duration::from_secs(60) {
            return Err(format!("{url} never answered, at last: {last}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exercises_container_is_built_pushed_and_answers_predict() {
    let Some(docker) = engine::engine().await else { return };
    let Some(registry) = Registry::start() else { return };
    let base = Base::make(&docker, "exercise").await;
    let home = tempfile::tempdir().unwrap();
    let workspace = home.path().join("workspace");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = BuildRecipe {
        dockerfile: Some("deploy/prediction/Dockerfile".to_owned()),
        ..build(project, &base, &[("RUST", &base.name)])
    };
    let (report, mut ear) = Report::new(labguard::clock::Clock::System);
    let steps = tokio::spawn(async move {
        let mut steps = Vec::new();
        while ear.changed().await.is_ok() {
            let said = ear.borrow_and_update().clone();
            steps.extend(said.filter(|said| said.stage == SupplyStage::Building).map(|said| said.detail));
        }
        steps
    });
    let desk = Desk::by_hand(None, workspace.clone(), report);
    let image = image::prepare(&desk, &spec(ImageSource::Build(recipe))).await.unwrap();
    let summary = image.summary();
    let config = summary.manifests.last().unwrap().config.as_ref().unwrap();
    assert_eq!((config.entrypoint.as_slice(), config.user.as_deref()), (&["/app".to_owned()][..], Some("10001:10001")));
    let place = registry.place("exercise");
    let pushed = image::push(&desk, &Target::Elsewhere { uri: format!("{place}:1") }, &image).await.unwrap();
    drop((desk, image));
    let steps = steps.await.unwrap();
    assert!(steps.iter().any(|step| step.starts_with("Step ")), "{steps:?}");

    // The engine forgets it, and runs what it pulls back.
    let tag = built(&base, project).await;
    docker.remove_image(&tag, None::<bollard::query_parameters::RemoveImageOptions>, None).await.unwrap();
    let options = bollard::query_parameters::CreateImageOptionsBuilder::default().from_image(&pushed.uri).build();
    let pulled = docker.create_image(Some(options), None, None);
    futures::TryStreamExt::try_collect::<Vec<_>>(pulled).await.unwrap();
    let bindings =
        [("5000/tcp".to_owned(), Some(vec![PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None }]))];
    let body = ContainerCreateBody {
        image: Some(pushed.uri.clone()),
        host_config: Some(HostConfig { port_bindings: Some(bindings.into_iter().collect()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let container =
        docker.create_container(None::<bollard::query_parameters::CreateContainerOptions>, body).await.unwrap().id;
    docker.start_container(&container, None::<bollard::query_parameters::StartContainerOptions>).await.unwrap();
    let seen =
        docker.inspect_container(&container, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap();
    let ports = seen.network_settings.unwrap().ports.unwrap();
    let port = ports["5000/tcp"].as_ref().unwrap()[0].host_port.clone().unwrap();
    let answer = until_answer(&format!("http://127.0.0.1:{port}/predict")).await;
    let seen = docker.inspect_container(&container, None::<bollard::query_parameters::InspectContainerOptions>).await;
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(&container, Some(force)).await.unwrap();
    let answer = answer.unwrap_or_else(|why| panic!("{why}; its container: {:?}", seen.map(|it| it.state)));
    let chance = answer["chance_of_admit"].as_f64().unwrap();
    assert!((chance - 0.7335).abs() <= 0.0005, "{answer}");
    let left: Vec<_> = std::fs::read_dir(&workspace).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|it| it == "layers.json"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_follow_their_dockerfile_and_say_what_went_wrong() {
    let Some(docker) = engine::engine().await else { return };
    let base = Base::make(&docker, "builds").await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(format!("app{}", std::process::id()));
    let workspace = home.path().join("workspace");
    put(
        &folder,
        "Dockerfile",
        "ARG BASE\nFROM ${BASE} AS files\nARG GREETING\nCOPY . /seen/\nRUN cat /seen/kept && test ! -e /seen/secret && echo \"$GREETING\" > /greeting\nFROM files AS broken\nRUN echo on the way; echo \"token $GREETING\"; exit 3\nFROM files\nLABEL a=b\n",
    );
    put(&folder, "kept", "kept");
    put(&folder, "secret", "not for the builder");
    put(&folder, ".dockerignore", "secret\n");
    let recipe = build(&folder, &base, &[("GREETING", "good morning")]);

    // The whole Dockerfile fails in its middle stage, in words.
    let fault = prepared(&workspace, ImageSource::Build(recipe.clone())).await.unwrap_err();
    let text = fault.to_string();
    assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Rejected, "BuildFailed"), "{fault}");
    assert!(text.contains("on the way") && text.contains("non-zero code: 3"), "{text}");
    assert!(text.contains("token $GREETING") && !text.contains("good morning"), "a build argument is shown: {text}");

    // Up to a stage it works, and a second build of the same has the same image, from the cache.
    let stage = BuildRecipe { target: Some("files".to_owned()), ..recipe.clone() };
    let first = prepared(&workspace, ImageSource::Build(stage.clone())).await.unwrap();
    let tag = built(&base, &folder).await;
    let before = docker.inspect_image(&tag).await.unwrap().id.unwrap();
    let again = prepared(&workspace, ImageSource::Build(stage.clone())).await.unwrap();
    assert_eq!(first.digest(), again.digest());

    // From the engine by name, it is the very same image.
    let named = prepared(&workspace, ImageSource::Docker { reference: tag.clone() }).await.unwrap();
    assert_eq!(named.digest(), first.digest());

    // For another machine it is refused before it is exported, with the flag that mends it.
    let desk = Desk::by_hand(None, workspace.clone(), Report::default());
    let other = if cfg!(target_arch = "aarch64") { Arch::X86_64 } else { Arch::Arm64 };
    let wrong = ImageSpec { arch: other, ..spec(ImageSource::Docker { reference: tag.clone() }) };
    let fault = image::prepare(&desk, &wrong).await.unwrap_err();
    assert!(fault.to_string().contains("--platform=linux/"), "{fault}");

    // A changed file makes another image; the one before it is gone.
    put(&folder, "kept", "changed");
    let changed = prepared(&workspace, ImageSource::Build(stage.clone())).await.unwrap();
    assert_ne!(changed.digest(), first.digest());
    assert!(docker.inspect_image(&before).await.is_err(), "the image of the last build stays for ever");

    let absent = prepared(&workspace, ImageSource::Docker { reference: "labguard-no-such-image:1".to_owned() }).await;
    let absent = absent.unwrap_err();
    assert_eq!(absent.class, FaultClass::NotFound);
    assert!(absent.to_string().contains("labguard-no-such-image:1") && absent.advice.is_some(), "{absent}");
    let stage = BuildRecipe { target: Some("nowhere".to_owned()), ..recipe };
    let fault = prepared(&workspace, ImageSource::Build(stage)).await.unwrap_err();
    assert!(fault.to_string().contains("nowhere"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_given_up_is_stopped() {
    let Some(docker) = engine::engine().await else { return };
    let base = Base::make(&docker, "given-up").await;
    let home = tempfile::tempdir().unwrap();
    put(home.path(), "Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN sleep 600\n");
    let recipe = build(home.path(), &base, &[]);
    // Containers in which this very step runs; other tests build beside this one.
    let running = async || {
        let all = docker.list_containers(Some(ListContainersOptionsBuilder::default().build())).await.unwrap();
        all.into_iter().filter(|it| it.command.as_ref().is_some_and(|command| command.contains("sleep 600"))).count()
    };
    let (report, mut ear) = Report::new(labguard::clock::Clock::System);
    let desk = Desk::by_hand(None, home.path().join("workspace"), report);
    let wanted = spec(ImageSource::Build(recipe));
    tokio::select! {
        image = image::prepare(&desk, &wanted) => panic!("{:?}", image.map(drop)),
        () = async {
            ear.wait_for(|said| said.as_ref().is_some_and(|said| said.detail.contains("sleep 600"))).await.unwrap();
            while running().await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        } => {}
    }
    let mut left = running().await;
    for _ in 0..300 {
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = running().await;
    }
    assert_eq!(left, 0, "the step runs on");
}

/// An engine that answers every request with these bytes, or holds its peace.
async fn played(answer: Option<&'static str>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let read = client.read(&mut asked).await.unwrap_or_default();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                let version = r#"{"ApiVersion":"1.41","Version":"20.10"}"#;
                let answer = if asked.contains("/version") && answer.is_some_and(|it| !it.starts_with("no engine")) {
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{version}",
                        version.len()
                    )
                } else {
                    match answer {
                        Some(answer) => answer.to_owned(),
                        None => std::future::pending().await,
                    }
                };
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_silent_broken_or_none_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    // Kept while the others are given theirs, and nobody listens there.
    let closed = house::held_port::HeldPort::new();
    let error = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 26\r\n\r\n{\"message\":\"out of space\"}";
    let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\n{\"message\":\"no!\"}";
    let cases = [
        (format!("tcp://127.0.0.1:{}", closed.number), FaultClass::Rejected, "NoEngine", "DOCKER_HOST"),
        ("unix:///nowhere/docker.sock".to_owned(), FaultClass::Rejected, "NoEngine", "/nowhere/docker.sock"),
        ("ssh://host".to_owned(), FaultClass::Rejected, "NoEngine", "ssh://host"),
        (played(None).await, FaultClass::Transient, "EngineSilent", "docker version"),
        (played(Some("no engine at all\r\n\r\n")).await, FaultClass::Transient, "EngineBroken", "127.0.0.1"),
        (played(Some(error)).await, FaultClass::Transient, "Engine", "out of space"),
        (played(Some(denied)).await, FaultClass::Denied, "EngineDenied", "no!"),
    ];
    for (address, class, code, said) in cases {
        let mut desk = Desk::by_hand(None, home.path().join("workspace"), Report::default());
        desk.engine = Some(address.clone());
        let wanted = spec(ImageSource::Docker { reference: "lab:1".to_owned() });
        let fault = image::prepare(&desk, &wanted).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (class, code), "{address}: {fault}");
        assert!(fault.to_string().contains(said), "{address}: {fault}");
        assert!(fault.advice.is_some(), "{address}: {fault}");
    }
}

/// The daemon and the sandbox: the real binary, a session whose image is built.
#[test]
fn a_session_builds_its_image_and_runs_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(docker) = runtime.block_on(engine::engine()) else { return };
    let base = runtime.block_on(Base::make(&docker, "session"));
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join(format!("lab{}", std::process::id()));
    put(
        &project,
        "Dockerfile",
        "ARG BASE\nFROM ${BASE}\nRUN cp /prebuilt/labguard /app\nEXPOSE 5000\nENTRYPOINT [\"/app\", \"predictor\", \"serve\"]\n",
    );
    let mut house = house::House::new();
    let image = format!(
        "source = \"build\"\ncontext = \"{}\"\nbuild_args = {{ BASE = \"{}\" }}\n",
        project.display(),
        base.name
    );
    // Instead of the house's own, which is a program.
    let own = |line: &str| line.starts_with("path = ") || line.starts_with("args = ");
    house.rewrite(|text| {
        let rest: String = text.lines().filter(|line| !own(line)).map(|line| format!("{line}\n")).collect();
        rest.replacen("[sessions.admission.image]\n", &format!("[sessions.admission.image]\n{image}"), 1)
    });
    house.start();
    let up = house.run(&["up", "admission"]);
    let talk = String::from_utf8_lossy(&up.stderr).into_owned();
    assert!(up.status.success(), "{talk}\n{}", house.log());
    let address = String::from_utf8(up.stdout).unwrap().trim().to_owned();
    let answer = runtime.block_on(until_answer(&format!("{address}/predict")));
    let answer = answer.unwrap_or_else(|why| panic!("{why}; the daemon:\n{}", house.log()));
    assert!((answer["chance_of_admit"].as_f64().unwrap() - 0.7335).abs() <= 0.0005, "{answer}");
    assert!(talk.contains("layer ") && talk.contains(" sent ("), "{talk}");
    house.text(&["down", "admission"]);
}
