//! Keys that would say nothing beside others: what one kind of image or of task takes, given for another.
//!
//! Guarantees: only what was meant together is judged. A layer that chooses another kind need not unsay what lower ones
//! gave for theirs, nor a session what `[defaults]` gives for the others. Must never judge a built-in default.

use super::{across::Across, value};

/// What each kind of image takes, beside what all take.
const OF_SOURCE: [(&str, &[&str]); 5] = [
    ("registry", &["image.uri", "image.mirror"]),
    ("executable", &["image.path", "image.args", "image.entrypoint", "image.user", "image.environment"]),
    ("archive", &["image.path", "image.reference"]),
    ("docker", &["image.reference"]),
    ("build", &["image.context", "image.dockerfile", "image.target", "image.build_args"]),
];

impl Across<'_> {
    /// Whether a key was written where another was, or where nobody wrote that one: in one file (flag, variable) and in
    /// one section of it.
    pub(super) fn meant_together(&self, key: &str, with: &str) -> bool {
        let file = |origin: &str| {
            let numbered = |text: &str| text.rsplit_once(':').filter(|(_, line)| line.parse::<u64>().is_ok()).is_some();
            if numbered(origin) {
                origin.rsplit_once(':').map(|(file, _)| file.to_owned())
            } else {
                Some(origin.to_owned())
            }
        };
        let own = |key: &str| self.own.is_some_and(|own| own.value(key).is_some());
        match (self.read.origin(key), self.read.origin(with)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(key_at), Some(with_at)) => file(&key_at) == file(&with_at) && own(key) == own(with),
        }
    }

    /// A session's keys that nothing would read.
    pub(super) fn unused(&mut self) {
        let source = self.read.text("image.source");
        let taken = OF_SOURCE.iter().find(|(name, _)| *name == source).map_or(&[][..], |(_, keys)| *keys);
        let mut judged: Vec<&str> = OF_SOURCE.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
        judged.sort_unstable();
        judged.dedup();
        for key in judged.into_iter().filter(|key| !taken.contains(key)) {
            let Some(value) = self.read.value(key).filter(|value| !value::says_nothing(value)).map(value::shown) else {
                continue;
            };
            if self.meant_together(key, "image.source") {
                let of: Vec<String> = OF_SOURCE
                    .iter()
                    .filter(|(_, keys)| keys.contains(&key))
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                self.rule(&[key, "image.source"], false, value, || {
                    format!("image.source {} with it, not \"{source}\", which does not read it", of.join(" or "))
                });
            }
        }
        let (mode, desired): (String, u32) = (self.read.text("task.mode"), self.read.integer("task.desired"));
        let idle = mode == "task" && desired > 1 && self.meant_together("task.desired", "task.mode");
        self.rule(&["task.desired", "task.mode"], !idle, desired, || {
            "1, or task.mode = \"service\" with it: a session of mode \"task\" has one task".into()
        });
    }
}
