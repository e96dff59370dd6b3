//! Tells how far a supply has come: cheap to call for every chunk, and heard by whoever wants to.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    clock::Clock,
    domain::model::{ImageProgress, LayerProgress, LayerState, SupplyStage},
};

/// The speaker's end. The default one is heard by nobody.
#[derive(Clone, Debug, Default)]
pub struct Report(Option<Arc<Speaker>>);

#[derive(Debug)]
struct Speaker {
    clock: Clock,
    said: watch::Sender<Option<ImageProgress>>,
}

impl Report {
    /// A report, and the ear that follows it.
    #[must_use]
    pub fn new(clock: Clock) -> (Self, watch::Receiver<Option<ImageProgress>>) {
        let (said, ear) = watch::channel(None);
        (Self(Some(Arc::new(Speaker { clock, said }))), ear)
    }

    /// A stage begins, or goes on with another detail; layers stay as they are.
    pub fn stage(&self, stage: SupplyStage, detail: impl Into<String>) {
        let Some(speaker) = &self.0 else { return };
        let (now, detail) = (speaker.clock.now(), detail.into());
        speaker.said.send_modify(|said| {
            let before = said.take();
            let same = before.as_ref().filter(|before| before.stage == stage).map(|before| before.since);
            let layers = before.map(|before| before.layers).unwrap_or_default();
            *said = Some(ImageProgress { stage, detail, layers, since: same.unwrap_or(now) });
        });
    }

    /// What will be sent: digest and size of each.
    pub fn layers(&self, layers: impl IntoIterator<Item = (String, u64)>) {
        self.change(|progress| {
            progress.layers = layers
                .into_iter()
                .map(|(digest, size)| LayerProgress { digest, size, sent: 0, state: LayerState::Waiting })
                .collect();
        });
    }

    /// Where a layer is, and how many of its bytes are sent.
    pub fn layer(&self, digest: &str, state: LayerState, sent: u64) {
        self.change(|progress| {
            for layer in progress.layers.iter_mut().filter(|layer| layer.digest == digest) {
                (layer.state, layer.sent) = (state, sent);
            }
        });
    }

    fn change(&self, how: impl FnOnce(&mut ImageProgress)) {
        let Some(speaker) = &self.0 else { return };
        speaker.said.send_modify(|said| {
            if let Some(progress) = said {
                how(progress);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Timestamp;

    #[test]
    fn a_stage_keeps_the_layers_and_its_beginning() {
        let (report, ear) = Report::new(Clock::simulated(Timestamp::from_millis(5)));
        report.layer("a", LayerState::Sent, 1);
        assert_eq!(*ear.borrow(), None, "nothing has begun");
        report.stage(SupplyStage::Pushing, "one");
        report.layers([("a".to_owned(), 9)]);
        report.layer("a", LayerState::Sending, 4);
        report.stage(SupplyStage::Pushing, "two");
        let seen = ear.borrow().clone().unwrap();
        assert_eq!((seen.detail.as_str(), seen.bytes(), seen.since), ("two", (4, 9), Timestamp::from_millis(5)));
        Report::default().stage(SupplyStage::Pushing, "nobody hears it");
    }
}
