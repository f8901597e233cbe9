//! The binary: the same cloud over HTTPS, steered through its own API, and kept in a file.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use wio_azure_sim::{Fault, LoggedRequest, ResourceKind, Snapshot};

use crate::cloud::{GROUP, TOKEN, identity};

const DEADLINE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
const SIMULATOR: &str = env!("CARGO_BIN_EXE_azure-sim");

/// A running server and a client of it. Dropping it kills the server.
struct Server {
    child: Child,
    web: Client,
    url: String,
}

// === impl Server ===

impl Server {
    /// Starts it with its files in this folder.
    async fn start(folder: &Path, state_file: Option<&Path>) -> Self {
        // Another test of this program may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (certificates, port_file) = (folder.join("certificates"), folder.join("port"));
        let _ = std::fs::remove_file(&port_file);
        let mut command = Command::new(SIMULATOR);
        command.args(["--listen", "127.0.0.1:0", "--static-token", TOKEN]);
        command
            .arg("--cert-out")
            .arg(&certificates)
            .arg("--port-file")
            .arg(&port_file);
        if let Some(state_file) = state_file {
            command.arg("--state-file").arg(state_file);
        }
        let child = command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let port = until("the port", || std::fs::read_to_string(&port_file).ok()).await;
        let authority = Certificate::from_pem(&std::fs::read(certificates.join("ca.pem")).unwrap()).unwrap();
        let web = Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .timeout(DEADLINE)
            .build()
            .unwrap();
        Self {
            child,
            web,
            url: format!("https://127.0.0.1:{port}"),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self
            .web
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap()
        };
        Ok((status, body))
    }

    /// Sends a request that must succeed.
    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.send(method.clone(), path, body).await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    async fn put_identity(&self, name: &str) -> Value {
        self.must(
            Method::PUT,
            &versioned(&identity(name)),
            Some(&json!({"location": "westeurope"})),
        )
        .await
    }

    async fn make_group(&self) {
        let path = format!("{GROUP}?api-version=2021-04-01");
        self.must(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
            .await;
    }

    async fn snapshot(&self) -> Snapshot {
        serde_json::from_value(self.must(Method::GET, "/_sim/snapshot", None).await).unwrap()
    }

    /// Asks it to end, and waits until it has.
    async fn terminate(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .await
                .unwrap()
                .success()
        );
        assert!(self.child.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn the_server_plays_the_same_cloud_and_is_steered_through_its_own_api() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), None).await;
    server.make_group().await;
    let made = server.put_identity("ide").await;

    let snapshot = server.snapshot().await;
    let found = snapshot.identity(&identity("ide")).unwrap();
    assert_eq!(made["properties"]["clientId"], found.client_id.to_string());

    let fault = Fault::on("GET")
        .kind(ResourceKind::Identity)
        .respond(503, "ServiceUnavailable");
    server
        .must(
            Method::POST,
            "/_sim/faults",
            Some(&serde_json::to_value(fault).unwrap()),
        )
        .await;
    let (status, refused) = server
        .send(Method::GET, &versioned(&identity("ide")), None)
        .await
        .unwrap();
    assert_eq!(
        (status.as_u16(), &refused["error"]["code"]),
        (503, &json!("ServiceUnavailable"))
    );

    server
        .must(Method::PATCH, "/_sim/config", Some(&json!({"pageSize": 1})))
        .await;
    server.put_identity("other").await;
    let list = server
        .must(
            Method::GET,
            &versioned(&identity("").replace("Identities/", "Identities")),
            None,
        )
        .await;
    let link = list["nextLink"]
        .as_str()
        .unwrap()
        .strip_prefix(&server.url)
        .expect("links lead to this server");
    assert_eq!(
        server.must(Method::GET, link, None).await["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let log = server.must(Method::GET, "/_sim/requests", None).await;
    let log: Vec<LoggedRequest> = serde_json::from_value(log).unwrap();
    let statuses: Vec<_> = log.iter().map(|entry| entry.status).collect();
    assert_eq!(
        statuses,
        [201, 201, 503, 201, 200, 200].map(Some),
        "the API itself is not logged"
    );
    server.must(Method::DELETE, "/_sim/requests", None).await;
    assert_eq!(server.must(Method::GET, "/_sim/requests", None).await, json!([]));
}

#[tokio::test]
async fn a_dropped_connection_is_one() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), None).await;
    server.make_group().await;
    let fault = Fault::on("PUT").execute().drop_connection();
    server
        .must(
            Method::POST,
            "/_sim/faults",
            Some(&serde_json::to_value(fault).unwrap()),
        )
        .await;
    let path = versioned(&identity("ide"));
    let lost = server
        .send(Method::PUT, &path, Some(&json!({"location": "westeurope"})))
        .await;
    assert!(lost.is_err(), "{lost:?}");
    server.must(Method::GET, &path, None).await;
}

#[tokio::test]
async fn what_exists_outlives_the_server_in_a_state_file() {
    let (folder, file) = with_state_file();
    let server = Server::start(folder.path(), Some(&file)).await;
    server.make_group().await;
    server.put_identity("ide").await;
    let before = server.snapshot().await;
    server.terminate().await;
    let server = Server::start(folder.path(), Some(&file)).await;
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn what_exists_outlives_a_server_that_is_killed() {
    let (folder, file) = with_state_file();
    let mut server = Server::start(folder.path(), Some(&file)).await;
    server.make_group().await;
    server.put_identity("ide").await;
    let before = server.snapshot().await;
    let written = || {
        serde_json::from_slice::<Snapshot>(&std::fs::read(&file).ok()?)
            .ok()
            .filter(|read| *read == before)
    };
    until("the state file", written).await;
    server.child.kill().await.unwrap();
    let server = Server::start(folder.path(), Some(&file)).await;
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_spoilt_state_file_is_named_and_left_alone() {
    let (folder, file) = with_state_file();
    std::fs::write(&file, "{\"resourceGroups\": 7}").unwrap();
    let ended = Command::new(SIMULATOR)
        .args(["--listen", "127.0.0.1:0", "--state-file"])
        .arg(&file)
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(DEADLINE, ended).await.expect("it ends").unwrap();
    assert!(!ended.status.success());
    assert!(
        String::from_utf8_lossy(&ended.stderr).contains("state.json"),
        "{ended:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"resourceGroups\": 7}");
    drop(folder);
}

fn with_state_file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("state.json");
    (folder, file)
}

fn versioned(path: &str) -> String {
    format!("{path}?api-version=2024-11-30")
}

/// Looks again and again until there is something to see.
async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        sleep(BETWEEN_LOOKS).await;
    }
}
