//! Where the daemon is: what a command that asks one needs of the configuration, and nothing else.
//!
//! Guarantees: only `[daemon]` is read, from the same layers as by [`super::load`], so that a mistake elsewhere keeps
//! nobody from a daemon that runs; what was given for this one command and could not change anything is named. Must
//! never give anything but `[daemon]` to its caller: what sessions may do is the daemon's to say.

use ::config::{Map, Value};

use super::{
    DaemonSettings, Mistake, Mistakes, Request,
    across::Across,
    check::Check,
    keys::section_names,
    layer,
    mistake::{looks_secret, names_secret, nearest},
    reader::{BUILT_IN, Reader},
    sections,
};

/// What variables begin with.
const PREFIX: &str = "LABGUARD__";

/// What is said of keys that are not the command's to set.
const NOT_HERE: &str = "daemon.* only with this command: of the rest the daemon's configuration decides; give it to \
     `labguard run`, or change its file, which it reloads";

/// What a command that asks a daemon is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// `[daemon]`, as far as it can be read.
    pub daemon: DaemonSettings,
    /// What is wrong in `[daemon]`, or keeps a file from saying whether it has one.
    pub mistakes: Vec<Mistake>,
    /// What is wrong elsewhere.
    pub elsewhere: Vec<Mistake>,
    /// `--set` flags for what the daemon's own configuration decides, and what is no flag at all.
    pub flags: Vec<Mistake>,
    /// Environment variables for the same.
    pub variables: Vec<Mistake>,
}

/// Reads where the daemon is.
#[must_use]
pub fn whereabouts(request: &Request) -> Whereabouts {
    let (set, foreign): (Vec<_>, Vec<_>) = request.set.iter().cloned().partition(|flag| is_own_flag(flag));
    let mut flags: Vec<Mistake> = foreign.iter().map(|flag| misplaced_flag(flag)).collect();
    let (env, foreign): (Vec<_>, Vec<_>) =
        request.env.iter().cloned().partition(|(name, _)| variable_section(name).is_none_or(|it| it == "daemon"));
    let variables = foreign.iter().map(|(name, text)| misplaced_variable(name, text)).collect();
    let own = Request { set, env, ..request.clone() };

    let mut check = Check::new(&own.metrics);
    let mut layers: Vec<Map<String, Value>> = Vec::new();
    let mut mistakes = Vec::new();
    let built_in = layer::parse(BUILT_IN, super::DEFAULT_TOML).unwrap_or_default();
    layers.push(check.layer(only_daemon(built_in)));
    for path in own.resolved_files() {
        let (table, wrong) = layer::recovered(&path);
        mistakes.extend(wrong.into_iter().filter(|(table, _)| table_concerns(table)).map(|(_, mistake)| mistake));
        layers.push(check.layer(only_daemon(table)));
    }
    layers.extend(layer::environment(&own.env, &[]).into_iter().map(|table| check.layer(table)));
    let (given, wrong) = layer::flags(&own.set);
    flags.extend(wrong);
    layers.extend(given.into_iter().map(|table| check.layer(table)));

    let read = Reader::over(vec![Reader::over(layers).section("daemon")]);
    let daemon = sections::daemon(&read);
    let mut judge = Across::new("daemon", BUILT_IN, &read, None, &check.poisoned);
    judge.daemon(&daemon);
    let between = judge.mistakes;
    mistakes.append(&mut check.mistakes);
    mistakes.extend(between);
    let elsewhere = super::load(&own).err().map_or_else(Vec::new, |Mistakes(all)| {
        let (meant, elsewhere): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|it| !mistakes.contains(it) && !flags.contains(it)).partition(concerns);
        mistakes.extend(meant);
        elsewhere
    });
    Whereabouts { daemon, mistakes, elsewhere, flags, variables }
}

fn is_daemon(key: &str) -> bool {
    key == "daemon" || key.starts_with("daemon.")
}

/// A mistake of `[daemon]`, or one by which something of it is probably lost.
fn concerns(mistake: &Mistake) -> bool {
    is_daemon(&mistake.key) || mistake.nearest.as_deref().is_some_and(is_daemon)
}

/// Whether what cannot be read below a file's table (nothing: before the first) may have said where the daemon is.
fn table_concerns(table: &str) -> bool {
    table.is_empty() || is_daemon(table) || nearest(table, section_names()) == Some("daemon")
}

fn only_daemon(mut table: Map<String, Value>) -> Map<String, Value> {
    table.retain(|name, _| name == "daemon");
    table
}

/// `daemon.*`, and what is no flag at all: that is said of it elsewhere.
fn is_own_flag(flag: &str) -> bool {
    let Some((key, _)) = flag.split_once('=') else { return true };
    let section = key.trim().split('.').next().unwrap_or_default().trim();
    section.is_empty() || section == "daemon"
}

