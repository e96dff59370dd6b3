//! The house keeps its walls: who may import whom, how files are named, sized and documented, what no code may hold.
//!
//! Every rule runs over the real tree, and over a snippet that breaks it: a rule that cannot fail is no rule.
//! The rules are in `tests/architecture/`; a new module gets a row there.

#[path = "architecture/habits.rs"]
mod habits;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/source.rs"]
mod source;

use std::{fs, path::Path};

use habits::{MEDIAN_LINES, P90_LINES};
use layers::TABLE;
use source::{SourceFile, read_tree};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn product() -> Vec<SourceFile> {
    let files = read_tree(root(), "src", &[]);
    assert!(files.len() > 10, "found only {} files under src", files.len());
    files
}

/// Everything that is compiled: product, tests, benches, examples.
fn everything() -> Vec<SourceFile> {
    let mut files = product();
    for folder in ["tests", "benches", "examples"] {
        files.extend(read_tree(root(), folder, &[]));
    }
    files
}

fn check(files: &[SourceFile], rule: impl Fn(&SourceFile) -> Vec<String>) {
    let broken: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "{} breaches:\n  {}", broken.len(), broken.join("\n  "));
}

fn snippet(path: &str, text: &str) -> SourceFile {
    SourceFile::parse(path, text).unwrap()
}

#[test]
fn modules_import_only_what_their_layer_may() {
    check(&product(), |file| layers::violations(file, TABLE));
}

#[test]
fn every_row_of_the_layer_table_names_modules_that_have_a_row() {
    for row in TABLE {
        for target in row.may_import.iter().filter(|target| **target != "*") {
            assert!(
                TABLE.iter().any(|other| other.module == *target),
                "{} may import {target}, which has no row",
                row.module
            );
        }
        assert!(row.reason.len() > 10, "{} needs a reason", row.module);
    }
}

#[test]
fn a_wrong_import_is_seen_however_it_is_written() {
    for (path, text) in [
        ("src/journal/append.rs", "use crate::cloud::Ecs;"),
        ("src/journal/append.rs", "use crate::{domain::model::Money, cloud};"),
        ("src/journal/append.rs", "use super::super::cloud::ecs::*;"),
        ("src/journal/append.rs", "fn f() { let _ = crate::cloud::ecs::call(); }"),
        ("src/journal/append.rs", "fn f(x: Vec<Option<crate::cloud::ecs::Task>>) {}"),
        ("src/journal/append.rs", "mod inner { use super::super::super::cloud::ecs; }"),
        ("src/journal/append.rs", "fn f() { println!(\"{}\", crate::cloud::NAME); }"),
        ("src/journal/append.rs", "fn f() { tokio::select! { x = crate::cloud::ecs::call() => {} } }"),
        ("src/cloud/mod.rs", "pub use crate::image::push::Push;"),
        ("src/journal/append.rs", "use labguard_sandbox::sandbox::Sandbox;"),
        ("src/journal/append.rs", "fn f() { println!(\"{}\", labguard_sandbox::sandbox::NAME); }"),
        ("src/domain/model/money.rs", "use crate::domain::policy::Policy;"),
        ("src/domain/policy/mod.rs", "use super::decide::decide;"),
        ("src/domain/policy/mod.rs", "use crate::clock::Clock;"),
        ("src/sandbox/ecs.rs", "use crate::domain::policy::Policy;"),
        ("src/sandbox/ecs.rs", "use crate::cloud::fault;"),
        ("src/predictor/mod.rs", "use crate::telemetry::catalogue::METRICS;"),
        ("src/sentinel/clocks.rs", "use crate::clock::Clock;"),
        ("src/activity/sentinel.rs", "use crate::sentinel::core::Core;"),
        ("src/reconcile/driver.rs", "use crate::api::Problem;"),
        ("src/reconcile/status.rs", "use crate::cloud::ecs;"),
        ("src/api/routes.rs", "use crate::reconcile::driver::Driver;"),
        ("src/api/routes.rs", "use crate::reconcile::Driver;"),
        ("src/schedule.rs", "use crate::sandbox::Sandbox;"),
        ("src/probe/http.rs", "use crate::telemetry::prometheus::Registry;"),
        ("src/probe/http.rs", "use crate::*;"),
        ("src/parlour/mod.rs", "//! a module without a row"),
    ] {
        let found = layers::violations(&snippet(path, text), TABLE);
        assert_eq!(found.len(), 1, "{path}: {text}\n{found:?}");
    }
}

