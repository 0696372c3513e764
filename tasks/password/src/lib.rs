//! Sample task: hashes passwords with Argon2 and verifies them, which is slow by design.

use argon2::password_hash::{self, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// The bounds of a cost. The highest memory fits in the limit that the manifest sets.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 64;
const MAX_PARALLELISM: u32 = 16;

/// How much work a hash takes, to compute and to guess.
#[derive(Clone, Copy, unblock::Record)]
struct Cost {
    /// Memory in KiB: from 8 for each lane up to 262144 (256 MiB). Default 19456.
    memory_kib: u32,
    /// Passes over the memory, from 1 to 64. Default 2.
    iterations: u32,
    /// Lanes, from 1 to 16. Default 1. They are computed one after the other, in one thread.
    parallelism: u32,
}

/// Why no answer could be given.
#[derive(Debug, unblock::Variant)]
enum PasswordError {
    /// The cost is out of its range; the text says which part.
    InvalidCost(String),
    /// The hash is not one that `hash` makes; the text says what is wrong with it.
    InvalidHash(String),
    /// The hash could not be computed; the text says why.
    Failed(String),
}

/// Hashes a password with Argon2id and a random salt.
///
/// The result is a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`, to be stored as it
/// is. Without `cost` the cost is the one OWASP recommends: 19 MiB, 2 iterations, 1 lane.
#[unblock::task]
fn hash(password: &str, cost: Option<Cost>) -> Result<String, PasswordError> {
    let params = match cost {
        Some(cost) => params(cost).map_err(PasswordError::InvalidCost)?,
        None => Params::default(),
    };
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes())
        .map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(hash.to_string())
}

/// Says whether a password is the one that a hash was made from.
///
/// `hash` is a PHC string of Argon2id, Argon2i or Argon2d. A wrong password is `false`, not an error.
#[unblock::task]
fn verify(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let invalid = |error: String| PasswordError::InvalidHash(error);
    let hash = PasswordHash::new(hash).map_err(|error| invalid(error.to_string()))?;
    if hash.hash.is_none() {
        return Err(invalid("it ends before the hash itself".into()));
    }
    // A hash carries its own cost: a stranger's must not cost more than ours may.
    let cost = Params::try_from(&hash).map_err(|error| invalid(error.to_string()))?;
    check(cost.m_cost(), cost.t_cost(), cost.p_cost()).map_err(invalid)?;
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(invalid(error.to_string())),
    }
}

fn params(cost: Cost) -> Result<Params, String> {
    check(cost.memory_kib, cost.iterations, cost.parallelism)?;
    Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None).map_err(|error| error.to_string())
}

fn check(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<(), String> {
    let within = |name: &str, value: u32, low: u32, high: u32| {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(format!("{name} is {value}, but must be from {low} to {high}"))
        }
    };
    within("parallelism", parallelism, 1, MAX_PARALLELISM)?;
    within("iterations", iterations, 1, MAX_ITERATIONS)?;
    within("memory-kib", memory_kib, 8 * parallelism, MAX_MEMORY_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Cost = Cost { memory_kib: 16, iterations: 1, parallelism: 2 };

    /// A hash at the lowest cost, or the error as text.
    fn hashed(password: &str) -> String {
        hash(password, Some(SMALL)).unwrap_or_else(|error| format!("{error:?}"))
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let hash = hashed("correct horse");
        assert!(hash.starts_with("$argon2id$v=19$m=16,t=1,p=2$"), "{hash}");
        assert!(matches!(verify("correct horse", &hash), Ok(true)));
        assert!(matches!(verify("Correct horse", &hash), Ok(false)));
    }

    #[test]
    fn each_hash_has_its_own_salt() {
        assert_ne!(hashed("same"), hashed("same"));
    }

    #[test]
    fn the_hash_of_the_reference_implementation_verifies() {
        let hash = "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8";
        assert!(matches!(verify("password", hash), Ok(true)));
    }

    #[test]
    fn a_cost_out_of_range_is_refused_by_name() {
        for (cost, name) in [
            (Cost { memory_kib: 15, ..SMALL }, "memory-kib is 15, but must be from 16 to"),
            (Cost { memory_kib: u32::MAX, ..SMALL }, "memory-kib is 4294967295"),
            (Cost { iterations: 0, ..SMALL }, "iterations is 0"),
            (Cost { parallelism: 17, ..SMALL }, "parallelism is 17"),
        ] {
            let error = params(cost).err().unwrap_or_default();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn a_bad_or_greedy_hash_is_refused() {
        for hash in [
            "",
            "hunter2",
            "$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweA",
        ] {
            let result = verify("x", hash);
            assert!(matches!(result, Err(PasswordError::InvalidHash(_))), "{hash}: {result:?}");
        }
    }
}
