//! What is in an image, for people.

use super::{
    BOLD, DIM, Look,
    columns::{Cell, table},
    layers::{short, size},
};
use crate::image::{ConfigSummary, ImageSummary, ManifestSummary};

/// Digest, platforms, and each manifest with its layers.
#[must_use]
pub fn image(look: Look, it: &ImageSummary) -> String {
    let platforms = it.platforms().join(", ");
    let mut text = format!("{}\n", look.paint(BOLD, &it.digest));
    let facts = [
        ("type", it.media_type.clone()),
        ("platforms", if platforms.is_empty() { "not said".to_owned() } else { platforms }),
        ("size", size(it.total_bytes)),
    ];
    for (name, value) in facts {
        text.push_str(&format!("  {name:<11} {value}\n"));
    }
    for manifest in it.manifests.iter().filter(|manifest| !manifest.layers.is_empty()) {
        text.push('\n');
        text.push_str(&of_manifest(look, manifest));
    }
    text
}

fn of_manifest(look: Look, it: &ManifestSummary) -> String {
    let platform = match it.platform.as_deref() {
        Some("unknown/unknown") => "attestation",
        Some(platform) => platform,
        None => "platform not said",
    };
    let mut text = format!("{} {}\n", look.paint(BOLD, platform), look.paint(DIM, &it.digest));
    if let Some(config) = &it.config {
        for (name, value) in facts(config) {
            text.push_str(&format!("  {name:<11} {value}\n"));
        }
    }
    let rows: Vec<Vec<Cell>> = it
        .layers
        .iter()
        .enumerate()
        .map(|(number, layer)| {
            vec![
                Cell::new((number + 1).to_string()).right(),
                Cell::new(short(&layer.digest)),
                Cell::new(size(layer.size)).right(),
                Cell::new(layer.media_type.clone()).styled(DIM),
            ]
        })
        .collect();
    text.push_str(&table(look, &["LAYER", "DIGEST", "SIZE", "TYPE"], &rows));
    text
}

fn facts(config: &ConfigSummary) -> Vec<(&'static str, String)> {
    let listed = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
    let all = [
        ("entrypoint", listed(&config.entrypoint), config.entrypoint.is_empty()),
        ("command", listed(&config.cmd), config.cmd.is_empty()),
        ("user", config.user.clone().unwrap_or_else(|| "root".to_owned()), false),
        ("ports", config.ports.join(", "), config.ports.is_empty()),
        ("environment", config.environment.join(", "), config.environment.is_empty()),
    ];
    all.into_iter().filter(|(_, _, empty)| !empty).map(|(name, value, _)| (name, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::LayerSummary;

    #[test]
    fn layers_stand_in_columns_and_values_of_the_environment_are_not_there() {
        let manifest = ManifestSummary {
            digest: "sha256:bb".to_owned(),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            size: 400,
            platform: Some("linux/amd64".to_owned()),
            layers: vec![LayerSummary {
                digest: format!("sha256:{}", "c".repeat(64)),
                media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
                size: 3_100_000,
            }],
            config: Some(ConfigSummary {
                entrypoint: vec!["/app/serve".to_owned()],
                cmd: Vec::new(),
                environment: vec!["PATH".to_owned()],
                user: None,
                ports: vec!["5000/tcp".to_owned()],
            }),
        };
        let summary = ImageSummary {
            digest: "sha256:bb".to_owned(),
            media_type: manifest.media_type.clone(),
            total_bytes: 3_100_400,
            manifests: vec![manifest],
        };
        assert_eq!(
            image(Look::PLAIN, &summary),
            "\
sha256:bb
  type        application/vnd.oci.image.manifest.v1+json
  platforms   linux/amd64
  size        3.10 MB

linux/amd64 sha256:bb
  entrypoint  [\"/app/serve\"]
  user        root
  ports       5000/tcp
  environment PATH
LAYER  DIGEST           SIZE  TYPE
    1  cccccccccccc  3.10 MB  application/vnd.oci.image.layer.v1.tar+gzip
"
        );
    }
}
