//! The loader as a whole: layers, mistakes, the shipped files, and properties.
//!
//! Guarantees: files are written to temporary folders only. Must never read the ambient configuration.

use std::{collections::BTreeSet, path::Path};

use proptest::prelude::*;

use super::*;
use crate::domain::{
    model::{BuildRecipe, ImageConfig, ImageSource, Money, Span, Stage},
    policy::{FusePolicy, Net, RunMode, ShutdownPolicy},
};

pub(super) const MINIMAL: &str = "[sessions.a]\nowner = \"me\"\nimage.uri = \"registry.example.org/app:1\"\n";

pub(super) fn request(files: &[(&str, &str)]) -> (tempfile::TempDir, Request) {
    let folder = tempfile::tempdir().unwrap();
    let files = files.iter().map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let files = files.collect();
    (folder, Request { files, ..Request::default() })
}

pub(super) fn loaded(text: &str) -> Result<Settings, Mistakes> {
    let (_folder, request) = request(&[("a.toml", text)]);
    load(&request)
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

pub(super) fn one_mistake(text: &str) -> Mistake {
    let mistakes = loaded(&format!("{MINIMAL}{text}")).expect_err(text).0;
    assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
    mistakes[0].clone()
}

#[test]
fn the_built_in_defaults_alone_are_sound_and_hold_no_session() {
    let settings = load(&Request::default()).unwrap();
    assert!(settings.sessions.is_empty() && settings.origins.is_empty());
    assert!(settings.daemon.listen.ip().is_loopback() && settings.aws.sandbox.enabled);
}

#[test]
fn default_toml_the_schema_the_table_and_the_shown_keys_are_the_same() {
    let table: BTreeSet<String> = keys::SECTIONS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{}", key.path)))
        .collect();
    let file: BTreeSet<String> =
        reference::explained().1.into_iter().flat_map(|table| table.keys).map(|key| key.path).collect();
    assert_eq!(file, table);

    fn leaves(schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        for (name, inner) in schema["properties"].as_object().unwrap() {
            let path = format!("{path}{name}");
            if inner["additionalProperties"] == false {
                leaves(inner, &format!("{path}."), found);
            } else if !keys::NAMED.iter().any(|(name, _)| *name == path) {
                found.insert(path);
            }
        }
    }
    let mut schema_keys = BTreeSet::new();
    leaves(&schema(), "", &mut schema_keys);
    assert_eq!(schema_keys, table);

    // A session that uses everything shows everything.
    let text = format!("{MINIMAL}limits.hours.end_cron = \"0 18 * * *\"\npredict.body = '{{\"a\": 1}}'\n");
    let settings = loaded(&text).unwrap();
    let keys = |flat: &show::Flat| flat.keys().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
    let known = |keys: &[keys::Key]| keys.iter().map(|key| key.path.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&show::session(&settings.sessions["a"])), known(keys::SESSION));
    assert_eq!(keys(&show::daemon(&settings.daemon)), known(keys::DAEMON));
    assert_eq!(keys(&show::aws(&settings.aws)), known(keys::AWS));
    let budget = loaded(&format!("{MINIMAL}[budgets.b]\nlimit = \"1 USD\"\n")).unwrap().budgets.remove(0);
    assert_eq!(keys(&budgets::shown(&budget)), known(keys::BUDGET));
}

