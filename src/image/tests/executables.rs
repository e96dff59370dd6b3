//! Images made of one executable: the same every time, and every refusal.

use super::sample::{Room, SHAPE};
use crate::{
    domain::model::{Arch, Fault, FaultClass, ImageConfig},
    image::{
        Prepared,
        choose::Shape,
        elf::tests::program,
        executable::{Recipe, build},
    },
};

fn recipe(path: &std::path::Path) -> Recipe {
    Recipe {
        path: path.display().to_string(),
        args: vec!["--port".to_owned(), "5000".to_owned()],
        ports: vec![80, 5000],
        config: ImageConfig::default(),
        shape: SHAPE,
    }
}

fn executable(room: &Room, bytes: &[u8]) -> std::path::PathBuf {
    let path = room.file("web", bytes);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

async fn made(room: &Room, recipe: Recipe) -> Result<Prepared, Fault> {
    let made = build(recipe, &room.workspace()).await;
    assert_eq!(room.left(), Vec::<String>::new());
    made
}

async fn files(prepared: &Prepared) -> Vec<(String, u32)> {
    let bytes = prepared.blobs[0].content.document().await.unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let entries = tar.entries().unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())).collect()
}

#[tokio::test]
async fn the_same_program_gives_the_same_image_and_another_gives_another() {
    let (room, elsewhere) = (Room::new(), Room::new());
    let path = executable(&room, &program(Arch::X86_64));
    let one = made(&room, recipe(&path)).await.unwrap();
    let two = made(&elsewhere, recipe(&executable(&elsewhere, &program(Arch::X86_64)))).await.unwrap();
    assert_eq!(one.summary(), two.summary());
    assert_eq!(files(&one).await, [("app/".to_owned(), 0o755), ("app/web".to_owned(), 0o755)]);
    let config = one.summary().manifests[0].config.clone().unwrap();
    assert_eq!((config.entrypoint, config.cmd.len(), config.ports.len()), (vec!["/app/web".to_owned()], 2, 2));
    let arm =
        Recipe { shape: Shape { arch: Arch::Arm64, ..SHAPE }, ..recipe(&executable(&room, &program(Arch::Arm64))) };
    assert_ne!(made(&room, arm).await.unwrap().digest(), one.digest());
}

#[tokio::test]
async fn the_configuration_is_written_and_a_named_user_can_be_looked_up() {
    let room = Room::new();
    let path = executable(&room, &program(Arch::X86_64));
    let config = ImageConfig {
        entrypoint: vec!["/app/web".to_owned(), "serve".to_owned()],
        environment: vec![("MODE".to_owned(), "a=b".to_owned())],
        user: Some("web".to_owned()),
    };
    let named = made(&room, Recipe { config: config.clone(), ..recipe(&path) }).await.unwrap();
    let said = named.summary().manifests[0].config.clone().unwrap();
    assert_eq!((said.entrypoint.len(), said.environment[0].as_str(), said.user.as_deref()), (2, "MODE", Some("web")));
    assert!(files(&named).await.iter().any(|(path, _)| path == "etc/passwd"));
    let numbered = ImageConfig { user: Some("1000:50".to_owned()), ..config };
    let numbered = made(&room, Recipe { config: numbered, ..recipe(&path) }).await.unwrap();
    assert_eq!(files(&numbered).await.len(), 2, "numbers need no files");
}

#[tokio::test]
async fn what_cannot_be_configured_is_refused_in_words() {
    let room = Room::new();
    let path = executable(&room, &program(Arch::X86_64));
    let plain = ImageConfig::default();
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let user = |user: &str| ImageConfig { user: Some(user.to_owned()), ..ImageConfig::default() };
    for config in [
        user(""),
        user("web:web"),
        user("Web"),
        user("-1"),
        user("99999999999"),
        ImageConfig { environment: pair("", "x"), ..plain.clone() },
        ImageConfig { environment: pair("A=B", "x"), ..plain.clone() },
        ImageConfig { environment: pair("A", "\0"), ..plain.clone() },
        ImageConfig { entrypoint: vec![String::new()], ..plain },
    ] {
        let fault = made(&room, Recipe { config: config.clone(), ..recipe(&path) }).await.unwrap_err();
        assert_eq!(fault.code, "ImageConfig", "{config:?}");
    }
}

#[tokio::test]
async fn what_is_no_program_of_the_architecture_is_refused_in_words() {
    let room = Room::new();
    let path = room.folder.path().join("web");
    let code = async |arch| {
        let built = made(&room, Recipe { shape: Shape { arch, ..SHAPE }, ..recipe(&path) }).await;
        built.map(drop).map_err(|fault| (fault.class, fault.code))
    };
    let unreadable = Err((FaultClass::Rejected, "ImageSourceUnreadable".to_owned()));
    assert_eq!(code(Arch::X86_64).await, unreadable, "not there");
    std::fs::write(&path, program(Arch::X86_64)).unwrap();
    assert_eq!(code(Arch::X86_64).await, unreadable, "not executable");
    executable(&room, &program(Arch::X86_64));
    assert_eq!(code(Arch::X86_64).await, Ok(()));
    assert_eq!(code(Arch::Arm64).await.unwrap_err().1, "ImageArchitecture");
    executable(&room, b"#!/bin/sh\n");
    assert_eq!(code(Arch::X86_64).await, unreadable, "a script");
}

#[tokio::test]
async fn a_workspace_that_cannot_be_written_is_a_clear_fault() {
    let room = Room::new();
    let path = executable(&room, &program(Arch::X86_64));
    let file = room.file("file", b"");
    let fault = build(recipe(&path), &file.join("below")).await.unwrap_err();
    assert_eq!(fault.code, "Workspace");
    assert!(fault.advice.is_some());
}
