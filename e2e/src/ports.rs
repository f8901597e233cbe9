//! Free ports on loopback.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below the ports that Linux gives to outgoing connections (32768 and up): a client that keeps trying to reach a stopped
/// server on such a port can be given that very port as its own, connect to itself, and keep the server from coming back.
const RANGE: Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 on which nothing listens, and which this process has not handed out before.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = RANGE.end - RANGE.start;
    // Two runs at once begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(width)).unwrap_or_default();
    (0..width)
        .map(|_| NEXT.fetch_add(1, Ordering::Relaxed))
        .map(|step| RANGE.start + (start + step % width) % width)
        .find(|port| is_free(*port))
        .context("no port of 127.0.0.1 is free")
}

/// Whether nothing listens on a port of 127.0.0.1 or of all addresses.
pub(crate) fn is_free(port: u16) -> bool {
    ["127.0.0.1", "0.0.0.0"]
        .iter()
        .all(|address| TcpListener::bind((*address, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice_and_none_that_is_taken() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
