//! An image's layers on their way: a bar each on a terminal, a line each elsewhere.
//!
//! Guarantees: only what moves has a bar; bars leave nothing behind; a line is told once.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Icon, narrator::Line};
use crate::domain::model::{ImageProgress, LayerProgress, LayerState};

/// Bars below whatever else is drawn.
#[derive(Debug)]
pub struct Bars {
    drawn: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Bars {
    /// None yet.
    #[must_use]
    pub fn new(drawn: MultiProgress) -> Self {
        Self { drawn, bars: BTreeMap::new() }
    }

    /// Draws what moves now; the others go.
    pub fn show(&mut self, progress: Option<&ImageProgress>) {
        let moving: Vec<&LayerProgress> = progress
            .into_iter()
            .flat_map(|progress| &progress.layers)
            .filter(|layer| layer.state == LayerState::Sending)
            .collect();
        self.bars.retain(|digest, bar| {
            let stays = moving.iter().any(|layer| layer.digest == *digest);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for layer in moving {
            let bar = self.bars.entry(layer.digest.clone()).or_insert_with(|| {
                let bar = self.drawn.add(ProgressBar::new(layer.size));
                if let Ok(style) = ProgressStyle::with_template(
                    "  {prefix} [{bar:24}] {decimal_bytes:>10} of {decimal_total_bytes}, {decimal_bytes_per_sec}",
                ) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_prefix(short(&layer.digest));
                bar
            });
            bar.set_position(layer.sent.min(layer.size));
        }
    }
}

/// The beginning of a digest, by which people tell layers apart.
#[must_use]
pub fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

/// Bytes, as engines and registries show them: `12.5 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// What came to its end since `before`, a line each.
#[must_use]
pub fn news(before: Option<&ImageProgress>, now: Option<&ImageProgress>) -> Vec<Line> {
    let Some(now) = now else { return Vec::new() };
    let was = |digest: &str| {
        before.and_then(|before| before.layers.iter().find(|layer| layer.digest == digest)).map(|layer| layer.state)
    };
    let line = |layer: &LayerProgress| {
        if was(&layer.digest) == Some(layer.state) {
            return None;
        }
        let (name, size) = (short(&layer.digest), size(layer.size));
        let text = match layer.state {
            LayerState::Waiting | LayerState::Sending => return None,
            LayerState::Sent => format!("layer {name} sent ({size})"),
            LayerState::AlreadyThere => format!("layer {name} was there ({size})"),
        };
        Some(Line { icon: Icon::Done, text })
    };
    now.layers.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{SupplyStage, Timestamp};

    fn progress(states: &[(char, LayerState)]) -> ImageProgress {
        let layers = states.iter().map(|(name, state)| LayerProgress {
            digest: format!("sha256:{}", name.to_string().repeat(64)),
            size: 12_500_000,
            sent: 1,
            state: *state,
        });
        ImageProgress {
            stage: SupplyStage::Pushing,
            detail: "to h/lab".to_owned(),
            layers: layers.collect(),
            since: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_layer_is_told_once_when_it_has_come() {
        let before = progress(&[('a', LayerState::Sending), ('b', LayerState::Waiting), ('c', LayerState::Sent)]);
        let now = progress(&[('a', LayerState::Sent), ('b', LayerState::AlreadyThere), ('c', LayerState::Sent)]);
        let texts: Vec<String> = news(Some(&before), Some(&now)).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["layer aaaaaaaaaaaa sent (12.50 MB)", "layer bbbbbbbbbbbb was there (12.50 MB)"]);
        assert!(news(Some(&now), Some(&now)).is_empty() && news(Some(&now), None).is_empty());
        assert_eq!(news(None, Some(&now)).len(), 3);
    }

    #[test]
    fn only_what_moves_has_a_bar() {
        let mut bars = Bars::new(MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()));
        bars.show(Some(&progress(&[('a', LayerState::Sending), ('b', LayerState::Sending), ('c', LayerState::Sent)])));
        assert_eq!(bars.bars.len(), 2);
        bars.show(Some(&progress(&[('a', LayerState::Sent), ('b', LayerState::Sending)])));
        assert_eq!(bars.bars.values().map(ProgressBar::position).collect::<Vec<_>>(), [1]);
        bars.show(None);
        assert!(bars.bars.is_empty());
    }
}