#[test]
fn every_key_reaches_the_policy() {
    // Another legal value for each key changes what is shown for that key: the reader reads it.
    let others = |kind: &keys::Kind, path: &str| -> Option<String> {
        use keys::Kind;
        Some(match (kind, path) {
            (_, "owner") => "\"else\"".into(),
            (_, "region") => "\"eu-central-1\"".into(),
            (_, "names.log_group") => "\"/other/x\"".into(),
            (_, "image.uri") => "\"registry.example.org/other:2\"".into(),
            (
                _,
                "image.source"
                | "image.path"
                | "image.args"
                | "image.reference"
                | "image.entrypoint"
                | "image.user"
                | "image.environment"
                | "image.context"
                | "image.dockerfile"
                | "image.target"
                | "image.build_args"
                | "task.desired"
                | "limits.max_lifetime",
            ) => return None,
            (_, "image.tag") => "\"other\"".into(),
            (_, "task.cpu") => "512".into(),
            (_, "task.memory") => "1024".into(),
            (_, "task.execution_role" | "task.task_role" | "fuse.scheduler_role") => {
                "\"arn:aws:iam::123456789012:role/x\"".into()
            }
            (_, "network.vpc") => "\"vpc-0123456789abcdef0\"".into(),
            (_, "network.subnets") => "[\"subnet-0123456789abcdef0\"]".into(),
            (_, "health.port" | "network.public_ip") => return None,
            (_, "limits.budget") => "\"0.5 USD\"".into(),
            (_, "accounting.credits") => "\"2 USD\"".into(),
            (_, "group") => "\"other\"".into(),
            (_, "repository.kms_key") => return None,
            (_, "repository.block_on") => "\"high\"".into(),
            (_, "limits.max_budget") => "\"9 USD\"".into(),
            (_, "limits.hours.end_cron") => "\"0 17 * * *\"".into(),
            (_, "limits.hours.zone") => "\"Europe/Berlin\"".into(),
            (_, "predict.body") => "'[1]'".into(),
            (_, "predict.answer_key" | "health.expect_body" | "activity.counter" | "activity.in_flight") => {
                "\"other\"".into()
            }
            (_, "predict.path" | "health.path" | "activity.metrics_path") => "\"/other\"".into(),
            (_, "activity.check.url") => "\"http://hub/{session}\"".into(),
            (_, "predict.at_least") => "-7".into(),
            (_, "predict.at_most") => "7.5".into(),
            (_, "metrics.namespace") => "\"Other\"".into(),
            (_, "adopt") => "[]".into(),
            (_, "fuse.sources" | "activity.allowed_sources" | "activity.ignored_sources") => "[\"10.0.0.0/8\"]".into(),
            (_, "activity.load_balancer.name") => "\"app/other/50dc6c495c0c9188\"".into(),
            (_, "activity.load_balancer.target_group") => "\"targetgroup/other/73e2d6bc24d8a067\"".into(),
            (_, "activity.address_label") => "\"ip\"".into(),
            (Kind::IntOrNever(..), _) => "\"never\"".into(),
            (_, "fuse.require") => "[\"scheduler\"]".into(),
            (Kind::Ingress, _) => "[{ port = 5000, sources = [\"10.0.0.0/8\"] }]".into(),
            (Kind::Bool, "fuse.scheduler") => "false".into(),
            (Kind::Bool, _) => "true".into(),
            (Kind::Int(_, most), _) => (most - 1).min(30).to_string(),
            (Kind::OneOf(numbers), _) => numbers[3].to_string(),
            (
                Kind::Choice(words),
                "task.mode"
                | "task.arch"
                | "image.platforms"
                | "accounting.ipv4_by"
                | "repository.encryption"
                | "activity.combine"
                | "repository.on_scan_timeout"
                | "end.on_idle"
                | "end.on_hours"
                | "end.on_shutdown",
            ) => {
                format!("{:?}", words[1])
            }
            (Kind::Choice(words), _) => format!("{:?}", words[2]),
            (Kind::Span(..) | Kind::SpanOrNever(..), "health.timeout") => "\"1s\"".into(),
            (Kind::Span(..) | Kind::SpanOrNever(..), "health.interval") => "\"4s\"".into(),
            (Kind::Span(..), "activity.insights.latency" | "activity.load_balancer.latency") => "\"7m\"".into(),
            (Kind::Span(..) | Kind::SpanOrNever(..), _) => "\"1m 1s\"".into(),
            (Kind::Opt(_), _) => "\"2027-01-31T18:00:00Z\"".into(),
            (Kind::List(Kind::Int(..)), _) => "[204]".into(),
            (Kind::List(Kind::Span(..)), _) => "[\"33s\"]".into(),
            (Kind::List(_) | Kind::Metrics, _) => "[\"other\"]".into(),
            (Kind::Pairs, _) => "{ OTHER = \"1\" }".into(),
            (Kind::Text(_), _) => "\"other-{session}\"".into(),
            other => panic!("{other:?}"),
        })
    };
    let base = "[defaults]\nlimits.hours.end_cron = \"0 18 * * *\"\npredict.body = '{\"a\": 1}'\n";
    let (_folder, mut request) = request(&[("a.toml", &format!("{base}{MINIMAL}"))]);
    let before = show::session(&load(&request).unwrap().sessions["a"]);
    for key in keys::SESSION {
        let Some(text) = others(&key.kind, key.path).filter(|_| key.path != "adopt") else { continue };
        request.set = vec![format!("sessions.a.{}={text}", key.path)];
        match key.path {
            "task.cpu" => request.set.push("sessions.a.task.memory=1024".into()),
            "task.memory" => request.set.push("sessions.a.task.cpu=512".into()),
            "activity.sentinel" => request
                .set
                .extend(["sessions.a.fuse.sentinel=own".into(), "sessions.a.fuse.sources=[\"10.0.0.0/8\"]".into()]),
            "repository.block_on" => request.set.push("sessions.a.image.mirror=true".into()),
            "activity.in_flight" | "activity.address_label" => {
                request.set.push("sessions.a.activity.metrics_path=/metrics".into());
            }
            "activity.allowed_sources" | "activity.ignored_sources" => {
                request.set.push("sessions.a.activity.logs.pattern=POST".into());
            }
            "fuse.end_idle" | "fuse.sentinel_executable" => request.set.push("sessions.a.fuse.sentinel=own".into()),
            "activity.load_balancer.target_group" => {
                request.set.push("sessions.a.activity.load_balancer.name=app/lab/50dc6c495c0c9188".into());
            }
            _ => {}
        }
        let settings = load(&request).unwrap_or_else(|mistakes| panic!("{}: {mistakes}", key.path));
        assert_ne!(show::session(&settings.sessions["a"])[key.path], before[key.path], "{}", key.path);
    }
}

