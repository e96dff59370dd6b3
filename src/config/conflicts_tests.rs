//! Keys that say nothing, or the contrary, beside others; and what is legal and yet worth a word.

use super::{
    tests::{MINIMAL, loaded, one_mistake, request},
    *,
};

#[test]
fn keys_that_contradict_each_other_are_named_both() {
    for (text, key, other) in [
        ("health.method = \"HEAD\"\nhealth.expect_body = \"ok\"\n", "health.expect_body", "health.method"),
        ("image.path = \"/opt/app\"\n", "image.path", "image.source"),
        ("image.context = \".\"\n", "image.context", "image.source"),
        ("task.desired = 3\n", "task.desired", "task.mode"),
        ("task.desired = 3\ntask.mode = \"task\"\n", "task.desired", "task.mode"),
        ("network.public_ip = false\n", "network.public_ip", "health.port"),
    ] {
        let mistake = one_mistake(text);
        assert_eq!(mistake.key, format!("sessions.a.{key}"), "{mistake:?}");
        assert!(mistake.expected.contains(other), "{mistake:?}");
    }
    for key in ["profile", "registry_endpoint", "endpoints.ecs"] {
        let mistake = one_mistake(&format!("[aws]\n{key} = \"http://127.0.0.1:9\"\n"));
        assert_eq!(mistake.key, format!("aws.{key}"));
        assert!(mistake.expected.contains("aws.sandbox.enabled"), "{mistake:?}");
    }
    let mistakes = loaded(
        "[sessions.a]\nowner = \"me\"\nimage.source = \"executable\"\nimage.path = \"/opt/app\"\nimage.uri = \"a.b/c:1\"\nimage.mirror = true\n",
    );
    let keys: Vec<String> = mistakes.unwrap_err().0.into_iter().map(|mistake| mistake.key).collect();
    assert_eq!(keys, ["sessions.a.image.mirror", "sessions.a.image.uri"]);
}

#[test]
fn who_chooses_another_kind_need_not_unsay_what_was_given_for_the_first() {
    // Another layer, or the session itself against [defaults]; defaults that nobody wrote trip no rule.
    let file = "[defaults]\nimage.uri = \"a.b/c:1\"\ntask.desired = 3\n[sessions.a]\nowner = \"me\"\nimage.source = \"executable\"\nimage.path = \"/opt/app\"\ntask.mode = \"task\"\n";
    assert!(loaded(file).is_ok(), "{:?}", loaded(file));
    // A net of [defaults] that one session does without.
    let image = "owner = \"me\"\nimage.uri = \"a.b/c:1\"\n";
    for (all, one) in [
        ("fuse.scheduler_role = \"arn:aws:iam::000000000000:role/LabRole\"", "fuse.scheduler = false"),
        ("fuse.sentinel = \"own\"\nfuse.end_idle = true", "fuse.sentinel = \"off\""),
        ("fuse.sentinel = \"own\"\nfuse.end_idle = true", "limits.idle_timeout = \"never\""),
        ("fuse.sentinel = \"own\"\nfuse.sentinel_executable = \"/opt/sentinel\"", "fuse.sentinel = \"shell\""),
    ] {
        let file = format!("[defaults]\n{image}{all}\n[sessions.a]\nlimits.lifetime = \"1h\"\n[sessions.b]\n{one}\n");
        assert!(loaded(&file).is_ok(), "{file}: {:?}", loaded(&file));
        assert!(loaded(&format!("[sessions.a]\n{image}{all}\n")).is_ok());
        let key = all.rsplit_once("fuse.").and_then(|(_, last)| last.split_once(' ')).unwrap().0;
        let contrary = all.replace(
            "fuse.sentinel = \"own\"\n",
            if one.starts_with("limits") { "fuse.sentinel = \"own\"\n" } else { "" },
        );
        let mistakes = loaded(&format!("[sessions.a]\n{image}{contrary}\n{one}\n")).unwrap_err();
        assert!(mistakes.0.iter().any(|it| it.key == format!("sessions.a.fuse.{key}")), "{mistakes:?}");
    }
    let (_folder, mut request) = request(&[(
        "a.toml",
        &format!(
            "{MINIMAL}limits.max_lifetime = \"2m\"\nlimits.lifetime = \"1m\"\nlimits.idle_timeout = \"1m\"\n[aws]\nprofile = \"lab\"\nsandbox.enabled = false\n"
        ),
    )]);
    request.set = ["sessions.a.image.source=executable", "sessions.a.image.path=/opt/app", "aws.sandbox.enabled=true"]
        .map(str::to_owned)
        .to_vec();
    assert!(load(&request).is_ok(), "{:?}", load(&request));
}

#[test]
fn ranges_that_a_guard_cannot_be_told_are_refused_before_anything_is_made() {
    let ranges = |count: usize, of: &str| {
        let all: Vec<String> =
            (0..count).map(|it| format!("\"{}\"", of.replace('N', &(it % 256).to_string()))).collect();
        format!("activity.ignored_sources = [{}]\n", all.join(", "))
    };
    let guarded = |lists: &str| format!("fuse.sentinel = \"own\"\n{lists}");
    assert!(loaded(&format!("{MINIMAL}{}", guarded(&ranges(256, "10.N.0.0/16")))).is_ok());
    let mistake = one_mistake(&guarded(&ranges(257, "10.N.0.0/16")));
    assert_eq!(mistake.key, "sessions.a.activity.ignored_sources");
    assert!(mistake.expected.starts_with("at most 256"), "{mistake:?}");
    let mistake = one_mistake(&guarded(&ranges(256, "2001:db8:1234:5678:9abc:def0:1234:N/128")));
    assert!(mistake.expected.contains("8,192"), "{mistake:?}");
}

#[test]
fn several_tasks_whose_use_only_ones_page_would_tell_are_refused() {
    let several = "task.mode = \"service\"\ntask.desired = 2\nactivity.metrics_path = \"/metrics\"\n";
    let mistake = one_mistake(several);
    assert_eq!(mistake.key, "sessions.a.task.desired");
    for seen in ["activity.logs.pattern = \"GET\"\n", "limits.idle_timeout = \"never\"\n"] {
        assert!(loaded(&format!("{MINIMAL}{several}{seen}")).is_ok(), "{seen}");
    }
}

#[test]
fn a_least_lifetime_that_no_session_reaches_is_warned_of_where_somebody_wrote_it() {
    let short = "limits.lifetime = \"1m\"\nlimits.max_lifetime = \"2m\"\nlimits.idle_timeout = \"1m\"\n";
    let warned = |more: &str| {
        let settings = loaded(&format!("{MINIMAL}{short}{more}")).unwrap();
        settings.warnings().iter().any(|it| it.contains("limits.min_lifetime") && it.contains("limits.max_lifetime"))
    };
    assert!(warned("limits.min_lifetime = \"3m\"\n") && !warned("limits.min_lifetime = \"2m\"\n") && !warned(""));
}

#[test]
fn a_fixed_end_that_has_passed_is_warned_of() {
    let settings = loaded(&format!("{MINIMAL}limits.ends_at = \"2026-01-31T18:00:00Z\"\n")).unwrap();
    let at = |text: &str| text.parse().unwrap();
    let passed = |now: &str| settings.warnings_at(at(now)).iter().any(|it| it.contains("limits.ends_at"));
    assert!(!passed("2026-01-31T17:59:59Z") && passed("2026-01-31T18:00:00Z"));
}
