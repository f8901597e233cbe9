//! The certificate authorities that the image trusts: Mozilla's, of the version that Cargo.lock pins with its checksum. Those of the
//! machine that builds are another set on each distribution, and may hold some that were added there.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// As PEM has them (RFC 7468).
const COLUMNS: usize = 64;

/// All of them, in PEM.
pub(crate) fn pem() -> String {
    let mut text = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        text += "-----BEGIN CERTIFICATE-----\n";
        let encoded: Vec<char> = BASE64_STANDARD.encode(certificate).chars().collect();
        for line in encoded.chunks(COLUMNS) {
            let line: String = line.iter().collect();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{line}");
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn what_signs_entra_and_resource_manager_is_among_the_roots() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem().as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(roots.len(), TLS_SERVER_ROOT_CERTS.len());
        for name in [
            "DigiCert Global Root G2",
            "Microsoft RSA Root Certificate Authority 2017",
        ] {
            let named = |root: &CertificateDer<'_>| root.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(roots.iter().any(named), "{name}");
        }
    }
}
