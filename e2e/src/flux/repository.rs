//! A repository of manifests, and its revisions.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Flux, NAMESPACE};
use crate::paths::repository;

const FIELD_MANAGER: &str = "e2e-source-controller";

/// Where Flux has manifests from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A Git repository.
    Git,
    /// An artifact of a registry, whose tag moves.
    Oci,
}

/// What a Git repository or an artifact of a registry is to Flux: files, and a revision that changes with them.
pub struct Repository<'f> {
    flux: &'f Flux,
    source: Source,
    name: String,
    files: BTreeMap<String, String>,
    commits: u32,
}

// === impl Repository ===

impl<'f> Repository<'f> {
    pub(super) fn new(flux: &'f Flux, source: Source, name: &str) -> Self {
        Self {
            flux,
            source,
            name: name.to_owned(),
            files: BTreeMap::new(),
            commits: 0,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What Flux calls such a source.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.source {
            Source::Git => "GitRepository",
            Source::Oci => "OCIRepository",
        }
    }

    /// Writes a manifest: JSON is YAML.
    pub fn put(&mut self, path: &str, manifest: &Value) {
        self.files.insert(path.to_owned(), manifest.to_string());
    }

    /// Changes a file, which must hold the text.
    pub fn edit(&mut self, path: &str, from: &str, to: &str) -> Result<()> {
        let file = self
            .files
            .get_mut(path)
            .with_context(|| format!("there is no {path}"))?;
        ensure!(file.contains(from), "{path} does not hold {from}");
        *file = file.replace(from, to);
        Ok(())
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.files
            .remove(path)
            .map(drop)
            .with_context(|| format!("there is no {path}"))
    }

    /// Takes a folder of our own repository into it, to the same place.
    pub fn take(&mut self, folder: &str) -> Result<()> {
        self.take_from(&repository().join(folder))
    }

    fn take_from(&mut self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.take_from(&path)?;
                continue;
            }
            let content = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let place = path.strip_prefix(repository())?;
            let place = place.to_str().context("the repository's path is not Unicode")?;
            self.files.insert(place.to_owned(), content);
        }
        Ok(())
    }

    /// Makes what is in it a new revision, from which every Kustomization of it is reconciled at once. Returns the revision.
    pub async fn commit(&mut self) -> Result<String> {
        self.commits += 1;
        let (name, commits) = (&self.name, self.commits);
        let artifact = self
            .flux
            .artifacts
            .add(&format!("{name}/{commits}.tar.gz"), &self.files)?;
        let (revision, url) = match self.source {
            Source::Git => (
                format!("main@sha1:{commits:040}"),
                format!("https://git.example/{name}"),
            ),
            // The registry's own digest is another one than the archive's.
            Source::Oci => (
                format!("latest@sha256:{commits:064}"),
                format!("oci://registry.example/{name}"),
            ),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", self.kind()));
        let sources: Api<DynamicObject> = Api::namespaced_with(self.flux.client.clone(), NAMESPACE, &resource);
        let by = PatchParams::apply(FIELD_MANAGER).force();
        let object = |part: &str, content: Value| {
            Patch::Apply(json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1",
                "kind": self.kind(),
                "metadata": { "name": name },
                part: content,
            }))
        };
        let spec = json!({ "interval": "1h", "url": url });
        let source = sources
            .patch(name, &by, &object("spec", spec))
            .await
            .with_context(|| format!("writing a {}", self.kind()))?;
        let now = Timestamp::now().to_string();
        let status = json!({
            "observedGeneration": source.metadata.generation,
            "artifact": {
                "path": artifact.path,
                "url": artifact.url,
                "digest": artifact.digest,
                "revision": revision,
                "lastUpdateTime": now,
            },
            "conditions": [{ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact", "lastTransitionTime": now }],
        });
        sources
            .patch_status(name, &by, &object("status", status))
            .await
            .with_context(|| format!("writing the status of a {}", self.kind()))?;
        Ok(revision)
    }
}