fn misplaced_flag(flag: &str) -> Mistake {
    let (key, text) = flag.split_once('=').unwrap_or((flag, ""));
    let (section, rest) = key.trim().split_once('.').unwrap_or((key.trim(), ""));
    let meant = nearest(section, section_names()) == Some("daemon");
    Mistake {
        source: "--set".into(),
        key: key.trim().to_owned(),
        value: Some(shown(key, text)),
        expected: NOT_HERE.into(),
        nearest: meant.then(|| format!("daemon.{rest}")),
    }
}

/// The section that a variable is about; nothing where it is none of ours.
fn variable_section(name: &str) -> Option<String> {
    Some(name.strip_prefix(PREFIX)?.split("__").next().unwrap_or_default().to_ascii_lowercase())
}

fn misplaced_variable(name: &str, text: &str) -> Mistake {
    let key = name.strip_prefix(PREFIX).unwrap_or(name).replace("__", ".").to_ascii_lowercase();
    let value = Some(shown(&key, text));
    Mistake {
        source: format!("environment variable {name}"),
        key,
        value,
        expected: format!("{NOT_HERE}; `env -u {name}` leaves it out here"),
        nearest: None,
    }
}

fn shown(key: &str, text: &str) -> String {
    if looks_secret(text) || names_secret(key) { "(not shown)".into() } else { format!("{:?}", text.trim()) }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::request, *};

    const LISTEN: &str = "[daemon]\nlisten = \"127.0.0.1:7400\"\n";

    fn found(text: &str) -> Whereabouts {
        let (_folder, request) = request(&[("a.toml", text)]);
        whereabouts(&request)
    }

    #[test]
    fn what_is_wrong_outside_of_daemon_hides_no_daemon() {
        let wrong = format!("{LISTEN}[sessions.a]\nlimits.budgt = 1\ntask.cpu = \"many\"\n");
        let it = found(&wrong);
        assert_eq!((it.daemon.listen.port(), it.mistakes.as_slice()), (7400, [].as_slice()));
        assert!(it.elsewhere.len() >= 2, "{:?}", it.elsewhere);

        // Not TOML any more, below another table: [daemon] is read all the same.
        let it = found(&format!("{LISTEN}[sessions.a]\nowner = = 3\n"));
        assert_eq!((it.daemon.listen.port(), it.mistakes.len()), (7400, 0));
        assert!(it.elsewhere[0].source.contains("a.toml:4"), "{it:?}");
    }

    #[test]
    fn what_is_wrong_in_daemon_is_told_as_such() {
        for text in [
            "[daemon]\nlisten = \"nowhere\"\n",
            "[daemon]\nlisen = \"127.0.0.1:7400\"\n",
            "[deamon]\nlisten = \"127.0.0.1:7400\"\n",
            "[daemon]\nlisten = = 3\n",
            "listen = = 3\n",
            "[daemon]\nlisten = \"0.0.0.0:7400\"\n",
        ] {
            let it = found(text);
            assert!(!it.mistakes.is_empty() && it.elsewhere.is_empty(), "{text}: {it:?}");
        }
        let nowhere = Request { files: vec!["/nowhere/a.toml".into()], ..Request::default() };
        assert_eq!(whereabouts(&nowhere).mistakes.len(), 1);
    }

    #[test]
    fn what_only_the_daemon_decides_is_named_flag_by_flag_and_variable_by_variable() {
        let (_folder, mut request) = request(&[("a.toml", LISTEN)]);
        request.set = ["sessions.lab.limits.budget=0.10 USD", "deamon.listen=x", "daemon.listen=127.0.0.1:7500"]
            .map(str::to_owned)
            .to_vec();
        request.env = [
            ("LABGUARD__AWS__PROFILE", "lab"),
            ("LABGUARD__DAEMON__MAX_SESSIONS", "3"),
            ("LABGUARD__SESSIONS__A__TASK__ENVIRONMENT__AWS_SECRET_ACCESS_KEY", "x"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec();
        let it = whereabouts(&request);
        assert_eq!((it.daemon.listen.port(), it.daemon.max_sessions), (7500, 3));
        assert_eq!((it.mistakes.len(), it.elsewhere.len()), (0, 0), "{it:?}");
        let keys: Vec<&str> = it.flags.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["sessions.lab.limits.budget", "deamon.listen"]);
        assert!(it.flags[0].expected.contains("`labguard run`"), "{it:?}");
        assert_eq!(it.flags[1].nearest.as_deref(), Some("daemon.listen"));
        assert_eq!(it.variables[0].key, "aws.profile");
        assert_eq!(it.variables[1].value.as_deref(), Some("(not shown)"));
    }
}
