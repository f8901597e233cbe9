//! The OCI image layout: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md. Documents are structs and no maps of
//! JSON, because their order is part of their digest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Architecture;

pub(crate) const LINUX: &str = "linux";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The key under which a layout has an image's tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A folder that becomes an image.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
}

/// Names a blob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    media_type: &'static str,
    pub(crate) digest: String,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// On what an image runs.
#[derive(Debug, Serialize)]
pub(crate) struct Platform {
    pub(crate) architecture: Architecture,
    pub(crate) os: &'static str,
}

/// An image for one platform.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An image for several platforms, or what a layout holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// How an image is run, and what it is made of.
#[derive(Debug, Serialize)]
pub(crate) struct Config<'a> {
    pub(crate) created: &'a str,
    pub(crate) architecture: Architecture,
    pub(crate) os: &'static str,
    #[serde(rename = "config")]
    pub(crate) execution: Execution,
    pub(crate) rootfs: RootFilesystem,
    pub(crate) history: Vec<History>,
}

/// How an image is run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    pub(crate) user: &'static str,
    pub(crate) exposed_ports: Ports,
    pub(crate) entrypoint: [String; 1],
    pub(crate) working_dir: &'static str,
    pub(crate) labels: BTreeMap<&'static str, String>,
}

/// The ports that an image serves, as the keys of an object.
#[derive(Debug, Serialize)]
pub(crate) struct Ports {
    #[serde(rename = "8080/tcp")]
    pub(crate) operator: Empty,
}

/// The value of a set's keys.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

/// The layers before they are compressed, the lowest first.
#[derive(Debug, Serialize)]
pub(crate) struct RootFilesystem {
    r#type: &'static str,
    diff_ids: Vec<String>,
}

/// What a layer is.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    pub(crate) created: String,
    pub(crate) created_by: String,
}

/// The digest of some bytes, as OCI writes it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

// === impl Layout ===

impl Layout {
    /// An empty one, in the place of what lay there.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
        let layout = Self {
            folder: folder.to_path_buf(),
        };
        fs::create_dir_all(layout.blobs()).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(layout)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    /// Adds a blob.
    pub(crate) fn blob(&self, media_type: &'static str, bytes: &[u8]) -> anyhow::Result<Descriptor> {
        let digest = digest(bytes);
        let path = self.blobs().join(digest.trim_start_matches("sha256:"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Descriptor {
            media_type,
            digest,
            size: bytes.len(),
            platform: None,
            annotations: BTreeMap::new(),
        })
    }

    /// Makes these images one, and the layout whole. Returns the digest by which it is pulled.
    pub(crate) fn finish(
        &self,
        manifests: Vec<Descriptor>,
        annotations: BTreeMap<&'static str, String>,
        tag: &str,
    ) -> anyhow::Result<String> {
        let image = Index {
            schema_version: 2,
            media_type: INDEX,
            manifests,
            annotations,
        };
        let mut image = self.blob(INDEX, &serde_json::to_vec(&image)?)?;
        let digest = image.digest.clone();
        image.annotations.insert(TAG, tag.to_owned());
        let all = Index {
            schema_version: 2,
            media_type: INDEX,
            manifests: vec![image],
            annotations: BTreeMap::new(),
        };
        fs::write(self.folder.join("index.json"), serde_json::to_vec(&all)?)?;
        fs::write(self.folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(digest)
    }
}

// === impl Descriptor ===

impl Descriptor {
    /// The same, of an image for this platform.
    pub(crate) fn on(self, platform: Platform) -> Self {
        Self {
            platform: Some(platform),
            ..self
        }
    }
}

// === impl Manifest ===

impl Manifest {
    /// An image of these layers, the lowest first.
    pub(crate) const fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST,
            config,
            layers,
        }
    }
}

// === impl RootFilesystem ===

impl RootFilesystem {
    /// That of these layers.
    pub(crate) const fn of(diff_ids: Vec<String>) -> Self {
        Self {
            r#type: "layers",
            diff_ids,
        }
    }
}
