//! A registry that refuses, is busy, fails, or lies.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use labguard::{
    domain::model::{Fault, FaultClass, ImageSpec},
    image::{self, Target},
};

use super::{
    held_port::HeldPort,
    images::{Layout, noise, tar_of},
    registry::{PASSWORD, Registry, USER},
    rough::{Fate, Road},
    skopeo,
    sources::{archive, desk, push, spec},
};

fn sample(home: &std::path::Path) -> (ImageSpec, String) {
    let mut layout = Layout::default();
    let image = layout.image("amd64", &[tar_of(&[("base", &noise(1, 200_000))]), tar_of(&[("app/serve", b"it")])]);
    let digest = image["digest"].as_str().unwrap().to_owned();
    layout.tops.push(image);
    (spec(archive(&layout.folder(&home.join("layout")))), digest)
}

async fn refused(workspace: &std::path::Path, spec: &ImageSpec, to: &str) -> Fault {
    let desk = desk(workspace);
    let prepared = image::prepare(&desk, spec).await.unwrap();
    image::push(&desk, &Target::Elsewhere { uri: to.to_owned() }, &prepared).await.unwrap_err()
}

/// What a request is about, whatever it names.
fn kind(method: &str, path: &str) -> String {
    let about = ["/uploads/", "/blobs/", "/manifests/"].into_iter().find(|part| path.contains(part));
    format!("{method} {}", about.unwrap_or(path).trim_matches('/'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_or_failing_registry_is_asked_again_and_what_it_says_of_waiting_is_heeded() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let (spec, root) = sample(home.path());
    let cases = [
        ("busy", "429 Too Many Requests\r\nRetry-After: 1\r\n"),
        ("failing", "500 Internal Server Error\r\n"),
        ("away", "503 Service Unavailable\r\n"),
        ("gateway", "502 Bad Gateway\r\n"),
    ];
    let pushes = cases.map(|(name, answer)| {
        let (spec, registry, root, home) = (&spec, &registry, &root, home.path());
        async move {
            let road = Road::to(registry.port).await;
            // One of three of each kind. Counted over all kinds, a last layer's look, beginning and bytes could fall in
            // step with it, and its bytes meet nothing else until the tries are used up.
            let asked = Arc::new(Mutex::new(BTreeMap::<_, u64>::new()));
            let count = Arc::clone(&asked);
            road.rule(move |_, method, path| {
                let mut asked = count.lock().unwrap();
                let so_many = asked.entry(kind(method, path)).or_default();
                *so_many += 1;
                if *so_many % 3 == 1 { Fate::Answered(answer.to_owned()) } else { Fate::Through }
            });
            let began = tokio::time::Instant::now();
            let pushed = push(&home.join(name), spec, &format!("{}:1", road.place(name))).await;
            assert!(pushed.uri.ends_with(root), "{name}");
            if name == "busy" {
                assert!(began.elapsed().as_millis() >= 1000, "Retry-After was not heeded");
            }
            let met: Vec<String> = asked.lock().unwrap().keys().cloned().collect();
            assert_eq!(met, ["HEAD blobs", "HEAD manifests", "POST uploads", "PUT manifests", "PUT uploads"], "{name}");
            assert_eq!(skopeo::pull(home, &format!("{}:1", registry.place(name))).0, *root, "{name}");
        }
    });
    futures::future::join_all(pushes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_a_login_for_us_is_told_apart_from_one_that_refuses_the_login() {
    let Some(registry) = Registry::guarded() else { return };
    let home = tempfile::tempdir().unwrap();
    let (spec, root) = sample(home.path());
    let fault = refused(&home.path().join("w"), &spec, &registry.place("lab:1")).await;
    assert_eq!(fault.class, FaultClass::Denied, "{fault}");
    assert!(fault.to_string().contains("docker login"), "{fault}");
    assert_eq!((registry.stored(), registry.tags("lab")), (Vec::new(), Vec::new()));

    // The login that `docker login` would have stored, in the home of a labguard of its own.
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let logins = serde_json::json!({ "auths": { format!("127.0.0.1:{}", registry.port): { "auth": auth } } });
    let docker = home.path().join(".docker");
    std::fs::create_dir_all(&docker).unwrap();
    let by_hand = |logins: &str| {
        std::fs::write(docker.join("config.json"), logins).unwrap();
        let layout = home.path().join("layout");
        std::process::Command::new(env!("CARGO_BIN_EXE_labguard"))
            .args(["image", "push", &format!("archive:{}", layout.display()), &registry.place("lab:1")])
            .env_clear()
            .env("HOME", home.path())
            .output()
            .unwrap()
    };
    let wrong = by_hand(&logins.to_string().replace(&auth, "YWRhOndyb25n"));
    let talk = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(8), "{talk}");
    assert!(!talk.contains("wrong") && !talk.contains("YWRhOndyb25n"), "a secret is shown: {talk}");
    let right = by_hand(&logins.to_string());
    let talk = String::from_utf8_lossy(&right.stderr).into_owned();
    assert_eq!(right.status.code(), Some(0), "{talk}");
    assert_eq!(String::from_utf8_lossy(&right.stdout).trim(), format!("{}@{root}", registry.place("lab")));
    assert!(!talk.contains(PASSWORD) && talk.contains("sent"), "{talk}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lies_about_digests_is_not_believed() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let (spec, root) = sample(home.path());
    let road = Road::to(registry.port).await;
    let lies = Arc::new(Mutex::new(Vec::new()));
    for (name, lied_about) in [("upload", "PUT /blobs/"), ("manifest", "PUT /manifests/")] {
        let told = Arc::clone(&lies);
        road.rule(move |_, method, path| {
            let (verb, part) = lied_about.split_once(' ').unwrap();
            if method == verb && path.contains(part) {
                told.lock().unwrap().push(path.to_owned());
                Fate::Lied
            } else {
                Fate::Through
            }
        });
        let fault = refused(&home.path().join("w"), &spec, &format!("{}:1", road.place(name))).await;
        assert!(!std::mem::take(&mut *lies.lock().unwrap()).is_empty(), "{name}: it never came to a lie");
        assert_eq!(fault.code, "DigestMismatch", "{name}: {fault}");
    }
    // A tag that is said to be another image is pushed again, and then it is right.
    road.rule(
        |_, method, path| if method == "HEAD" && path.contains("/manifests/") { Fate::Lied } else { Fate::Through },
    );
    let pushed = push(&home.path().join("w"), &spec, &format!("{}:1", road.place("head"))).await;
    assert!(pushed.uri.ends_with(&root));
    assert_eq!(skopeo::pull(home.path(), &registry.place("head:1")).0, root);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_never_answers_is_given_up_with_its_name() {
    if super::registry::debian().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (spec, _) = sample(home.path());
    // Nobody listens there, nor may anybody while this is asked.
    let held = HeldPort::new();
    let port = held.number;
    let fault = refused(&home.path().join("w"), &spec, &format!("127.0.0.1:{port}/lab:1")).await;
    assert!(fault.to_string().contains(&format!("127.0.0.1:{port}")), "{fault}");
    assert!(fault.class.may_pass(), "{fault:?}");
}
