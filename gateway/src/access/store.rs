//! The file that keeps tokens: TOML, a table per token, with digests in place of secrets.
//!
//! It is written whole (a new file beside it, then a rename), readable by its owner alone, and two
//! programs that change it wait for each other. A file that others could write is refused, since they
//! could let themselves in. Who reads it when is not known here.

use super::token::{self, Digest};
use super::{Holder, Refusal, Scope};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Access of the file's owner, and of nobody else.
const MODE: u32 = 0o600;

/// Permission bits that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Largest file that is read: tens of thousands of tokens.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// What stands above the tables.
const HEAD: &str =
    "# The tokens of an Unblock gateway: their digests, not themselves. Changed by `unblock token`.\n";

/// A token as it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Names it in logs and to `revoke`.
    pub id: String,
    /// What its maker called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// SHA-256 of the token, in hexadecimal digits.
    sha256: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was made (RFC 3339).
    pub created: String,
    /// From when on it is refused (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    token: Vec<Record>,
}

/// The tokens that are taken, for look-ups.
#[derive(Debug, Default)]
pub struct Tokens {
    by_id: HashMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    digest: Digest,
    holder: Arc<Holder>,
    expires: Option<SystemTime>,
}

impl Tokens {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut by_id = HashMap::new();
        for record in load(path)?.token {
            let (id, entry) = entry(&record).map_err(|wrong| format!("{}: {wrong}", path.display()))?;
            if by_id.insert(Arc::clone(&id), entry).is_some() {
                return Err(format!("{}: found the id {id} twice, expected it once", path.display()));
            }
        }
        Ok(Self { by_id })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn holder(&self, text: &str, now: SystemTime) -> Result<&Arc<Holder>, Refusal> {
        let id = token::id(text).ok_or(Refusal::Malformed)?;
        let digest = Digest::of(text);
        let entry = self.by_id.get(id).filter(|entry| entry.digest.is(&digest)).ok_or(Refusal::Unknown)?;
        match entry.expires {
            Some(expires) if expires <= now => Err(Refusal::Expired),
            _ => Ok(&entry.holder),
        }
    }

    /// Whether a holder that was found before would be found still: neither revoked nor changed nor expired.
    #[must_use]
    pub fn keeps(&self, holder: &Holder, now: SystemTime) -> bool {
        let entry = self.by_id.get(&holder.id).filter(|entry| *entry.holder == *holder);
        entry.is_some_and(|entry| entry.expires.is_none_or(|expires| expires > now))
    }

    /// How many there are, expired ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.len()
    }
}

fn entry(record: &Record) -> Result<(Arc<str>, Entry), String> {
    let found =
        |what: &str, text: &str, expected: &str| format!("found {what} {text:?}, expected {expected}");
    if !token::is_id(&record.id) {
        return Err(found("the id", &record.id, "12 hexadecimal digits"));
    }
    let of = |wrong: String| format!("token {}: {wrong}", record.id);
    // Its digits are no secret, but no message needs them.
    let digest = Digest::parse(&record.sha256)
        .ok_or_else(|| of("found a sha256 that is none, expected 64 hexadecimal digits".to_owned()))?;
    let scopes =
        record.scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>().map_err(of)?;
    let expires = record.expires.as_deref().map(|text| {
        humantime::parse_rfc3339(text)
            .map_err(|_| of(found("expires", text, "a time such as 2030-01-31T00:00:00Z")))
    });
    let id: Arc<str> = record.id.as_str().into();
    let holder = Holder { id: Arc::clone(&id), name: record.name.as_deref().map(Into::into), scopes };
    Ok((id, Entry { digest, holder: Arc::new(holder), expires: expires.transpose()? }))
}

