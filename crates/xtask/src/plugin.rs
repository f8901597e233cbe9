//! The plugin as it is released: an archive for each architecture, and what its two package managers ask for.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::image::{Architecture, Binary, File, digest, layer};

const DESCRIPTION: &str = "Why a pod has no Microsoft Entra token, and what to do";
const LONG: &str = "Asks the WorkloadIdentityBindings of a cluster, with your own rights: status shows identity, credentials, service accounts
and pods as a tree with the one next step; plan shows what would change before it is applied; verify trades a token
and explains each refusal; doctor looks at the whole installation; import, bootstrap, reconcile, suspend, resume.
";

/// What is packed.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The statically linked plugin for an architecture, amd64 or arm64; once for each.
    #[arg(long = "binary", value_name = "ARCHITECTURE=PATH", required = true)]
    binaries: Vec<Binary>,
    /// The plugin's version.
    #[arg(long)]
    version: String,
    /// The repository, as a browser opens it; archives are expected among the files of its release.
    #[arg(long, value_name = "URL")]
    repository: String,
    /// The folder of archives and manifests.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// An archive for one of the two.
struct Archive {
    architecture: Architecture,
    url: String,
    sha256: String,
}

/// Writes archives and manifests, and returns their names.
///
/// # Errors
/// When a binary cannot be read, is for another architecture or needs libraries, or when the folder cannot be written.
pub(crate) fn write(request: &Request, license: &[u8]) -> anyhow::Result<Vec<String>> {
    fs::create_dir_all(&request.out).with_context(|| format!("cannot make {}", request.out.display()))?;
    let mut written = Vec::new();
    let kubectl = request.archives("kubectl-wib", license, &mut written)?;
    let flux = request.archives("flux-wib", license, &mut written)?;
    for (name, manifest) in [
        ("krew-wib.yaml", serde_yaml_ng::to_string(&request.krew(&kubectl))?),
        ("flux-plugin-wib.yaml", serde_yaml_ng::to_string(&request.flux(&flux))?),
    ] {
        request.write(name, manifest.as_bytes(), &mut written)?;
    }
    Ok(written)
}

// === impl Request ===

impl Request {
    /// An archive for each architecture, in which the program is called so.
    fn archives(&self, program: &str, license: &[u8], written: &mut Vec<String>) -> anyhow::Result<Vec<Archive>> {
        let mut archives = Vec::new();
        for binary in &self.binaries {
            let content = binary.content()?;
            let packed = layer(&[
                File {
                    path: program,
                    mode: 0o755,
                    content: &content,
                },
                File {
                    path: "LICENSE",
                    mode: 0o644,
                    content: license,
                },
            ])?;
            let architecture = binary.architecture;
            let name = format!("{program}_{}_linux_{}.tar.gz", self.version, architecture.name());
            self.write(&name, &packed.compressed, written)?;
            archives.push(Archive {
                architecture,
                url: format!("{}/releases/download/v{}/{name}", self.repository, self.version),
                sha256: digest(&packed.compressed).replace("sha256:", ""),
            });
        }
        Ok(archives)
    }

    fn write(&self, name: &str, content: &[u8], written: &mut Vec<String>) -> anyhow::Result<()> {
        let path = self.out.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(name.to_owned());
        Ok(())
    }

    /// The manifest for krew, as <https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest> asks for it.
    fn krew(&self, archives: &[Archive]) -> krew::Manifest<'_> {
        let platform = |archive: &Archive| krew::Platform {
            selector: krew::Selector {
                match_labels: krew::Labels {
                    os: "linux",
                    arch: archive.architecture,
                },
            },
            uri: archive.url.clone(),
            sha256: archive.sha256.clone(),
            bin: "kubectl-wib",
        };
        krew::Manifest {
            api_version: "krew.googlecontainertools.github.com/v1alpha2",
            kind: "Plugin",
            metadata: krew::Metadata { name: "wib" },
            spec: krew::Spec {
                version: format!("v{}", self.version),
                homepage: &self.repository,
                short_description: DESCRIPTION,
                description: LONG,
                platforms: archives.iter().map(platform).collect(),
            },
        }
    }

    /// The manifest for Flux's command line, as the catalogue of its plugins has them.
    fn flux(&self, archives: &[Archive]) -> flux::Manifest<'_> {
        let platform = |archive: &Archive| flux::Platform {
            os: "linux",
            arch: archive.architecture,
            url: archive.url.clone(),
            checksum: format!("sha256:{}", archive.sha256),
        };
        flux::Manifest {
            api_version: "cli.fluxcd.io/v1beta1",
            kind: "Plugin",
            name: "wib",
            description: DESCRIPTION,
            homepage: &self.repository,
            source: &self.repository,
            bin: "flux-wib",
            versions: [flux::Version {
                version: self.version.clone(),
                platforms: archives.iter().map(platform).collect(),
            }],
        }
    }
}

