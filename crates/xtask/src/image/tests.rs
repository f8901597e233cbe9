//! The image as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Architecture, Binary, Request, Written, write};

/// A program for this machine with segments of these kinds, as far as anybody looks.
pub(super) fn program(machine: u16, segments: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
    for segment in segments {
        bytes.extend(segment.to_le_bytes());
        bytes.extend([0; 52]);
    }
    bytes
}

/// A program for one of the two that needs no libraries.
pub(crate) fn static_for(architecture: &str) -> Vec<u8> {
    program(if architecture == "amd64" { 62 } else { 183 }, &[1])
}

/// Writes an image for both architectures below this folder, with binaries of this mode, in this order.
fn image(folder: &Path, order: [&str; 2]) -> Written {
    let binaries = order.map(|name| {
        let path = folder.join(format!("operator-{name}"));
        fs::write(&path, static_for(name)).unwrap();
        format!("{name}={}", path.display()).parse::<Binary>().unwrap()
    });
    let request = Request {
        binaries: binaries.into(),
        version: "1.2.3".to_owned(),
        revision: "0123456789abcdef".to_owned(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        out: folder.join("image"),
    };
    write(&request).unwrap()
}

/// All files below a folder.
fn files(folder: &Path, below: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(folder, &name));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn blob(folder: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let bytes = fs::read(folder.join("image/blobs/sha256").join(digest)).unwrap();
    assert_eq!(descriptor["size"], bytes.len());
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_same_binaries_give_the_same_image_bit_for_bit_wherever_and_whenever_it_is_written() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = image(one.path(), ["amd64", "arm64"]);
    // What lay there before is no part of it.
    fs::create_dir_all(other.path().join("image/blobs/sha256")).unwrap();
    fs::write(other.path().join("image/blobs/sha256/old"), "old").unwrap();
    let second = image(other.path(), ["arm64", "amd64"]);
    assert_eq!(first.digest, second.digest);
    assert_eq!(files(one.path(), "image"), files(other.path(), "image"));
}

#[test]
fn each_architecture_has_the_operator_above_the_roots_that_all_share() {
    let folder = tempfile::tempdir().unwrap();
    let written = image(folder.path(), ["arm64", "amd64"]);
    assert_eq!(written.problems, Vec::<String>::new());
    let layout: Value = serde_json::from_slice(&fs::read(folder.path().join("image/index.json")).unwrap()).unwrap();
    let whole = &layout["manifests"][0];
    assert_eq!(whole["digest"], written.digest);
    assert_eq!(whole["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
    let index = blob(folder.path(), whole);
    let mut roots = Vec::new();
    for (number, name) in ["amd64", "arm64"].into_iter().enumerate() {
        let descriptor = &index["manifests"][number];
        assert_eq!(
            descriptor["platform"],
            serde_json::json!({ "architecture": name, "os": "linux" })
        );
        let manifest = blob(folder.path(), descriptor);
        let config = blob(folder.path(), &manifest["config"]);
        assert_eq!(config["architecture"], name);
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"][0], "/workload-identity-operator");
        assert_eq!(
            config["config"]["Labels"]["org.opencontainers.image.revision"],
            "0123456789abcdef"
        );
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
        assert_eq!(layers.len(), config["history"].as_array().unwrap().len());
        roots.push(layers[0].clone());
        assert!(
            written.lines[number].starts_with(&format!("linux/{name}  ")),
            "{:?}",
            written.lines
        );
    }
    assert_eq!(roots[0], roots[1]);
}

#[test]
fn an_image_that_is_too_large_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("operator");
    let mut large = program(62, &[1]);
    large.resize(15_000_000, 0);
    fs::write(&path, large).unwrap();
    let request = Request {
        binaries: vec![Binary {
            architecture: Architecture::Amd64,
            path,
        }],
        version: String::new(),
        revision: String::new(),
        created: String::new(),
        out: folder.path().join("image"),
    };
    let written = write(&request).unwrap();
    assert_eq!(written.problems, ["the image for linux/amd64 is above the bar"]);
}

#[test]
fn an_architecture_that_there_is_no_image_for_is_named() {
    let error = "riscv64=operator".parse::<Binary>().unwrap_err();
    assert!(error.to_string().contains("riscv64: write amd64 or arm64"), "{error}");
}