#[test]
fn without_a_session_the_region_is_that_of_the_defaults() {
    let settings = loaded("[defaults]\nregion = \"eu-central-1\"\n").unwrap();
    assert_eq!(settings.region(), "eu-central-1");
    assert_eq!(loaded(&show(&settings)).unwrap().region(), "eu-central-1");
    assert_eq!(loaded("").unwrap().region(), "us-east-1");
    let own = loaded(&format!("[defaults]\nregion = \"eu-central-1\"\n{MINIMAL}region = \"eu-west-1\"\n")).unwrap();
    assert_eq!(own.region(), "eu-west-1");
}

#[test]
fn the_shipped_files_are_sound() {
    for (name, sessions) in [("admission.toml", 1), ("demo.toml", 1), ("classroom.toml", 4)] {
        let settings = load(&Request { files: vec![shipped(name)], ..Request::default() })
            .unwrap_or_else(|mistakes| panic!("{name}: {mistakes}"));
        assert_eq!(settings.sessions.len(), sessions, "{name}");
    }
    let settings = load(&Request { files: vec![shipped("admission.toml")], ..Request::default() }).unwrap();
    let policy = &settings.sessions["admission"];
    assert_eq!(policy.names.cluster, "admission_prediction_cluster");
    assert_eq!(policy.network.ingress.iter().map(|rule| rule.port).collect::<Vec<_>>(), [80, 5000]);
    assert_eq!((policy.task.size.cpu, policy.task.size.memory), (256, 512));
    assert!(settings.warnings().iter().any(|warning| warning.contains("80 and 5000")), "{:?}", settings.warnings());

    let settings = load(&Request { files: vec![shipped("classroom.toml")], ..Request::default() }).unwrap();
    let carol = &settings.sessions["carol"];
    assert_eq!((carol.task.size.cpu, carol.task.size.memory), (512, 2048));
    assert_eq!(carol.end.on_idle, Stage::Stop);
    assert_eq!(carol.limits.hours.as_ref().unwrap().zone, "Europe/Berlin");
    assert_eq!(settings.sessions["alice"].limits.budget, "0.50 USD".parse().unwrap());
    assert_eq!(settings.sessions["instructor"].task.run, RunMode::Service { desired: 1 });
    assert_eq!(settings.sessions["instructor"].limits.idle_timeout, None);

    let set = vec!["sessions.admission.image.path=/opt/serve it".into(), "sessions.admission.image.args=a,5000".into()];
    let settings = load(&Request { files: vec![shipped("demo.toml")], set, ..Request::default() }).unwrap();
    let policy = &settings.sessions["admission"];
    let args = vec!["a".to_owned(), "5000".to_owned()];
    assert_eq!(
        policy.image.source,
        ImageSource::Executable { path: "/opt/serve it".into(), args, config: ImageConfig::default() }
    );
    assert_eq!(policy.end.on_shutdown, ShutdownPolicy::Teardown);
    assert_eq!(policy.limits.idle_timeout, Some(Span::from_secs(20)));
}

#[test]
fn a_net_that_is_required_must_be_switched_on_and_its_port_be_its_own() {
    let wrong = one_mistake("fuse.require = [\"sentinel\"]\n");
    assert_eq!(wrong.key, "sessions.a.fuse.require");
    assert!(wrong.expected.contains("fuse.sentinel"), "{wrong:?}");
    assert_eq!(one_mistake("fuse.sources = [\"10.0.0.1/8\"]\n").key, "sessions.a.fuse.sources[0]");
    assert_eq!(one_mistake("fuse.sentinel = \"own\"\nfuse.port = 5000\n").key, "sessions.a.fuse.port");
    let service = "fuse.sentinel = \"own\"\ntask.mode = \"service\"\n";
    assert_eq!(one_mistake(service).key, "sessions.a.fuse.sentinel");
    assert_eq!(one_mistake("activity.sentinel = true\n").key, "sessions.a.activity.sentinel");
    let both = "fuse.sentinel = \"own\"\nfuse.scheduler = true\nfuse.require = [\"scheduler\", \"sentinel\"]\n";
    let fuse = loaded(&format!("{MINIMAL}{both}")).unwrap().sessions["a"].fuse.clone();
    assert_eq!(fuse.require, [Net::Sentinel, Net::Scheduler]);
    let usual = FusePolicy { scheduler: true, ..FusePolicy::default() };
    assert_eq!(loaded(MINIMAL).unwrap().sessions["a"].fuse, usual, "by default the net outside the task is on");
}

