//! Where health and metrics are served.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Listens at an address. Every address of IPv6 is every one of IPv4 as well (the kernel's default), and where the kernel has no IPv6
/// it is those of IPv4 alone: a kubelet probes whichever address the pod has.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        outcome => outcome,
    }
}

/// Whether the kernel has no IPv6, or has it switched off.
fn without_ipv6(error: &io::Error) -> bool {
    /// `EAFNOSUPPORT` of Linux, for which the standard library has no name.
    const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    /// The kubelet of a cluster of IPv6 probed an address at which nobody listened, and restarted the pod for ever.
    #[tokio::test]
    async fn by_default_it_listens_at_addresses_of_both_kinds() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        if listener.local_addr().unwrap().is_ipv6() && std::path::Path::new("/proc/net/if_inet6").exists() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told_and_not_replaced() {
        let taken = bind("[::]:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(bind(address).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_kernel_without_ipv6_is_known_by_its_errors() {
        for (code, without) in [(97, true), (99, true), (98, false), (13, false)] {
            assert_eq!(without_ipv6(&io::Error::from_raw_os_error(code)), without, "{code}");
        }
    }
}
