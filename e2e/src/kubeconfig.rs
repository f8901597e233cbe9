//! Files that say how to reach an API server, and as whom.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::certificates::KeyAndCertificate;
use crate::scratch::Scratch;

/// Who a client is.
pub(crate) enum Credential<'a> {
    Certificate(&'a KeyAndCertificate),
    /// A file that holds a token; clients read it again now and then.
    TokenFile(&'a Path),
}

/// Where an API server is and whom it is signed by.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    /// Its authority, in PEM.
    pub(crate) authority: PathBuf,
}

/// Writes `<user>.kubeconfig`.
pub(crate) fn write(scratch: &Scratch, server: &Server, user: &str, credential: &Credential<'_>) -> Result<PathBuf> {
    let who: Value = match credential {
        Credential::Certificate(pair) => {
            json!({ "client-certificate": pair.certificate, "client-key": pair.key })
        }
        Credential::TokenFile(file) => json!({ "tokenFile": file }),
    };
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "e2e",
        "clusters": [{ "name": "e2e", "cluster": { "server": server.url, "certificate-authority": server.authority } }],
        "users": [{ "name": user, "user": who }],
        "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": user } }],
    });
    scratch.write(&format!("{user}.kubeconfig"), content.to_string())
}