#[test]
fn later_layers_override_key_by_key() {
    let (_folder, mut request) = request(&[
        (
            "1.toml",
            "[defaults]\nowner = \"one\"\nlimits.budget = \"2 USD\"\nlimits.lifetime = \"1h\"\n[sessions.my-lab]\nimage.uri = \"a.b/c:1\"\n",
        ),
        ("2.toml", "[defaults.limits]\nbudget = \"3 USD\"\n[sessions.my-lab.task]\nmax_restarts = 7\n"),
    ]);
    let of = |request: &Request| load(request).unwrap().sessions["my-lab"].clone();
    let dollars = |amount: i64| Money::from_nanos(amount * 1_000_000_000);
    let policy = of(&request);
    assert_eq!((policy.owner.as_str(), policy.limits.budget), ("one", dollars(3)));
    assert_eq!((policy.limits.lifetime, policy.task.max_restarts), (Span::from_mins(60), 7));

    request.env = vec![("LABGUARD__SESSIONS__MY_LAB__LIMITS__BUDGET".into(), "4 USD".into())];
    assert_eq!(of(&request).limits.budget, dollars(4));
    request.set = vec!["sessions.my-lab.limits.budget=\"5 USD\"".into(), "aws.sandbox.seed=9".into()];
    assert_eq!(of(&request).limits.budget, dollars(5));

    let settings = load(&request).unwrap();
    assert_eq!(settings.origins["sessions.my-lab.limits.budget"], "--set");
    assert!(settings.origins["sessions.my-lab.task.max_restarts"].ends_with("2.toml:4"));
    assert_eq!(settings.aws.sandbox.seed, 9);
    assert_eq!(settings.sources.len(), 5);
}

