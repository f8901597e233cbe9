//! What a release is, by the real crane and Helm and a registry on loopback: pushed as the workflow does it, and pulled as people do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use wio_e2e::paths::{built, part, repository};
use wio_e2e::process::{Program, output};
use wio_e2e::registry::Registry;
use wio_e2e::world::World;

use crate::harness::{Case, case};

const NAME: &str = "workload-identity-operator";
/// All crates and the chart have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_chart_from_a_registry_installs_the_image_of_its_release_by_digest),
        case!(what_a_release_signed_is_verified_and_nothing_else_is).on_request(),
    ]
}

/// Tools with an empty home, so that nobody's logins and caches are theirs.
struct Tools<'w> {
    world: &'w World,
    folder: PathBuf,
}

// === impl Tools ===

impl<'w> Tools<'w> {
    fn new(world: &'w World, folder: &str) -> Result<Self> {
        let folder = world.scratch.folder(folder)?;
        Ok(Self { world, folder })
    }

    async fn run(&self, program: PathBuf, arguments: &[&str]) -> Result<String> {
        let program = Program::new(program).env("DOCKER_CONFIG", self.world.scratch.folder("release-docker")?);
        let program = program
            .env("HELM_CONFIG_HOME", self.world.scratch.folder("release-helm")?)
            .env("HELM_CACHE_HOME", self.world.scratch.folder("release-helm")?)
            .env("WIO_RELEASE", &self.folder)
            .env("WIO_SIGNING_KEY", self.folder.join("keys/cosign.key"))
            .env("COSIGN_PASSWORD", "");
        // Cargo's and rustup's folders are the person's.
        let program = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .fold(program, |program, (name, value)| program.env(name, value));
        let program = arguments
            .iter()
            .fold(program, |program, argument| program.arg(*argument));
        output(program, None, DEADLINE).await
    }

    async fn release(&self, arguments: &[&str]) -> Result<String> {
        let said = self.run(repository().join("hack/release"), arguments).await?;
        Ok(said.trim().to_owned())
    }

    async fn cosign(&self, arguments: &[&str]) -> Result<String> {
        self.run(part("cosign")?, arguments).await
    }

    async fn crane(&self, arguments: &[&str]) -> Result<String> {
        let said = self.run(part("crane")?, arguments).await?;
        Ok(said.trim().to_owned())
    }

