//! Sample task: hashes passwords with Argon2 and verifies them, which is slow by design.

use argon2::password_hash::{self, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use bindings::exports::api::{Cost, Guest, PasswordError};

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, where the documentation is")]
    wit_bindgen::generate!({ world: "password" });
}

/// The bounds of a cost. The highest memory fits in the limit that the manifest sets.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 64;
const MAX_PARALLELISM: u32 = 16;

struct Password;

impl Guest for Password {
    fn hash(password: String, cost: Option<Cost>) -> Result<String, PasswordError> {
        let params = match cost {
            Some(cost) => params(cost).map_err(PasswordError::InvalidCost)?,
            None => Params::default(),
        };
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.as_bytes())
            .map_err(|error| PasswordError::Failed(error.to_string()))?;
        Ok(hash.to_string())
    }

    fn verify(password: String, hash: String) -> Result<bool, PasswordError> {
        let invalid = |error: String| PasswordError::InvalidHash(error);
        let hash = PasswordHash::new(&hash).map_err(|error| invalid(error.to_string()))?;
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
}

bindings::export!(Password with_types_in bindings);
include!(concat!(env!("OUT_DIR"), "/docs.rs"));

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
    fn hash(password: &str) -> String {
        Password::hash(password.into(), Some(SMALL)).unwrap_or_else(|error| format!("{error:?}"))
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let hash = hash("correct horse");
        assert!(hash.starts_with("$argon2id$v=19$m=16,t=1,p=2$"), "{hash}");
        assert!(matches!(Password::verify("correct horse".into(), hash.clone()), Ok(true)));
        assert!(matches!(Password::verify("Correct horse".into(), hash), Ok(false)));
    }

    #[test]
    fn each_hash_has_its_own_salt() {
        assert_ne!(hash("same"), hash("same"));
    }

    #[test]
    fn the_hash_of_the_reference_implementation_verifies() {
        let hash = "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8";
        assert!(matches!(Password::verify("password".into(), hash.into()), Ok(true)));
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
            let result = Password::verify("x".into(), hash.into());
            assert!(matches!(result, Err(PasswordError::InvalidHash(_))), "{hash}: {result:?}");
        }
    }
}
