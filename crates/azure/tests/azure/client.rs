//! The client of production, over real TLS. The environment of a process cannot be changed safely while it runs, so the
//! client runs in a process of its own: this very test binary, told to run one ignored test.

use std::io::Write;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::Level;
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints};
use wio_core::fault::AzureCause;

use crate::fixtures::{CLIENT_ID, Seen, TENANT_ID, TOKEN, alone, id, identity_body, resource_id};

const ASSERTION: &str = "eyJhc3NlcnRpb24.eyJ4.c2ln";
const ENDPOINT: &str = "WIO_TEST_ENDPOINT";

/// One server that is both Entra and Azure Resource Manager, as the simulator is. It answers the first request for an
/// identity, and sends the second one elsewhere.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Seen) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else {
            continue;
        };
        let mut read = Vec::new();
        let request = loop {
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break head.lines().next().unwrap().to_owned();
                }
            }
            assert_ne!(count, 0, "the request is cut off: {text}");
        };
        let path = request.split(' ').nth(1).unwrap();
        let number = seen.add(&http::Request::builder().uri(path).body(bytes::Bytes::new()).unwrap());
        let answer = if path.contains("/oauth2/") {
            let body = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}).to_string();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        } else if number == 1 {
            let body = identity_body("orders").to_string();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        } else {
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
    }
}

/// A server's side of TLS, with this certificate.
fn acceptor(cert: &rcgen::Certificate, key: &rcgen::KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(tls))
}

#[tokio::test]
async fn one_client_reaches_entra_and_azure_with_the_certificates_that_ssl_cert_file_names() {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let seen = Seen::default();
    let serving = tokio::spawn(serve(listener, acceptor(&cert, &signing_key), seen.clone()));

    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::File::create(&trusted)
        .unwrap()
        .write_all(cert.pem().as_bytes())
        .unwrap();
    let assertion = folder.path().join("assertion");
    std::fs::write(&assertion, ASSERTION).unwrap();
    let run = |trusted: &std::path::Path, beside: &str| {
        alone("client::the_client_of_production")
            .env("SSL_CERT_FILE", trusted)
            .env("SSL_CERT_DIR", beside)
            .env("AZURE_AUTHORITY_HOST", &endpoint)
            .env("AZURE_CLIENT_ID", CLIENT_ID)
            .env("AZURE_TENANT_ID", TENANT_ID)
            .env("AZURE_FEDERATED_TOKEN_FILE", &assertion)
            .env(ENDPOINT, &endpoint)
            .output()
    };
    let done = run(&trusted, "").await.unwrap();
    let told = format!(
        "{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(done.status.success(), "{told}");
    let mut lines = told.lines();
    let everything = lines.any(|line| line.contains("TRACE") && line.contains("hyper_util"));
    assert!(everything, "not everything was logged:\n{told}");
    for part in TOKEN.split('.').chain(ASSERTION.split('.')) {
        assert!(!told.contains(part), "{part}\n{told}");
    }
    let paths: Vec<String> = seen
        .all()
        .iter()
        .map(|request| request.uri().path().to_owned())
        .collect();
    let identity = resource_id("orders");
    assert_eq!(
        paths,
        [format!("/{TENANT_ID}/oauth2/v2.0/token"), identity.clone(), identity]
    );

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&trusted, other.cert.pem()).unwrap();
    let done = run(&trusted, "").await.unwrap();
    assert!(!done.status.success(), "a server that is not trusted is not talked to");
    assert_eq!(seen.count(), 3);

    // As the chart gives certificates of one's own: beside those of the image, in a folder that has other folders, too.
    let beside = folder.path().join("beside");
    std::fs::create_dir_all(beside.join("..data")).unwrap();
    std::fs::write(beside.join("ca.crt"), cert.pem()).unwrap();
    run(&trusted, beside.to_str().unwrap()).await.unwrap();
    assert_eq!(seen.count(), 5, "a token, and a request with it");
    serving.abort();
}

#[tokio::test]
#[ignore = "it is run by the test above, in a process of its own"]
async fn the_client_of_production() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let endpoint = std::env::var(ENDPOINT).unwrap();
    let endpoints = Endpoints::new(Cloud::Public, Some(&endpoint), ApiVersion::default()).unwrap();
    let azure = Azure::from_environment(endpoints, Some(CLIENT_ID.parse().unwrap())).unwrap();
    azure.get_identity(&id("orders")).await.unwrap().unwrap();
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 302),
        "{fault}"
    );
}
