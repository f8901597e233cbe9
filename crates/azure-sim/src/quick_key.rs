//! RSA keys with which signing is cheap.
//!
//! A usual key of 2048 bits has two primes, and signing with it takes a millisecond: a tenth of what a test in memory costs. Here the modulus is the
//! product of 32 small primes, so that a signature is put together from 32 small ones. It is an RS256 signature like any other, and whoever
//! verifies it sees no difference. Such a key protects nothing: anybody can find its primes. It signs for clouds and clusters of tests alone.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The public exponent.
const EXPONENT: u64 = 65_537;
/// What stands before a SHA-256 digest in what is signed (RFC 8017, 9.2).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];
/// How many bytes the modulus has, and each signature.
const BYTES: usize = 256;

/// A key of a simulated cloud or cluster.
#[derive(Debug)]
pub struct QuickKey {
    id: String,
    parts: Vec<Part>,
    /// Its limbs, the lowest first, as of all numbers here.
    modulus: Vec<u64>,
}

/// What is to be known of a prime.
#[derive(Debug)]
struct Part {
    prime: u64,
    /// The private exponent below it.
    exponent: u64,
    /// The inverse of the product of the primes before it.
    inverse: u64,
}

// === impl QuickKey ===

impl QuickKey {
    /// A key of this id and these primes, which are all different. Their product has 2048 bits.
    #[must_use]
    pub fn new(id: &str, primes: &[u64; 32]) -> Self {
        let mut modulus = vec![1];
        let mut parts = Vec::new();
        for &prime in primes {
            parts.push(Part {
                prime,
                exponent: inverse(EXPONENT, prime - 1),
                inverse: inverse(remainder(&modulus, prime), prime),
            });
            let factor = std::mem::take(&mut modulus);
            add_product(&mut modulus, &factor, prime);
        }
        Self {
            id: id.to_owned(),
            parts,
            modulus,
        }
    }

    /// A token with these claims, signed with RS256.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::RS256)
        };
        let [header, claims] = [serde_json::to_vec(&header)?, serde_json::to_vec(claims)?].map(encoded);
        let signed = format!("{header}.{claims}");
        let digest = Sha256::digest(&signed);
        let signature = encoded(bytes(&self.signature_of(&padded(&digest))));
        Ok(format!("{signed}.{signature}"))
    }

    /// Its public half, as an issuer publishes its keys.
    #[must_use]
    pub fn key_set(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.id,
            "n": encoded(bytes(&self.modulus)),
            "e": "AQAB",
        }]})
    }

    /// The number whose power is what is signed: found for each prime, and put together (Garner).
    fn signature_of(&self, signed: &[u64]) -> Vec<u64> {
        let (mut signature, mut product) = (Vec::new(), vec![1]);
        for part in &self.parts {
            let Part {
                prime,
                exponent,
                inverse,
            } = *part;
            let wanted = power(remainder(signed, prime), exponent, prime);
            let missing = times(difference(wanted, remainder(&signature, prime), prime), inverse, prime);
            add_product(&mut signature, &product, missing);
            let factor = std::mem::take(&mut product);
            add_product(&mut product, &factor, prime);
        }
        signature
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What is signed for a digest (RFC 8017, 9.2).
fn padded(digest: &[u8]) -> Vec<u64> {
    let filled = BYTES - 3 - DIGEST_INFO.len() - digest.len();
    let padding = std::iter::repeat_n(0xff, filled);
    let all: Vec<u8> = [0, 1]
        .into_iter()
        .chain(padding)
        .chain([0])
        .chain(DIGEST_INFO)
        .chain(digest.iter().copied())
        .collect();
    let limb = |bytes: &[u8]| bytes.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    all.rchunks(8).map(limb).collect()
}

fn bytes(number: &[u64]) -> Vec<u8> {
    let mut limbs = number.to_vec();
    limbs.resize(BYTES / 8, 0);
    limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

/// The lower half.
fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

fn remainder(number: &[u64], of: u64) -> u64 {
    let limbs = number.iter().rev();
    limbs.fold(0, |rest, limb| {
        low((u128::from(rest) << 64 | u128::from(*limb)) % u128::from(of))
    })
}

fn times(one: u64, other: u64, of: u64) -> u64 {
    low(u128::from(one) * u128::from(other) % u128::from(of))
}

fn difference(one: u64, other: u64, of: u64) -> u64 {
    low((u128::from(one) + u128::from(of - other)) % u128::from(of))
}

fn power(base: u64, exponent: u64, of: u64) -> u64 {
    let (mut result, mut square, mut rest) = (1, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = times(result, square, of);
        }
        square = times(square, square, of);
        rest >>= 1;
    }
    result
}

/// The number that makes one of this one, by Euclid's algorithm.
fn inverse(number: u64, of: u64) -> u64 {
    let (mut rest, mut next) = (of, number % of);
    let (mut found, mut other) = (0, 1);
    while next > 0 {
        let quotient = rest / next;
        (rest, next) = (next, rest % next);
        (found, other) = (other, difference(found, times(quotient, other, of), of));
    }
    found
}

/// Adds so many times another number.
fn add_product(sum: &mut Vec<u64>, factor: &[u64], other: u64) {
    let length = sum.len().max(factor.len() + 1);
    sum.resize(length, 0);
    let mut carry = 0;
    let factors = factor.iter().chain(std::iter::repeat(&0));
    for (limb, factor) in sum.iter_mut().zip(factors) {
        let product = u128::from(*factor) * u128::from(other) + u128::from(*limb) + u128::from(carry);
        *limb = low(product);
        carry = low(product >> 64);
    }
}