#[test]
fn of_a_folder_every_toml_counts_by_name_between_what_is_given_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("class");
    std::fs::create_dir(&class).unwrap();
    std::fs::write(class.join("2.toml"), "[defaults]\nlimits.budget = \"2 USD\"\n").unwrap();
    std::fs::write(class.join("1.toml"), format!("{MINIMAL}[defaults]\nlimits.budget = \"1 USD\"\n")).unwrap();
    std::fs::write(class.join("3.txt"), "not ours").unwrap();
    let after = folder.path().join("after.toml");
    std::fs::write(&after, "[defaults]\nlimits.max_budget = \"7 USD\"\n").unwrap();
    let request = Request { files: vec![class.clone(), after], ..Request::default() };
    let limits = load(&request).unwrap().sessions["a"].limits.clone();
    let dollars = |amount: i64| Money::from_nanos(amount * 1_000_000_000);
    assert_eq!((limits.budget, limits.max_budget), (dollars(2), dollars(7)));
    assert_eq!(request.watched()[0], class, "a file that appears in it is noticed");

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mistakes = load(&Request { files: vec![empty], ..Request::default() }).unwrap_err().0;
    assert!(mistakes.len() == 1 && mistakes[0].expected.contains("*.toml"), "{mistakes:?}");
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_place() {
    let (folder, mut request) = request(&[(
        "a.toml",
        r#"
[daemon]
listen = "0.0.0.0:7373"
[default]
owner = "x"
[sessions.lab]
image.uri = "a.b/c:1"
limits.budgt = "1 USD"
limits.lifetime = "5h"
task.cpu = 256
task.memory = "8 GB"
task.stop_timeout = "5m"
network.ingress = [{ port = 80, sources = ["1.2.3.4"] }]
limits.hours.zone = "Europe/Berln"
task.environment = { AWS_SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEK3Y" }
"#,
    )]);
    request.env = vec![("LABGUARD__SESSIONS__LAB__HEALTH__PORT".into(), "70000".into())];
    request.set = vec!["sessions.lab.limits.budget=1 EUR".into()];
    let text = load(&request).unwrap_err().to_string();
    let text = text.replace(&format!("{}/", folder.path().display()), "");
    let expected = r#"12 mistakes in the configuration:

1. a.toml:4: default
   expected: a section: daemon, aws, defaults, sessions.NAME, budget_defaults, budgets.NAME or rates.REGION
   nearest:  defaults

2. a.toml:8: sessions.lab.limits.budgt
   found:    "1 USD"
   expected: a key that labguard knows (config/default.toml lists them)
   nearest:  sessions.lab.limits.budget

3. a.toml:12: sessions.lab.task.stop_timeout
   found:    "5m"
   expected: a length of time from 2s to 2m

4. a.toml:13: sessions.lab.network.ingress[0].sources[0]
   found:    "1.2.3.4"
   expected: an IPv4 or IPv6 range without host bits, such as 203.0.113.7/32, or "own"
   nearest:  1.2.3.4/32

5. a.toml:14: sessions.lab.limits.hours.zone
   found:    "Europe/Berln"
   expected: an IANA time zone such as Europe/Berlin
   nearest:  Europe/Berlin

6. a.toml:15: sessions.lab.task.environment
   found:    (not shown)
   expected: no AWS credentials in the configuration: put them into the AWS environment variables, a profile (aws.profile) or a role, and make this one invalid if the file was shared

7. environment variable LABGUARD__SESSIONS__LAB__HEALTH__PORT: sessions.lab.health.port
   found:    70000
   expected: a whole number from 1 to 65535

8. --set: sessions.lab.limits.budget
   found:    "1 EUR"
   expected: US dollars (USD), found EUR

9. a.toml:3: daemon.listen
   found:    0.0.0.0:7373
   expected: a loopback address such as 127.0.0.1:7373, unless daemon.token_file and daemon.allowed_hosts are set

10. a.toml:6: sessions.lab.owner
   expected: required: a name or an e-mail address, here or in [defaults]

11. a.toml:9: sessions.lab.limits.max_lifetime
   found:    4h
   expected: not less than limits.lifetime, which is 5h

12. a.toml:11: sessions.lab.task.memory
   found:    cpu = 256 with memory = 8192
   expected: a pair that Fargate has
   nearest:  cpu = 256 with memory = 2048 (also near: cpu = 512 with memory = 4096; cpu = 1024 with memory = 8192; cpu = 1024 with memory = 7168)
"#;
    assert_eq!(text, expected, "{text}");
}

#[test]
fn a_file_that_is_not_toml_does_not_hide_the_mistakes_of_the_others() {
    let (_folder, mut request) =
        request(&[("bad.toml", "[daemon\nlisten = 3\n"), ("wrong.toml", "[daemon]\nmax_sessions = 0\n[sessions.a]\n")]);
    request.files.push("/nowhere/at/all.toml".into());
    let mistakes = load(&request).unwrap_err().0;
    assert!(mistakes[0].source.contains("bad.toml:1:") && mistakes[0].value.as_deref() == Some("[daemon"));
    assert!(mistakes.iter().any(|mistake| mistake.key == "daemon.max_sessions"));
    assert!(mistakes.iter().any(|mistake| mistake.source == "/nowhere/at/all.toml"));
    assert!(!mistakes.iter().any(|mistake| mistake.key.ends_with("owner")), "{mistakes:?}");
}

#[test]
fn a_mistake_of_the_defaults_is_reported_once_and_not_for_every_session() {
    let students: String = (0..30).map(|number| format!("[sessions.s{number}]\n")).collect();
    let text = format!("[defaults]\nowner = \"me\"\nimage.uri = \"a.b/c:1\"\nlimits.lifetime = \"9h\"\n{students}");
    let mistakes = loaded(&text).unwrap_err().0;
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!(mistakes[0].key, "defaults.limits.max_lifetime");
    assert!(mistakes[0].source.ends_with("a.toml:4"));
}

#[test]
fn every_source_is_read_shown_and_read_again() {
    let pair = || vec![("A".to_owned(), "1".to_owned())];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (lines, source) in [
        (
            "source = \"registry\"\nuri = \"h.io/a:1\"\nmirror = true",
            ImageSource::Registry { uri: "h.io/a:1".into(), mirror: true },
        ),
        (
            "source = \"executable\"\npath = \"./a\"\nargs = [\"b\"]\nentrypoint = [\"/c\"]\nuser = \"7\"\nenvironment = { A = \"1\" }",
            ImageSource::Executable {
                path: "./a".into(),
                args: words(&["b"]),
                config: ImageConfig { entrypoint: words(&["/c"]), environment: pair(), user: Some("7".into()) },
            },
        ),
        (
            "source = \"archive\"\npath = \"a.tar\"\nreference = \"lab:1\"",
            ImageSource::Archive { path: "a.tar".into(), reference: Some("lab:1".into()) },
        ),
        ("source = \"docker\"\nreference = \"lab:1\"", ImageSource::Docker { reference: "lab:1".into() }),
        (
            "source = \"build\"\ncontext = \"./lab\"\ndockerfile = \"D\"\ntarget = \"t\"\nbuild_args = { A = \"1\" }",
            ImageSource::Build(BuildRecipe {
                context: "./lab".into(),
                dockerfile: Some("D".into()),
                target: Some("t".into()),
                args: pair(),
            }),
        ),
    ] {
        let settings = loaded(&format!("[sessions.a]\nowner = \"me\"\n[sessions.a.image]\n{lines}\n"));
        let settings = settings.unwrap_or_else(|mistakes| panic!("{lines}: {mistakes}"));
        assert_eq!(settings.sessions["a"].image.source, source, "{lines}");
        let again = loaded(&show::show(&settings)).unwrap();
        assert_eq!(again.sessions["a"].image.source, source, "{lines}");
    }
}

#[test]
fn rules_between_keys_are_kept() {
    for (text, key) in [
        ("limits.budget = \"2 USD\"\nlimits.max_budget = \"1 USD\"", "limits.max_budget"),
        ("limits.idle_timeout = \"4h\"", "limits.idle_timeout"),
        ("health.port = 80", "health.port"),
        ("health.timeout = \"6s\"", "health.timeout"),
        ("health.start_grace = \"2s\"", "health.start_grace"),
        ("activity.in_flight = \"g\"", "activity.in_flight"),
        ("activity.address_label = \"ip\"", "activity.address_label"),
        ("activity.allowed_sources = [\"10.0.0.0/8\"]", "activity.allowed_sources"),
        ("activity.ignored_sources = [\"::/0\"]", "activity.ignored_sources"),
        (
            "activity.insights = { enabled = true, network_above = \"never\", cpu_above = \"never\" }",
            "activity.insights.enabled",
        ),
        (
            "activity.load_balancer.target_group = \"targetgroup/lab/73e2d6bc24d8a067\"",
            "activity.load_balancer.target_group",
        ),
        ("activity.load_balancer.name = \"net/lab/50dc6c495c0c9188\"", "activity.load_balancer.name"),
        ("activity.insights.latency = \"1m\"", "activity.insights.latency"),
        ("activity.ignored_sources = [\"10.0.0.1/8\"]", "activity.ignored_sources[0]"),
        ("health.expect_status = []", "health.expect_status"),
        ("predict.body = '{}'\npredict.at_least = 1\npredict.at_most = 0.5", "predict.at_most"),
        ("adopt = [\"cluster\"]", "names.cluster"),
        (
            "names.execution_role = \"a-name-that-is-by-now-too-long-for-IAM-with-the-session-id-{session}\"",
            "names.execution_role",
        ),
        ("names.security_group = \"sg-mine\"", "names.security_group"),
        ("names.repository = \"Admission\"", "names.repository"),
        ("image.platforms = \"all\"\nadopt = [\"repository\"]\nnames.repository = \"x/y\"", "image.platforms"),
        ("limits.budget = \"0 USD\"", "limits.budget"),
        ("fuse.end_idle = true", "fuse.end_idle"),
        ("fuse.sentinel = \"own\"\nfuse.end_idle = true\nlimits.idle_timeout = \"never\"", "fuse.end_idle"),
        ("fuse.sentinel = \"shell\"\nfuse.sentinel_executable = \"/bin/guard\"", "fuse.sentinel_executable"),
        (
            "fuse.scheduler = false\nfuse.scheduler_role = \"arn:aws:iam::123456789012:role/LabRole\"",
            "fuse.scheduler_role",
        ),
        ("limits.ends_at = 2027-01-31T18:00:00", "limits.ends_at"),
        ("limits.hours.end_cron = \"0 25 * * *\"", "limits.hours.end_cron"),
        ("task.log_retention_days = 2", "task.log_retention_days"),
        ("task.cpu = \"0.3 vCPU\"", "task.cpu"),
        ("limits = 3", "limits"),
    ] {
        assert_eq!(one_mistake(text).key, format!("sessions.a.{key}"), "{text}");
    }
    for (source, key) in [("executable", "path"), ("archive", "path"), ("docker", "reference"), ("build", "context")] {
        let text = format!("[sessions.a]\nowner = \"me\"\nimage.source = {source:?}\n");
        let mistakes = loaded(&text).unwrap_err().0;
        assert_eq!((mistakes.len(), &mistakes[0].key), (1, &format!("sessions.a.image.{key}")), "{mistakes:?}");
    }
    assert!(loaded(&format!("{MINIMAL}limits.ends_at = 2027-01-31T18:00:00+01:00\n")).is_ok());
    assert!(
        loaded("[daemon]\nlisten = \"0.0.0.0:1\"\ntoken_file = \"/t\"\nallowed_hosts = [\"lab.example.org\"]\n")
            .is_ok()
    );
    assert_eq!(loaded("[aws]\nendpoint_url = \"http://127.0.0.1:1\"\n").unwrap_err().0[0].key, "aws.endpoint_url");
}

#[test]
fn a_load_balancer_is_called_as_cloudwatch_calls_it_however_it_is_given() {
    let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";
    let lines = format!(
        "[sessions.a.activity.load_balancer]\nname = \"{arn}loadbalancer/app/lab/50dc6c495c0c9188\"\n\
         target_group = \"{arn}targetgroup/lab/73e2d6bc24d8a067\"\nmin_requests = 3\n"
    );
    let settings = loaded(&format!("{MINIMAL}{lines}")).unwrap();
    let read = &settings.sessions["a"].activity.load_balancer;
    assert_eq!(read.name.as_deref(), Some("app/lab/50dc6c495c0c9188"));
    assert_eq!(read.target_group.as_deref(), Some("targetgroup/lab/73e2d6bc24d8a067"));
    assert_eq!(read.min_requests, 3);
    assert!(same(&loaded(&show::show(&settings)).unwrap(), &settings), "it is shown as it loads");
}

#[test]
fn sessions_of_different_regions_are_a_mistake_and_all_of_them_are_named() {
    let file = |a: &str, b: &str| {
        format!(
            "[defaults]\nowner = \"me\"\nimage.uri = \"a.b/c:1\"\nregion = \"eu-central-1\"\n\
             [sessions.a]\n{a}\n[sessions.b]\n{b}\n[sessions.c]\n"
        )
    };
    let settings = loaded(&file("", "")).unwrap();
    assert_eq!(settings.region(), "eu-central-1");
    assert!(settings.warnings().iter().any(|warning| warning.contains("estimated")), "{:?}", settings.warnings());
    let mistakes = loaded(&file("", "region = \"us-east-1\"")).unwrap_err().0;
    let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    // a and c have it from the defaults: that is one mistake, told once.
    assert_eq!(keys, ["defaults.region", "sessions.b.region"], "{mistakes:?}");
    assert!(mistakes[0].expected.ends_with("the others are in us-east-1 (b)"), "{mistakes:?}");
    assert!(mistakes[1].expected.ends_with("the others are in eu-central-1 (a, c)"), "{mistakes:?}");
    assert!(mistakes[1].source.ends_with("a.toml:8"), "{mistakes:?}");
    // A region that is wrong by itself is one mistake, not a second one for everybody else.
    let mistakes = loaded(&file("", "region = \"nowhere\"")).unwrap_err().0;
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
}

#[test]
fn a_name_that_is_too_long_only_with_the_session_s_own_id_is_a_mistake() {
    let name = "a-session-with-a-long-name-of-thirty-nine";
    let file = |prefix: &str| {
        format!(
            "[defaults]\nowner = \"me\"\nimage.uri = \"a.b/c:1\"\nnames.execution_role = \"{prefix}{{session}}\"\n[sessions.{}]\n",
            &name[..40]
        )
    };
    assert!(loaded(&file("seventeen-letters")).is_ok());
    let mistakes = loaded(&file("eighteen-letters-x")).unwrap_err().0;
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].key, "defaults.names.execution_role");
    assert_eq!(mistakes[0].expected, "1 to 64 letters, digits and + = , . @ _ - (IAM's rule)");
}

