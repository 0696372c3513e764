//! The gateway's own certificate: from two PEM files to what a handshake needs.
//!
//! Owns which protocols are offered: TLS 1.2 and 1.3 with ring, HTTP/2 and HTTP/1.1. The files are read
//! again when they change (`reload.rs`), so that a renewed certificate needs no restart; connections
//! that are open keep the one they began with. What is sent over a connection is not known here.

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// HTTP/2 as ALPN names it.
pub const H2: &[u8] = b"h2";

/// HTTP/1.1 as ALPN names it.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those that lead to its root.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// Reads both.
    ///
    /// # Errors
    /// Which file is wrong in what, and what was expected; nothing of a key.
    pub fn read(&self) -> Result<Arc<ServerConfig>, String> {
        let expected = |path: &Path, what: &str, error: &PemError| match error {
            PemError::Io(error) => format!("{} cannot be read: {error}", path.display()),
            PemError::NoItemsFound => format!("{} has no {what}, expected one in PEM", path.display()),
            // Its text may quote the file.
            _ => format!("{} is no PEM, expected a {what} in it", path.display()),
        };
        let chain = CertificateDer::pem_file_iter(&self.chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| expected(&self.chain, "certificate", &error))?;
        if chain.is_empty() {
            return Err(expected(&self.chain, "certificate", &PemError::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| expected(&self.key, "private key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| {
                let (chain, key) = (self.chain.display(), self.key.display());
                format!(
                    "{chain} and {key} do not fit together: {error}; expected a certificate and its own key"
                )
            })?;
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Arc::new(config))
    }

    /// Both, for who looks whether they change.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        vec![self.chain.clone(), self.key.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_needs_its_own_key_and_messages_tell_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let made = |host: &str| rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        let (one, other) = (made("localhost"), made("localhost"));
        let chain = write("chain.pem", &one.cert.pem());
        let key = write("key.pem", &one.signing_key.serialize_pem());
        let foreign = write("other.pem", &other.signing_key.serialize_pem());
        let torn = write("torn.pem", &one.signing_key.serialize_pem()[..80]);
        let files = |chain: &PathBuf, key: &PathBuf| Files { chain: chain.clone(), key: key.clone() }.read();
        assert_eq!(files(&chain, &key).expect("they fit").alpn_protocols, [H2, HTTP_1_1]);
        for (chain, key, word) in [
            (&chain, &foreign, "do not fit together"),
            (&key, &key, "no certificate"),
            (&chain, &chain, "no private key"),
            (&chain, &torn, "private key"),
            (&folder.path().join("none"), &key, "cannot be read"),
        ] {
            let error = files(chain, key).expect_err(word);
            assert!(error.contains(word), "{error}");
            assert!(!error.contains(&one.signing_key.serialize_pem()[40..60]), "{error}");
        }
    }
}