#[test]
fn a_right_import_is_let_through() {
    for (path, text) in [
        ("src/image/push.rs", "use crate::cloud::ecr;"),
        ("src/journal/append.rs", "use super::schema; use crate::domain::model::{Event, Money};"),
        ("src/journal/mod.rs", "pub use self::append::Journal; mod append;"),
        ("src/cloud/ecs.rs", "// use crate::image::push;\nfn f() -> &'static str { \"crate::image::push\" }"),
        ("src/cloud/ecs.rs", "#[cfg(test)] mod tests { use crate::sandbox::Sandbox; }"),
        ("src/cloud/ecs.rs", "#[cfg(test)] use crate::sandbox::Sandbox;"),
        ("src/cloud/ecs.rs", "pub(crate) fn f() {} pub(super) fn g() {}"),
        ("src/probe/http.rs", "use crate::telemetry::catalogue::PROBE_SECONDS;"),
        ("src/reconcile/driver.rs", "use crate::{cloud::ecs, domain::decide::decide, journal::Journal};"),
        ("src/reconcile/mod.rs", "pub use driver::Driver; use crate::reconcile::status::SessionStatus;"),
        ("src/sandbox/ecs.rs", "use crate::sentinel::core::Core;"),
        ("src/cli/demo.rs", "use crate::sandbox::Sandbox; use crate::daemon;"),
        ("src/daemon.rs", "use crate::{api, cloud, config, journal, reconcile, sandbox, telemetry};"),
        ("src/main.rs", "use labguard::cli;"),
        ("src/sandbox/lib.rs", "pub mod sandbox; use labguard_domain::domain; use labguard_sentinel::sentinel;"),
        ("src/domain/mod.rs", "pub use model::Money; pub mod model;"),
    ] {
        assert_eq!(layers::violations(&snippet(path, text), TABLE), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    check(&everything(), habits::no_module_doc);
    assert!(
        !habits::no_module_doc(&snippet("src/a.rs", "use std::fmt;\n/// Late, and of the function only.\nfn f() {}"))
            .is_empty()
    );
    assert!(!habits::no_module_doc(&snippet("src/a.rs", "//! short\nfn f() {}")).is_empty());
}

#[test]
fn no_file_holds_more_than_one_idea() {
    check(&product(), habits::too_long);
    let long = "//! A long one.\n".to_owned() + &"fn f() {}\n".repeat(habits::MOST_LINES);
    assert!(!habits::too_long(&snippet("src/a.rs", &long)).is_empty());
    let tested = format!(
        "//! Short.\n#[cfg(test)]\n/// Its tests.\nmod tests {{\n{}}}\n",
        "    fn f() {}\n".repeat(2 * habits::MOST_LINES)
    );
    assert_eq!(snippet("src/a.rs", &tested).product_lines(), 1, "an inline test module is not counted");
}

#[test]
fn files_stay_short_on_the_whole() {
    let files = product();
    let (median, p90) = habits::lengths(files.iter());
    println!("{} files, median {median} lines, p90 {p90}", files.len());
    assert!(median <= MEDIAN_LINES, "median {median} lines, at most {MEDIAN_LINES}");
    assert!(p90 <= P90_LINES, "p90 {p90} lines, at most {P90_LINES}");
    let long = [snippet("src/a.rs", &"fn f() {}\n".repeat(500)), snippet("src/b.rs", "fn f() {}")];
    assert_eq!(habits::lengths(long.iter()), (1, 500));
}

#[test]
fn no_module_has_an_empty_name() {
    check(&everything(), habits::empty_name);
    for path in ["src/utils.rs", "src/cloud/common/mod.rs", "src/api/types.rs"] {
        assert!(!habits::empty_name(&snippet(path, "")).is_empty(), "{path}");
    }
    assert!(!habits::empty_name(&snippet("src/a.rs", "mod a { mod helpers {} }")).is_empty());
    assert!(!habits::empty_name(&snippet("src/cloud/service.rs", "")).is_empty());
    assert!(
        habits::empty_name(&snippet("src/cloud/ecs/mod.rs", "mod service;")).is_empty(),
        "an ECS service is a thing"
    );
}

#[test]
fn nothing_is_left_open() {
    check(&everything(), habits::left_open);
    for text in [
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"later\") }",
        "fn f() { dbg!(1); }",
        "#[allow(dead_code)] fn f() {}",
        "#![allow(dead_code)]",
        "mod a { #![allow(dead_code)] }",
        "#[test] #[ignore] fn f() {}",
        "#[test] #[ignore = \"slow\"] fn f() {}",
        concat!("// FIX", "ME: later\nfn f() {}"),
        concat!("/* TO", "DO */ fn f() {}"),
    ] {
        assert!(!habits::left_open(&snippet("src/a.rs", text)).is_empty(), "{text}");
    }
    assert!(
        habits::left_open(&snippet(
            "src/a.rs",
            "#[expect(dead_code, reason = \"allow me\")] fn f() { x(\"todo!()\") }"
        ))
        .is_empty()
    );
}

#[test]
fn no_code_is_unsafe() {
    check(&everything(), habits::unsafe_code);
    assert!(!habits::unsafe_code(&snippet("src/a.rs", "fn f() { unsafe { g() } }")).is_empty());
    assert!(!habits::unsafe_code(&snippet("src/a.rs", "m! { unsafe { g() } }")).is_empty());
    assert!(habits::unsafe_code(&snippet("src/a.rs", "// unsafe\n#![forbid(unsafe_code)]")).is_empty());
}

#[test]
fn the_time_of_day_is_read_at_the_clock_boundary_only() {
    check(&product(), habits::wall_clock);
    assert!(!habits::wall_clock(&snippet("src/a.rs", "fn f() { std::time::SystemTime::now(); }")).is_empty());
    assert!(!habits::wall_clock(&snippet("src/a.rs", "fn f() { chrono::Utc::now(); }")).is_empty());
    assert!(habits::wall_clock(&snippet("src/a.rs", "fn f() { tokio::time::Instant::now(); }")).is_empty());
}

#[test]
fn no_float_comes_near_money() {
    check(&product(), habits::floats_near_money);
    for text in ["fn f(x: f64) {}", "fn f() { let x = 0.5; }", "fn f() { let x = 1f64; }", "fn f() { g(2 as f32) }"] {
        assert!(!habits::floats_near_money(&snippet("src/domain/meter/accrual.rs", text)).is_empty(), "{text}");
    }
    assert!(
        habits::floats_near_money(&snippet("src/domain/meter/a.rs", "#[cfg(test)] mod tests { const X: f64 = 0.5; }"))
            .is_empty()
    );
    assert!(
        habits::floats_near_money(&snippet("src/domain/meter/a.rs", "fn f(x: (u8, u8)) -> u8 { x.0 + 1_000 }"))
            .is_empty()
    );
}

#[test]
fn production_code_does_not_panic() {
    check(&product(), habits::panics);
    for text in [
        "fn f() { g().unwrap(); }",
        "fn f() { g().expect(\"it\"); }",
        "fn f() { panic!(\"no\") }",
        "fn f() { unreachable!() }",
    ] {
        assert!(!habits::panics(&snippet("src/a.rs", text)).is_empty(), "{text}");
    }
    assert!(habits::panics(&snippet("src/a.rs", "#[cfg(test)] mod tests { fn f() { g().unwrap(); } }")).is_empty());
    assert!(
        habits::panics(&snippet("src/a.rs", "#[expect(dead_code)] fn f() { g().unwrap_or_default(); }")).is_empty()
    );
}

#[test]
fn an_error_is_a_fragment_and_leaves_its_source_to_the_chain() {
    check(&product(), habits::error_text);
    for text in [
        "enum E { #[error(\"cannot read: {source}\")] Read { source: io::Error } }",
        "enum E { #[error(\"cannot read: {0}\")] Read(#[from] io::Error) }",
        "enum E { #[error(\"cannot read {path}: {cause:?}\")] Read { path: String, #[source] cause: io::Error } }",
        "enum E { #[error(\"cannot read: {}\", .0)] Read(#[source] io::Error) }",
        "enum E { #[error(\"Cannot read\")] Read }",
        "#[error(\"cannot read.\")] struct E;",
    ] {
        assert!(!habits::error_text(&snippet("src/a.rs", text)).is_empty(), "{text}");
    }
    for text in [
        "enum E { #[error(\"cannot read {path}\")] Read { path: String, source: io::Error } }",
        "enum E { #[error(transparent)] Read(#[from] io::Error) }",
        "enum E { #[error(\"ECR refused {0}\")] Refused(String) }",
    ] {
        assert!(habits::error_text(&snippet("src/a.rs", text)).is_empty(), "{text}");
    }
}

#[test]
fn every_test_is_named_as_a_sentence() {
    check(&everything(), habits::test_names);
    for text in [
        "#[test] fn test_money() {}",
        "#[tokio::test] async fn works() {}",
        "mod tests { #[test] fn money_adds() {} }",
        "proptest! { #[test] fn test_it_all(x in 0..3) {} }",
    ] {
        assert!(!habits::test_names(&snippet("src/a.rs", text)).is_empty(), "{text}");
    }
    assert!(
        habits::test_names(&snippet("src/a.rs", "#[test] fn money_never_goes_below_zero() {} fn test_bed() {}"))
            .is_empty()
    );
}

/// The Markdown files that belong to the project.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("deploy"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

/// Relative link targets of a Markdown text, outside code fences, without their anchors.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets.filter(|it| !it.contains("://") && !it.starts_with('#')).map(str::to_owned));
        }
    }
    found.iter().map(|target| target.split('#').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    assert_eq!(links("see [a](b.md#c) and [d](https://e)\n```\n[f](g)\n```\n[h](i)"), ["b.md", "i"]);
    let mut dead = Vec::new();
    for (path, text) in documents() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        dead.extend(
            links(&text).into_iter().filter(|target| !folder.join(target).exists()).map(|it| format!("{path}: {it}")),
        );
    }
    assert!(dead.is_empty(), "dead links:\n  {}", dead.join("\n  "));
}

#[test]
fn the_map_in_the_documents_shows_every_room_of_the_house() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let files = product();
    let mut rooms: Vec<String> =
        files.iter().filter_map(|file| file.module.first().cloned()).filter(|name| name != "main").collect();
    rooms.extend(
        files
            .iter()
            .filter(|file| file.module.first().is_some_and(|it| it == "domain"))
            .filter_map(|file| file.module.get(1).map(|part| format!("domain/{part}"))),
    );
    rooms.sort();
    rooms.dedup();
    let missing: Vec<&String> = rooms.iter().filter(|room| !map.contains(&format!("`{room}"))).collect();
    assert!(missing.is_empty(), "docs/architecture.md does not show {missing:?}");
}

#[test]
fn every_decision_is_listed_and_has_its_parts() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(index.contains(&name), "docs/decisions/README.md does not list {name}");
        for part in ["## Why", "## What was decided", "## What follows"] {
            assert!(text.contains(part), "{name} has no part {part:?}");
        }
        seen += 1;
    }
    assert!(seen >= 7, "found {seen} decisions");
}