#[test]
fn metrics_are_checked_against_the_catalogue_that_is_given() {
    let (_folder, mut request) =
        request(&[("a.toml", &format!("{MINIMAL}metrics.cloudwatch = [\"labguard_spnd\"]\n"))]);
    assert!(load(&request).is_ok());
    request.metrics = vec!["labguard_spend", "labguard_health"];
    let mistakes = load(&request).unwrap_err().0;
    assert_eq!(mistakes[0].key, "sessions.a.metrics.cloudwatch[0]");
    assert_eq!(mistakes[0].nearest.as_deref(), Some("labguard_spend"));
}

#[test]
fn credentials_are_refused_wherever_they_stand_and_never_shown() {
    for text in [
        "[aws]\nsecret_access_key = \"hunter2hunter2\"\n",
        "[aws]\nprofile = \"AKIAIOSFODNN7EXAMPLE\"\n",
        "[aws\nsecret_access_key = \"hunter2hunter2\n",
    ] {
        let shown = loaded(text).unwrap_err().to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("AKIAIOS"), "{shown}");
        assert!(shown.contains("no AWS credentials") || text.starts_with("[aws\n"), "{shown}");
    }
}

fn same(a: &Settings, b: &Settings) -> bool {
    (&a.daemon, &a.aws, &a.sessions) == (&b.daemon, &b.aws, &b.sessions)
}

