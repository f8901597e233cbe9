//! A proxy that knows one host: it leads who asks for Entra's public address to the simulator, and nobody anywhere else.
//!
//! Microsoft's library for Go asks that address about every authority, and Azure Service Operator has no setting against it.

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The simulator's certificate is for this name, too.
const ENTRA: &str = "login.microsoftonline.com:443";

/// A running relay. Dropping it stops it.
pub(super) struct Relay {
    url: String,
    server: JoinHandle<()>,
}

// === impl Relay ===

impl Relay {
    pub(super) async fn start(simulator: &str) -> Result<Self> {
        let address = simulator
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening as a proxy")?;
        let url = format!("http://{}", listener.local_addr().context("listening as a proxy")?);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let address = address.clone();
                // A connection that breaks is its client's to open again.
                tokio::spawn(async move { relay(client, &address).await });
            }
        });
        Ok(Self { url, server })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves one request of `CONNECT` (<https://www.rfc-editor.org/rfc/rfc9110#name-connect>).
async fn relay(client: TcpStream, address: &str) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut asked = String::new();
    client.read_line(&mut asked).await?;
    let mut line = String::new();
    // The headers, up to the empty line.
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    if !asked.starts_with(&format!("CONNECT {ENTRA} ")) {
        return client
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            .await;
    }
    let mut server = TcpStream::connect(address).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn answer(relay: &Relay, request: &str) -> String {
        let mut stream = TcpStream::connect(relay.url().trim_start_matches("http://"))
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await.unwrap();
        String::from_utf8(answer[..read].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn only_the_way_to_entra_is_open() {
        let simulator = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(&format!("https://{}/", simulator.local_addr().unwrap()))
            .await
            .unwrap();
        let other = answer(&relay, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
        assert!(other.starts_with("HTTP/1.1 403 "), "{other}");
        let entra = answer(&relay, &format!("CONNECT {ENTRA} HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n")).await;
        assert_eq!(entra, "HTTP/1.1 200 OK\r\n\r\n");
        simulator.accept().await.unwrap();
    }
}
