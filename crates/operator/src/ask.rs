//! `ask URL`: whether an operator that runs elsewhere is ready. `helm test` runs it, in the same image.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A replica that takes over waits for the Lease and fills its caches first.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(10);
const LONGEST_BYTES: u64 = 64 * 1024;

/// The URL to ask, when the command line is `ask URL`.
pub(crate) fn asked(mut words: impl Iterator<Item = String>) -> Option<String> {
    (words.next().as_deref() == Some("ask")).then(|| words.next().unwrap_or_default())
}

/// Asks, prints the answer, and ends well when the operator is ready.
pub(crate) async fn answered(url: &str) -> ExitCode {
    match until_ready(url).await {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Asks until the answer is 200, or for two minutes, and returns what was said.
///
/// # Errors
/// What the last answer was.
async fn until_ready(url: &str) -> anyhow::Result<String> {
    let url: Uri = url.parse().context("write ask http://<host>:<port>/readyz")?;
    ensure!(
        url.scheme_str() == Some("http"),
        "write ask http://<host>:<port>/readyz"
    );
    let begun = Instant::now();
    loop {
        let answer = timeout(LIMIT, once(&url)).await.context("no answer in ten seconds");
        match answer.and_then(|answer| answer) {
            Ok(said) => return Ok(said),
            Err(error) if begun.elapsed() >= PATIENCE => return Err(error.context(format!("{url} is not ready"))),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn once(url: &Uri) -> anyhow::Result<String> {
    let host = url.host().context("the URL names no host")?;
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80))).await?;
    let request = format!("GET {} HTTP/1.0\r\nHost: {host}\r\n\r\n", url.path());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST_BYTES).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not of HTTP")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}", body.trim());
    }
    Ok(body.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> {
        line.split(' ').map(str::to_owned)
    }

    #[test]
    fn only_its_own_word_asks() {
        assert_eq!(asked(words("ask http://x/readyz")).as_deref(), Some("http://x/readyz"));
        assert_eq!(asked(words("ask")).as_deref(), Some(""));
        assert_eq!(asked(words("--location westeurope")), None);
    }

    async fn answering(answers: Vec<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /readyz HTTP/1.0\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn it_asks_until_the_operator_is_ready() {
        let not_yet = "HTTP/1.0 503 Service Unavailable\r\n\r\nnot ready: no replica leads\n";
        let url = answering(vec![not_yet, "HTTP/1.0 200 OK\r\n\r\nready\n"]).await;
        assert!(
            once(&url.parse().unwrap())
                .await
                .unwrap_err()
                .to_string()
                .contains("no replica leads")
        );
        assert_eq!(until_ready(&url).await.unwrap(), "ready");
        assert!(
            until_ready("readyz")
                .await
                .unwrap_err()
                .to_string()
                .contains("http://<host>")
        );
    }
}