    async fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run(part("helm")?, arguments).await
    }

    fn path(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        Ok(path.to_str().context("the run's path is not Unicode")?.to_owned())
    }

    /// An image as `make image` makes it; what is in the place of the operator is not run.
    async fn image(&self) -> Result<()> {
        let mut arguments: Vec<String> = ["image", "--revision=none", "--created=2026-01-02T03:04:05Z"]
            .map(str::to_owned)
            .into();
        arguments.push(format!("--version={VERSION}"));
        arguments.push(format!("--out={}", self.path("image")?));
        for (architecture, machine) in [("amd64", 62), ("arm64", 183)] {
            let program = self.folder.join(architecture);
            std::fs::write(&program, nothing_for(machine)).with_context(|| format!("writing {}", program.display()))?;
            arguments.push(format!("--binary={architecture}={}", program.display()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run(built("xtask", "xtask")?, &arguments).await.map(drop)
    }
}

/// The header of a program for 64-bit Linux on a machine of this number (`e_machine`), without anything to run.
fn nothing_for(machine: u8) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01".to_vec();
    header.resize(18, 0);
    header.push(machine);
    header.resize(64, 0);
    header
}

/// A release, as the workflow pushes it to a registry.
struct Published {
    /// The image, without a digest, and its digest.
    image: String,
    digest: String,
    /// The place of the chart, and its digest.
    charts: String,
    chart: String,
    /// The address of the repository.
    home: String,
    _registry: Registry,
}

async fn publish(tools: &Tools<'_>) -> Result<Published> {
    let registry = Registry::start(&tools.world.scratch).await?;
    let (tag, image) = (format!("v{VERSION}"), format!("{}/{NAME}", registry.address()));
    tools.image().await?;
    let digest = tools.release(&["push", &tag, &image]).await?;
    let programs = ["amd64", "arm64"].map(|it| tools.path(it).map(|path| format!("{it}={path}")));
    let [amd64, arm64] = programs;
    let home = format!("https://github.com/owner/{NAME}");
    tools.release(&["plugin", &tag, &home, &amd64?, &arm64?]).await?;
    tools.release(&["make", &tag, &image, &digest]).await?;
    let charts = format!("{}/charts", registry.address());
    let chart = tools.release(&["push-chart", &tag, &charts]).await?;
    Ok(Published {
        image,
        digest,
        charts,
        chart,
        home,
        _registry: registry,
    })
}

async fn a_chart_from_a_registry_installs_the_image_of_its_release_by_digest(world: Arc<World>) -> Result<()> {
    let tools = Tools::new(&world, "release")?;
    let published = publish(&tools).await?;
    let Published {
        image, digest, charts, ..
    } = &published;
    let pushed = &published.chart;

    // The chart, by the digest that was said when it was pushed.
    let source = format!("oci://{charts}/{NAME}@{pushed}");
    let values = repository().join(format!("charts/{NAME}/ci/default-values.yaml"));
    let values = format!("--values={}", values.display());
    let rendered = tools
        .helm(&["template", NAME, &source, "--plain-http", &values, "--namespace=shop"])
        .await?;
    let installed = format!("image: {image}@{digest}\n");
    let named = rendered.matches("image: ").count();
    ensure!(
        named == 2,
        "{named} images, of the operator and of helm test:\n{rendered}"
    );
    ensure!(
        rendered.matches(&installed).count() == named,
        "not all are {installed}{rendered}"
    );

    // The same chart by its version, as a file, is the release's.
    let source = format!("oci://{charts}/{NAME}");
    let version = format!("--version={VERSION}");
    let pulled = format!("--destination={}", tools.path("pulled")?);
    std::fs::create_dir_all(tools.folder.join("pulled"))?;
    tools
        .helm(&["pull", &source, &version, "--plain-http", &pulled])
        .await?;
    let file = format!("{NAME}-{VERSION}.tgz");
    let read = |folder: &str| std::fs::read(tools.folder.join(folder).join(&file));
    ensure!(read("pulled")? == read("release")?, "another chart was pulled");

    // The image that the chart names, whole and for both architectures.
    let whole = format!("{image}@{digest}");
    tools
        .crane(&["pull", "--format=oci", &whole, &tools.path("pulled-image")?])
        .await?;
    ensure!(
        blobs(&tools.folder.join("pulled-image"))? == blobs(&tools.folder.join("image"))?,
        "another image was pulled"
    );
    for architecture in ["amd64", "arm64"] {
        let platform = format!("--platform=linux/{architecture}");
        let config: Value = serde_json::from_str(&tools.crane(&["config", &platform, &whole]).await?)?;
        ensure!(
            config.pointer("/architecture") == Some(&architecture.into()),
            "{config}"
        );
    }
    the_files_are_whole(&tools, &file)
}

/// With a key in the place of the workflow's identity, which nobody has but a run on GitHub.
async fn what_a_release_signed_is_verified_and_nothing_else_is(world: Arc<World>) -> Result<()> {
    let tools = Tools::new(&world, "release-signed")?;
    let published = publish(&tools).await?;
    for keys in ["keys", "others"] {
        std::fs::create_dir_all(tools.folder.join(keys))?;
        let prefix = format!("--output-key-prefix={}", tools.path(&format!("{keys}/cosign"))?);
        tools.cosign(&["generate-key-pair", &prefix]).await?;
    }
    let image = format!("{}@{}", published.image, published.digest);
    let chart = format!("{}/{NAME}@{}", published.charts, published.chart);
    let tag = format!("v{VERSION}");
    let unpinned = tools
        .release(&["sign", &tag, &published.home, &published.image, &chart])
        .await;
    ensure!(unpinned.is_err(), "a tag was signed: {unpinned:?}");
    tools.release(&["sign", &tag, &published.home, &image, &chart]).await?;

    let key = format!("--key={}", tools.path("keys/cosign.pub")?);
    let other = format!("--key={}", tools.path("others/cosign.pub")?);
    let (sums, bundle) = (
        tools.path("release/SHA256SUMS")?,
        tools.path("release/SHA256SUMS.sigstore.json")?,
    );
    let bundle = format!("--bundle={bundle}");
    // By a key nothing is told to the log of what was signed.
    let unlogged = "--insecure-ignore-tlog=true";
    let of_image: [&[&str]; 3] = [
        &["verify"],
        &["verify-attestation", "--type=slsaprovenance1"],
        &["verify-attestation", "--type=cyclonedx"],
    ];
    let mut all: Vec<Vec<&str>> = of_image
        .iter()
        .map(|what| [what, [unlogged, image.as_str()].as_slice()].concat())
        .collect();
    all.push(vec!["verify", unlogged, &chart]);
    all.push(vec!["verify-blob", unlogged, &bundle, &sums]);
    for what in &all {
        let by = |key: &str| {
            [what.as_slice(), &[key]]
                .concat()
                .iter()
                .map(|&it| it.to_owned())
                .collect::<Vec<String>>()
        };
        let verify = async |key: &str| {
            let arguments = by(key);
            tools
                .cosign(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
                .await
        };
        verify(&key).await?;
        let forged = verify(&other).await;
        ensure!(forged.is_err(), "{what:?} is taken for another's: {forged:?}");
    }
    let text = std::fs::read_to_string(&sums)?;
    std::fs::write(&sums, text.replacen('a', "b", 1))?;
    let changed = tools.cosign(&["verify-blob", unlogged, &key, &bundle, &sums]).await;
    ensure!(changed.is_err(), "changed checksums are verified: {changed:?}");

    let told = tools
        .cosign(&["verify-attestation", "--type=slsaprovenance1", unlogged, &key, &image])
        .await?;
    let envelope: Value = serde_json::from_str(told.lines().last().context("no attestation")?)?;
    let payload = envelope.get("payload").and_then(Value::as_str).context("no payload")?;
    let statement: Value = serde_json::from_slice(&BASE64_STANDARD.decode(payload)?)?;
    let commit = statement.pointer("/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit");
    let head = tools
        .run(
            "git".into(),
            &["-C", repository().to_str().context("no path")?, "rev-parse", "HEAD"],
        )
        .await?;
    ensure!(commit.and_then(Value::as_str) == Some(head.trim()), "{statement}");
    Ok(())
}

/// `SHA256SUMS` names the files that lie beside it, and the bill of materials what is in the image.
fn the_files_are_whole(tools: &Tools<'_>, chart: &str) -> Result<()> {
    let folder = tools.folder.join("release");
    let bill = format!("{NAME}-{VERSION}.cdx.json");
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS"))?;
    let named: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let archive = |program: &str, architecture: &str| format!("{program}_{VERSION}_linux_{architecture}.tar.gz");
    let plugin = [
        "flux-plugin-wib.yaml".to_owned(),
        archive("flux-wib", "amd64"),
        archive("flux-wib", "arm64"),
        "krew-wib.yaml".to_owned(),
        archive("kubectl-wib", "amd64"),
        archive("kubectl-wib", "arm64"),
    ];
    let mut files: Vec<&str> = plugin.iter().map(String::as_str).collect();
    files.extend([bill.as_str(), chart]);
    ensure!(named == files, "{sums}");
    let bill: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(bill))?)?;
    let components = bill.pointer("/components").and_then(Value::as_array);
    let crates: Vec<&Value> = components
        .into_iter()
        .flatten()
        .filter_map(|it| it.get("name"))
        .collect();
    for name in ["rustls", "kube-client", "wio-core", "webpki-root-certs"] {
        ensure!(crates.contains(&&name.into()), "{name} is not in the bill of materials");
    }
    ensure!(
        !crates.contains(&&"proptest".into()),
        "what only tests need is not in the image"
    );
    Ok(())
}

/// The blobs of an OCI layout by their digests.
fn blobs(layout: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = layout.join("blobs/sha256");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        found.insert(
            entry.file_name().to_string_lossy().into_owned(),
            std::fs::read(entry.path())?,
        );
    }
    ensure!(!found.is_empty(), "{} is empty", folder.display());
    Ok(found)
}
