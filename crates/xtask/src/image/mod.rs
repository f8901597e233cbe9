//! The operator's image: an OCI layout that holds, for each architecture, a static binary and the roots that it trusts. It is
//! written here, byte for byte, so that the same binaries give the same image on every machine, and without a daemon or root.

mod elf;
mod layer;
mod layout;
mod roots;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Serialize, Serializer};

use layer::Layer;
pub(crate) use layer::{File, layer};
pub(crate) use layout::digest;
use layout::{Config, History, Layout, Manifest, Platform};

/// The most that an image may hold, unpacked.
const BAR_BYTES: usize = 15_000_000;

/// As in the chart and in `config/manager`: nobody in particular.
const USER: &str = "65532:65532";
const NAME: &str = "workload-identity-operator";
/// Where the operator's TLS looks for roots, as on Debian.
const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";

/// What an image is made of.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The statically linked operator for an architecture, amd64 or arm64; once for each.
    #[arg(long = "binary", value_name = "ARCHITECTURE=PATH", required = true)]
    binaries: Vec<Binary>,
    /// The operator's version.
    #[arg(long)]
    version: String,
    /// The commit that it was built of.
    #[arg(long)]
    revision: String,
    /// The commit's time, in RFC 3339: the clock's would make another image each time.
    #[arg(long)]
    created: String,
    /// The folder of the image, which is made anew.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// A binary, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) architecture: Architecture,
    path: PathBuf,
}

/// An architecture for which there is an image, by Go's name as OCI has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The digest by which all of it is pulled.
    pub(crate) digest: String,
    /// A line for each architecture, for a person.
    pub(crate) lines: Vec<String>,
    /// What is larger than it may be.
    pub(crate) problems: Vec<String>,
}

/// Writes the image.
///
/// # Errors
/// When a binary cannot be read, is for another architecture or needs libraries, or when the folder cannot be written.
pub(crate) fn write(request: &Request) -> anyhow::Result<Written> {
    let layout = Layout::new(&request.out)?;
    let mut binaries: Vec<&Binary> = request.binaries.iter().collect();
    binaries.sort_by_key(|binary| binary.architecture);
    for pair in binaries.windows(2) {
        if let [one, other] = pair {
            ensure!(
                one.architecture != other.architecture,
                "two binaries are for {}",
                one.architecture.name()
            );
        }
    }
    let roots = roots::pem();
    let trusted = layer(&[File {
        path: ROOTS,
        mode: 0o644,
        content: roots.as_bytes(),
    }])?;
    let (mut manifests, mut lines, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for binary in binaries {
        let content = binary.content()?;
        let program = layer(&[File {
            path: NAME,
            mode: 0o755,
            content: &content,
        }])?;
        let unpacked = roots.len() + content.len();
        let download = trusted.compressed.len() + program.compressed.len();
        let manifest = add(&layout, request, binary.architecture, &[&trusted, &program])?;
        let verdict = if unpacked > BAR_BYTES {
            "ABOVE THE BAR"
        } else {
            "within the bar"
        };
        lines.push(format!(
            "linux/{}  {}  {} unpacked, {} to download; bar {} unpacked: {verdict}",
            binary.architecture.name(),
            manifest.digest,
            megabytes(unpacked),
            megabytes(download),
            megabytes(BAR_BYTES),
        ));
        if unpacked > BAR_BYTES {
            problems.push(format!(
                "the image for linux/{} is above the bar",
                binary.architecture.name()
            ));
        }
        manifests.push(manifest);
    }
    let digest = layout.finish(manifests, labels(request), &request.version)?;
    Ok(Written {
        digest,
        lines,
        problems,
    })
}

/// Adds an image to the layout.
fn add(
    layout: &Layout,
    request: &Request,
    architecture: Architecture,
    layers: &[&Layer],
) -> anyhow::Result<layout::Descriptor> {
    let history = |what: &str| History {
        created: request.created.clone(),
        created_by: what.to_owned(),
    };
    let config = Config {
        created: &request.created,
        architecture,
        os: layout::LINUX,
        execution: layout::Execution {
            user: USER,
            exposed_ports: layout::Ports {
                operator: layout::Empty {},
            },
            entrypoint: [format!("/{NAME}")],
            working_dir: "/",
            labels: labels(request),
        },
        rootfs: layout::RootFilesystem::of(layers.iter().map(|layer| layer.diff_id.clone()).collect()),
        history: vec![history("Mozilla's certificate authorities"), history("the operator")],
    };
    let config = layout.blob(layout::CONFIG, &serde_json::to_vec(&config)?)?;
    let layers = layers.iter().map(|layer| layout.blob(layout::LAYER, &layer.compressed));
    let manifest = Manifest::new(config, layers.collect::<anyhow::Result<_>>()?);
    let descriptor = layout.blob(layout::MANIFEST, &serde_json::to_vec(&manifest)?)?;
    Ok(descriptor.on(Platform {
        architecture,
        os: layout::LINUX,
    }))
}

fn labels(request: &Request) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("org.opencontainers.image.created", request.created.clone()),
        ("org.opencontainers.image.licenses", "Apache-2.0".to_owned()),
        ("org.opencontainers.image.revision", request.revision.clone()),
        ("org.opencontainers.image.title", NAME.to_owned()),
        ("org.opencontainers.image.version", request.version.clone()),
    ])
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

// === impl Binary ===

impl Binary {
    /// The program, when it is one for its architecture that needs no libraries.
    pub(crate) fn content(&self) -> anyhow::Result<Vec<u8>> {
        let path: &Path = &self.path;
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        elf::is_static_for(&content, self.architecture)
            .with_context(|| format!("{} cannot be released", path.display()))?;
        Ok(content)
    }
}

impl FromStr for Binary {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (architecture, path) = text.split_once('=').context("write ARCHITECTURE=PATH")?;
        let architecture = match architecture {
            "amd64" => Architecture::Amd64,
            "arm64" => Architecture::Arm64,
            other => bail!("there is no image for {other}: write amd64 or arm64"),
        };
        Ok(Self {
            architecture,
            path: PathBuf::from(path),
        })
    }
}

// === impl Architecture ===

impl Architecture {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