fn load(path: &Path) -> Result<Document, String> {
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "the file of tokens {shown} does not exist; make it with `unblock token create --tokens {shown} --scope manage`"
        ),
        _ => format!("the file of tokens {shown} cannot be read: {error}"),
    })?;
    if !meta.is_file() {
        return Err(format!("the file of tokens {shown} is no regular file; name another"));
    }
    if meta.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "others may write the file of tokens {shown} (mode {:o}), and so let themselves in; chmod 600 {shown}",
            meta.mode() & 0o777
        ));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(format!("the file of tokens {shown} is over 16 MiB; revoke tokens that nobody needs"));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the file of tokens {shown} cannot be read: {error}"))?;
    // The message of the parser quotes the text, which is none of the log's business.
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        format!("{shown}, line {line}: {}; change it with `unblock token`", error.message())
    })
}

/// The file as `unblock token` changes it; locked as long as this lives.
pub struct Store {
    path: PathBuf,
    document: Document,
    // The lock of the folder, given back when it is closed.
    _folder: File,
}

impl Store {
    /// Opens the file for a change; one that is not there is an empty one.
    ///
    /// # Errors
    /// It cannot be read or locked, and why.
    pub fn open(path: &Path) -> Result<Self, String> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |error: io::Error| format!("the folder {} cannot be opened: {error}", folder.display());
        let lock = File::open(folder).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let document = if path.exists() { load(path)? } else { Document::default() };
        Ok(Self { path: path.to_owned(), document, _folder: lock })
    }

    /// The tokens, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.document.token
    }

    /// Makes a token and keeps its digest. Returns its id and its text, which nobody can have again.
    ///
    /// # Errors
    /// The name is taken or too long, no random bytes, or the file cannot be written.
    pub fn create(
        &mut self,
        name: Option<&str>,
        scopes: &[Scope],
        lifetime: Option<Duration>,
    ) -> Result<(String, String), String> {
        if let Some(name) = name {
            let plain = |c: char| c.is_alphanumeric() || "-_.@ ".contains(c);
            if name.is_empty()
                || name.len() > NAME_BYTES_MAX
                || !name.chars().all(plain)
                || token::is_id(name)
            {
                return Err(format!(
                    "found the name {name:?}, expected letters, digits, '-', '_', '.', '@' or spaces, at most \
                     {NAME_BYTES_MAX} bytes"
                ));
            }
            if self.document.token.iter().any(|record| record.name.as_deref() == Some(name)) {
                return Err(format!(
                    "there is a token named {name:?}; revoke it first, or choose another name"
                ));
            }
        }
        let now = SystemTime::now();
        let expires = lifetime.map(|lifetime| {
            now.checked_add(lifetime).ok_or_else(|| "it would expire after the end of time".to_owned())
        });
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let (id, token) = token::mint()?;
        self.document.token.push(Record {
            id: id.clone(),
            name: name.map(str::to_owned),
            sha256: Digest::of(&token).hex(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            created: time(now),
            expires: expires.transpose()?.map(time),
        });
        self.write()?;
        Ok((id, token))
    }

    /// Forgets the token with that id or name. Returns its id.
    ///
    /// # Errors
    /// There is none, or the file cannot be written.
    pub fn revoke(&mut self, which: &str) -> Result<String, String> {
        let is = |record: &Record| record.id == which || record.name.as_deref() == Some(which);
        let Some(at) = self.document.token.iter().position(is) else {
            return Err(format!(
                "found no token with the id or name {which:?}; `unblock token list` shows them"
            ));
        };
        let id = self.document.token.remove(at).id;
        self.write()?;
        Ok(id)
    }

    fn write(&self) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("the file of tokens {} cannot be written: {error}", self.path.display())
        };
        let text = toml::to_string(&self.document).map_err(|error| failed(io::Error::other(error)))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = self.path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        let written = self.write_beside(&beside, &text).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            // Nothing is there, or nobody needs it.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(failed)
    }

    fn write_beside(&self, beside: &Path, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        (folder, path)
    }

    fn create(
        path: &Path,
        name: Option<&str>,
        scopes: &[&str],
        lifetime: Option<Duration>,
    ) -> (String, String) {
        let scopes: Vec<Scope> = scopes.iter().map(|scope| Scope::parse(scope).expect(scope)).collect();
        Store::open(path).expect("opened").create(name, &scopes, lifetime).expect("made")
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked_and_is_not_in_the_file() {
        let (_folder, path) = file();
        let (id, token) = create(&path, Some("ci"), &["call:sleep", "read"], None);
        let (_, other) = create(&path, None, &["manage"], None);
        let text = fs::read_to_string(&path).expect("the file");
        assert!(
            !text.contains(&token) && !text.contains(token.rsplit('_').next().expect("a secret")),
            "{text}"
        );
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);

        let now = SystemTime::now();
        let tokens = Tokens::read(&path).expect("readable");
        let holder = tokens.holder(&token, now).expect("known");
        assert_eq!((&*holder.id, holder.name.as_deref()), (id.as_str(), Some("ci")));
        assert_eq!(holder.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["call:sleep", "read"]);
        assert!(tokens.holder(&other, now).is_ok());
        // The id alone is worth nothing.
        let forged = format!("ub_{id}_{}", other.rsplit('_').next().expect("a secret"));
        assert_eq!(tokens.holder(&forged, now), Err(Refusal::Unknown));
        assert_eq!(tokens.holder("secret", now), Err(Refusal::Malformed));

        assert_eq!(Store::open(&path).expect("opened").revoke("ci"), Ok(id));
        let tokens = Tokens::read(&path).expect("readable");
        assert_eq!(tokens.holder(&token, now), Err(Refusal::Unknown));
        assert!(tokens.holder(&other, now).is_ok() && tokens.count() == 1);
    }

    #[test]
    fn a_token_expires() {
        let (_folder, path) = file();
        let (_, token) = create(&path, None, &["read"], Some(Duration::from_secs(3600)));
        let tokens = Tokens::read(&path).expect("readable");
        let now = SystemTime::now();
        assert!(tokens.holder(&token, now).is_ok());
        assert_eq!(tokens.holder(&token, now + Duration::from_secs(3601)), Err(Refusal::Expired));
    }

    #[test]
    fn a_file_that_others_may_write_or_that_is_broken_is_refused() {
        let (_folder, path) = file();
        assert!(Tokens::read(&path).expect_err("missing").contains("unblock token create"));
        create(&path, None, &["read"], None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).expect("chmod");
        assert!(Tokens::read(&path).expect_err("open to others").contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        let good = fs::read_to_string(&path).expect("the file");
        for (from, to, word) in [
            ("scopes = [\"read\"]", "scopes = [\"all\"]", "call:TASK"),
            ("sha256 = \"", "sha256 = \"x", "64 hexadecimal digits"),
            ("created", "creatd", "line "),
            ("id = \"", "id = \"x", "12 hexadecimal digits"),
        ] {
            fs::write(&path, good.replace(from, to)).expect("written");
            let wrong = Tokens::read(&path).expect_err(to);
            assert!(wrong.contains(word), "{wrong}");
        }
        let tables = good.strip_prefix(HEAD).expect("the head");
        fs::write(&path, format!("{tables}\n{tables}")).expect("written");
        assert!(Tokens::read(&path).expect_err("twice").contains("twice"));
    }

    #[test]
    fn names_are_unique_and_cannot_be_taken_for_ids() {
        let (_folder, path) = file();
        create(&path, Some("ci"), &["read"], None);
        let mut store = Store::open(&path).expect("opened");
        for wrong in ["ci", "", "0123456789ab", "a\nb", &"x".repeat(101)] {
            assert!(store.create(Some(wrong), &[Scope::Read], None).is_err(), "{wrong:?}");
        }
        assert!(store.revoke("nobody").expect_err("none").contains("unblock token list"));
        assert_eq!(store.records().len(), 1);
    }
}
