//! Keys and certificates of one run.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::paths::python;
use crate::process::{Program, output};
use crate::scratch::Scratch;

/// `ring`, which signs our certificates, makes no RSA keys; the cryptography library below Azure's Python clients does.
const RSA_KEY: &str = "
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
print(key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(), end='')
";

/// A certificate authority of one run.
pub struct Authority {
    name: String,
    /// Its certificate, in PEM.
    pub certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A key and its certificate, as files in PEM.
#[derive(Clone, Debug)]
pub struct KeyAndCertificate {
    /// The private key.
    pub key: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// Makes an authority; its certificate is `<name>.crt`.
    pub fn new(scratch: &Scratch, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.self_signed(&key).context("signing an authority")?;
        let certificate = scratch.write(&format!("pki/{name}.crt"), certificate.pem())?;
        Ok(Self {
            name: name.to_owned(),
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// A certificate for a server of 127.0.0.1 and localhost.
    pub fn server(&self, scratch: &Scratch, name: &str) -> Result<KeyAndCertificate> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).context("naming a server")?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(scratch, name, params)
    }

    /// A certificate with which a client is this user, in this group if one is given.
    pub fn client(&self, scratch: &Scratch, user: &str, group: Option<&str>) -> Result<KeyAndCertificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(scratch, &user.replace(':', "-"), params)
    }

    fn sign(&self, scratch: &Scratch, file: &str, mut params: CertificateParams) -> Result<KeyAndCertificate> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("signing by {}", self.name))?;
        Ok(KeyAndCertificate {
            key: scratch.write(&format!("pki/{file}.key"), key.serialize_pem())?,
            certificate: scratch.write(&format!("pki/{file}.crt"), certificate.pem())?,
        })
    }
}

/// An RSA key: Entra takes service account tokens only with an RS256 signature.
pub(crate) async fn rsa_key(scratch: &Scratch, name: &str) -> Result<PathBuf> {
    let program = Program::new(python()?).arg("-c").arg(RSA_KEY);
    let pem = output(program, None, Duration::from_mins(1))
        .await
        .context("making an RSA key")?;
    scratch.write(&format!("pki/{name}.key"), pem)
}