mod krew {
    use super::{Architecture, Serialize};

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Manifest<'a> {
        pub(super) api_version: &'static str,
        pub(super) kind: &'static str,
        pub(super) metadata: Metadata,
        pub(super) spec: Spec<'a>,
    }

    #[derive(Serialize)]
    pub(super) struct Metadata {
        pub(super) name: &'static str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Spec<'a> {
        pub(super) version: String,
        pub(super) homepage: &'a str,
        pub(super) short_description: &'static str,
        pub(super) description: &'static str,
        pub(super) platforms: Vec<Platform>,
    }

    #[derive(Serialize)]
    pub(super) struct Platform {
        pub(super) selector: Selector,
        pub(super) uri: String,
        pub(super) sha256: String,
        pub(super) bin: &'static str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Selector {
        pub(super) match_labels: Labels,
    }

    #[derive(Serialize)]
    pub(super) struct Labels {
        pub(super) os: &'static str,
        pub(super) arch: Architecture,
    }
}

mod flux {
    use super::{Architecture, Serialize};

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Manifest<'a> {
        pub(super) api_version: &'static str,
        pub(super) kind: &'static str,
        pub(super) name: &'static str,
        pub(super) description: &'static str,
        pub(super) homepage: &'a str,
        pub(super) source: &'a str,
        pub(super) bin: &'static str,
        pub(super) versions: [Version; 1],
    }

    #[derive(Serialize)]
    pub(super) struct Version {
        pub(super) version: String,
        pub(super) platforms: Vec<Platform>,
    }

    #[derive(Serialize)]
    pub(super) struct Platform {
        pub(super) os: &'static str,
        pub(super) arch: Architecture,
        pub(super) url: String,
        pub(super) checksum: String,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is a test")]

    use std::io::Read;
    use std::path::Path;

    use flate2::read::GzDecoder;
    use serde_json::Value;

    use super::*;
    use crate::image::tests::static_for;

    fn packed(folder: &Path) -> Vec<String> {
        let out = folder.join("out");
        let request = Request {
            binaries: ["amd64", "arm64"]
                .map(|architecture| {
                    let path = folder.join(architecture);
                    fs::write(&path, static_for(architecture)).unwrap();
                    format!("{architecture}={}", path.display()).parse().unwrap()
                })
                .into(),
            version: "1.2.3".to_owned(),
            repository: "https://github.com/owner/repository".to_owned(),
            out,
        };
        write(&request, b"the license").unwrap()
    }

    fn read(folder: &Path, name: &str) -> Vec<u8> {
        fs::read(folder.join("out").join(name)).unwrap()
    }

    fn manifest(folder: &Path, name: &str) -> Value {
        serde_yaml_ng::from_slice(&read(folder, name)).unwrap()
    }

    /// The archive that a manifest points at, and what it says of its bytes.
    fn is_that_archive(folder: &Path, url: &Value, sha256: &str) -> String {
        let name = url
            .as_str()
            .unwrap()
            .strip_prefix("https://github.com/owner/repository/releases/download/v1.2.3/")
            .unwrap();
        assert_eq!(digest(&read(folder, name)), format!("sha256:{sha256}"));
        name.to_owned()
    }

    #[test]
    fn each_manifest_names_the_archives_that_lie_beside_it_with_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(packed(folder.path()).len(), 6);
        let krew = manifest(folder.path(), "krew-wib.yaml");
        assert_eq!(krew["spec"]["version"], "v1.2.3");
        let flux = manifest(folder.path(), "flux-plugin-wib.yaml");
        assert_eq!(flux["versions"][0]["version"], "1.2.3");
        for (at, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            let platform = &krew["spec"]["platforms"][at];
            assert_eq!(platform["selector"]["matchLabels"]["arch"], architecture);
            is_that_archive(folder.path(), &platform["uri"], platform["sha256"].as_str().unwrap());
            let platform = &flux["versions"][0]["platforms"][at];
            assert_eq!(platform["arch"], architecture);
            let checksum = platform["checksum"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            is_that_archive(folder.path(), &platform["url"], checksum);
        }
    }

    #[test]
    fn the_program_in_an_archive_is_called_as_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        packed(folder.path());
        let bins = [
            ("krew-wib.yaml", "kubectl-wib", "/spec/platforms/0/bin"),
            ("flux-plugin-wib.yaml", "flux-wib", "/bin"),
        ];
        for (name, program, pointer) in bins {
            assert_eq!(manifest(folder.path(), name).pointer(pointer).unwrap(), program);
            let archive = read(folder.path(), &format!("{program}_1.2.3_linux_amd64.tar.gz"));
            let mut archive = tar::Archive::new(GzDecoder::new(archive.as_slice()));
            let entries = archive.entries().unwrap().map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (
                    entry.path().unwrap().display().to_string(),
                    entry.header().mode().unwrap(),
                    content,
                )
            });
            let entries: Vec<_> = entries.collect();
            assert!(entries.contains(&("LICENSE".to_owned(), 0o644, b"the license".to_vec())));
            assert!(entries.contains(&(program.to_owned(), 0o755, static_for("amd64"))));
        }
    }

    #[test]
    fn the_short_description_is_as_short_as_krew_lists_it() {
        assert!(DESCRIPTION.len() <= 60 && !DESCRIPTION.ends_with('.'));
    }
}
