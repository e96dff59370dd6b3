//! A push that is interrupted at every request there is, and resumed.

use labguard::image::{self, Target};

use super::{
    images::{Layout, noise, tar_of},
    registry::Registry,
    rough::{Fate, Road},
    skopeo,
    sources::{archive, desk, push, spec},
};

/// Three layers of different sizes.
fn sample() -> (Layout, String, u64) {
    let mut layout = Layout::default();
    let tars = [
        tar_of(&[("base", &noise(1, 400_000))]),
        tar_of(&[("lib", &noise(2, 150_000))]),
        tar_of(&[("app/serve", &noise(3, 20))]),
    ];
    let image = layout.image("amd64", &tars);
    let digest = image["digest"].as_str().unwrap().to_owned();
    let blobs: u64 = layout.blobs.iter().filter(|(it, _)| **it != digest).map(|(_, bytes)| bytes.len() as u64).sum();
    layout.tops.push(image);
    (layout, digest, blobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_ends_at_any_request_is_resumed_with_what_is_missing() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let (layout, root, all) = sample();
    let spec = spec(archive(&layout.folder(&home.path().join("layout"))));
    let road = Road::to(registry.port).await;
    let workspace = home.path().join("workspace");
    let (mut interrupted, mut spared) = (0, 0);
    for answered in [false, true] {
        for number in 1.. {
            let place = format!("lab{number}{answered}");
            let to = format!("{}:1", road.place(&place));
            road.rule(move |at, _, _| match (at == number, answered) {
                (false, _) => Fate::Through,
                (true, false) => Fate::Held,
                (true, true) => Fate::AnswerHeld,
            });
            let over = {
                let desk = desk(&workspace);
                let prepared = image::prepare(&desk, &spec).await.unwrap();
                let target = Target::Elsewhere { uri: to.clone() };
                tokio::select! {
                    biased;
                    // The connection, and everything on its way beside it, is dropped as a killed process drops it.
                    () = road.held.notified() => false,
                    pushed = image::push(&desk, &target, &prepared) => {
                        assert!(pushed.unwrap().uri.ends_with(&root));
                        true
                    }
                }
            };
            if over {
                assert!(number > 10, "only {} requests", number - 1);
                break;
            }
            interrupted += 1;
            let arrived: u64 = road.uploaded(&place).iter().map(|digest| layout.blobs[digest].len() as u64).sum();
            road.rule(|_, _, _| Fate::Through);
            let pushed = push(&workspace, &spec, &to).await;
            assert!(pushed.uri.ends_with(&root), "after request {number}: {}", pushed.uri);
            assert!(
                pushed.sent <= all - arrived,
                "after request {number}: {} sent of {all}, {arrived} had arrived",
                pushed.sent
            );
            spared += all - pushed.sent;
            let (pulled, found) = skopeo::pull(home.path(), &format!("{}:1", registry.place(&place)));
            assert_eq!(pulled, root, "after request {number}");
            assert!(found.iter().all(|(digest, bytes)| layout.blobs[digest] == *bytes), "after request {number}");
        }
    }
    println!("{interrupted} pushes interrupted and resumed; {spared} of {} bytes not sent twice", interrupted * all);
    assert!(spared > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_at_any_request_is_mended_within_the_push() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let (layout, root, all) = sample();
    let spec = spec(archive(&layout.folder(&home.path().join("layout"))));
    let workspace = home.path().join("workspace");
    // Side by side: each waits half a second for its second try.
    let pushes =
        (1..=14).flat_map(|number| [Fate::Cut, Fate::AnswerLost, Fate::CutAfter(1000)].map(|fate| (number, fate)));
    let pushes = pushes.map(|(number, fate)| {
        let (spec, workspace, registry, root, home) = (&spec, &workspace, &registry, &root, home.path());
        async move {
            let road = Road::to(registry.port).await;
            let broken = fate.clone();
            road.rule(move |at, _, _| if at == number { fate.clone() } else { Fate::Through });
            let name = format!("lab{number}{}", format!("{broken:?}").to_lowercase().replace(['(', ')'], ""));
            let pushed = push(workspace, spec, &format!("{}:1", road.place(&name))).await;
            assert!(pushed.uri.ends_with(root), "{broken:?} at request {number}");
            assert!(pushed.sent <= all, "{broken:?} at request {number}: {}", pushed.sent);
            if number % 4 == 0 {
                assert_eq!(skopeo::pull(home, &format!("{}:1", registry.place(&name))).0, *root);
            }
        }
    });
    futures::future::join_all(pushes).await;
}
