//! The signature in the link to a long-running operation.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use uuid::Uuid;

/// How many bytes there are of a certificate, and of its signature: with the rest of the link, 3 to 5 KB.
const CERTIFICATE: usize = 2048;
const SIGNATURE: usize = 256;
const HASH: usize = 32;
/// Between the year 1 and 1970, in tenths of a microsecond.
const TICKS_BEFORE_UNIX_EPOCH: i128 = 621_355_968_000_000_000;

/// The query of a link, signed: the time `t`, the certificate `c`, the signature `s` and the hash `h`. No two are alike, and what
/// they hold is of use to nobody but Azure, here to nobody at all.
pub(super) fn query(version: &str, now: Timestamp) -> String {
    let time = now.as_nanosecond() / 100 + TICKS_BEFORE_UNIX_EPOCH;
    let [certificate, signature, hash] = [CERTIFICATE, SIGNATURE, HASH].map(opaque);
    format!("api-version={version}&t={time}&c={certificate}&s={signature}&h={hash}")
}

fn opaque(length: usize) -> String {
    let bytes = std::iter::repeat_with(Uuid::new_v4).flat_map(Uuid::into_bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes.take(length).collect::<Vec<u8>>())
}
