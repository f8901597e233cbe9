//! What source-controller serves: one archive for each revision, by HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Archives = Arc<RwLock<BTreeMap<String, Bytes>>>;

/// A server of archives on loopback. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Artifacts {
    address: String,
    archives: Archives,
    server: JoinHandle<()>,
}

/// An archive, as a source's status tells of it.
#[derive(Clone, Debug)]
pub(super) struct Artifact {
    pub(super) path: String,
    pub(super) url: String,
    pub(super) digest: String,
}

// === impl Artifacts ===

impl Artifacts {
    pub(super) async fn serve() -> Result<Self> {
        let archives = Archives::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("serving archives")?;
        let address = listener.local_addr().context("serving archives")?.to_string();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&archives));
        let server = tokio::spawn(async move {
            // It ends with the runtime or with its owner.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            archives,
            server,
        })
    }

    /// Packs files and serves them from now on.
    pub(super) fn add(&self, path: &str, files: &BTreeMap<String, String>) -> Result<Artifact> {
        let archive = pack(files).context("packing an archive")?;
        let digest = Sha256::digest(&archive);
        let digest = digest
            .iter()
            .fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        self.archives
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(format!("/{path}"), Bytes::from(archive));
        Ok(Artifact {
            path: path.to_owned(),
            url: format!("http://{}/{path}", self.address),
            digest,
        })
    }
}

impl Drop for Artifacts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(archives): State<Archives>, uri: Uri) -> Result<Bytes, StatusCode> {
    let archives = archives.read().unwrap_or_else(PoisonError::into_inner);
    archives.get(uri.path()).cloned().ok_or(StatusCode::NOT_FOUND)
}

fn pack(files: &BTreeMap<String, String>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(u64::try_from(content.len()).unwrap_or_default());
        archive.append_data(&mut header, path, content.as_bytes())?;
    }
    archive.into_inner()?.finish()
}