#[test]
fn what_is_shown_of_the_shipped_files_loads_back_equal() {
    for name in ["admission.toml", "demo.toml", "classroom.toml"] {
        let settings = load(&Request { files: vec![shipped(name)], ..Request::default() }).unwrap();
        let again = loaded(&show(&settings)).unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", show(&settings)));
        assert!(same(&settings, &again), "{}", show(&settings));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(text in "\\PC{0,200}", parts in prop::collection::vec(
        prop::sample::select(vec![
            "[", "]", "sessions", ".a", "defaults", "daemon", "aws", "limits", "budget", "\n", " = ", "\"1 USD\"", "3",
            "{", "}", ",", "'", "\"", "a[9999999999]", "[[", "]]", "network.ingress", "9999999999999999999999", "nan",
            "1e999", "2027-01-01", "predict.body", "names.cluster", "\"{session}\"", "ä", "#", "\u{0}", "owner",
        ]), 0..40)) {
        let _ = loaded(&text).map_err(|mistakes| mistakes.to_string());
        let _ = loaded(&parts.concat()).map_err(|mistakes| mistakes.to_string());
        let request = Request {
            set: vec![text.clone(), format!("sessions.{text}={text}"), parts.concat()],
            env: vec![(format!("LABGUARD__{text}"), text.clone()), ("LABGUARD__".into(), text)],
            ..Request::default()
        };
        let _ = load(&request).map_err(|mistakes| mistakes.to_string());
    }

    #[test]
    fn what_is_shown_loads_back_equal(
        owner in "[a-zA-Zäö][a-z .@-]{0,20}", text in "[ -~äß]{0,30}", idle in prop::option::of(1u64..3600),
        budget in 1i64..10_000_000_000, extra in 0i64..1_000_000_000, pair in 0usize..60, spans in prop::collection::vec(1000u64..9_000_000, 0..4),
        bounds in (any::<i32>(), 0.0f64..1e12), ports in prop::collection::btree_set(1u16.., 1..5), flags in any::<[bool; 6]>(),
        values in prop::collection::btree_map("[A-Z_]{1,8}", "[ -~]{0,12}", 0..4),
    ) {
        let (cpu, memory) = crate::domain::model::size::legal_pairs()[pair];
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let rules: Vec<String> = ports.iter().map(|port| format!("{{ port = {port}, sources = [\"10.0.0.0/8\", \"::/0\"] }}")).collect();
        let pairs: Vec<String> = values.iter().map(|(key, value)| format!("{key} = {}", quote(value))).collect();
        let spans: Vec<String> = spans.iter().map(|span| quote(&Span::from_millis(*span).to_string())).collect();
        let pick = |flag: bool, yes: &'static str, no: &'static str| quote(if flag { yes } else { no });
        let file = format!(
            "[sessions.p]\nowner = {}\nimage.source = \"executable\"\nimage.path = {}\nimage.args = [{}]\n\
             limits.idle_timeout = {}\nlimits.budget = {}\nlimits.max_budget = {}\nlimits.warn_before = [{}]\n\
             task.cpu = {cpu}\ntask.memory = {memory}\ntask.spot = {}\ntask.mode = {}\ntask.arch = {}\ntask.environment = {{ {} }}\n\
             network.ingress = [{}]\nhealth.port = {}\nend.on_idle = {}\nend.on_shutdown = {}\n\
             predict.body = {}\npredict.at_least = {}\npredict.at_most = {:?}\n",
            quote(&owner), quote(&format!("/x{text}")), quote(&text),
            quote(&idle.map_or("never".into(), |secs| Span::from_secs(secs).to_string())),
            quote(&Money::from_nanos(budget).exact()), quote(&Money::from_nanos(budget + extra).exact()), spans.join(", "),
            flags[0], pick(flags[1], "task", "service"), pick(flags[2], "X86_64", "ARM64"), pairs.join(", "),
            rules.join(", "), ports.first().unwrap(), pick(flags[3], "stop", "teardown"), pick(flags[4], "keep", "teardown"),
            if flags[5] { quote("{\"b\": 1.5, \"a\": [null]}") } else { quote("") }, i64::from(bounds.0).min(0), bounds.1,
        );
        let settings = loaded(&file).map_err(|mistakes| TestCaseError::fail(format!("{mistakes}\n{file}")))?;
        let shown = show(&settings);
        let again = loaded(&shown).map_err(|mistakes| TestCaseError::fail(format!("{mistakes}\n{shown}")))?;
        prop_assert!(same(&settings, &again), "{}", shown);
    }
}
