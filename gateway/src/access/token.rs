//! The text of a token: made, read, compared.
//!
//! `ub_ID_SECRET`: a prefix that scanners of leaked secrets can look for, a public id, and 256 random
//! bits. A secret of so many bits cannot be guessed, so its plain SHA-256 is as good as a slow hash,
//! and costs a request less than a microsecond. What a token allows is not known here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How every token starts.
pub const PREFIX: &str = "ub_";

/// Random bytes of an id, which only has to differ from the others of one file.
const ID_BYTES: usize = 6;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Longest text that is looked at: a token has 59 bytes.
const TEXT_BYTES_MAX: usize = 128;

/// SHA-256 of a whole token.
#[derive(Clone, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a token's text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// From its hexadecimal digits, as they stand in the file.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != bytes.len() * 2 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Whether both are the same, in a time that does not tell how much of them is.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A new token: its id and its text.
///
/// # Errors
/// When the system gives no random bytes.
pub fn mint() -> Result<(String, String), String> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| format!("the system gives no random bytes: {error}"))?;
    let (id, secret) = random.split_at(ID_BYTES);
    let id = hex(id);
    let token = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    Ok((id, token))
}

/// The id in a token's text, if it looks like one.
pub fn id(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let fits = token.len() <= TEXT_BYTES_MAX && is_id(id) && !secret.is_empty();
    fits.then_some(id)
}

/// Whether a text can be an id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_BYTES * 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_token_is_read_again_and_no_two_are_alike() {
        let (first, token) = mint().expect("random bytes");
        let (second, other) = mint().expect("random bytes");
        assert_eq!(id(&token), Some(first.as_str()));
        assert!(first != second && token != other && token.len() == 59, "{token}");
        for wrong in
            ["", "ub_", "ub__", "ub_12_a", "ub_0123456789ab_", "xx_0123456789ab_c", &"ub_".repeat(90)]
        {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of("ub_a_b");
        assert!(Digest::parse(&digest.hex()).expect("hexadecimal").is(&digest));
        assert!(!Digest::of("ub_a_c").is(&digest));
        for wrong in ["", "0", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert!(Digest::parse(wrong).is_none(), "{wrong}");
        }
    }
}
