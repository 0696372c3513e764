//! The request body: read whole, within bounds, before a task is asked for anything.
//!
//! Four bounds hold while reading: the task's `input` limit (from the stated length before the
//! first byte, then byte by byte), a floor on the client's speed, the number of parts of a form,
//! and the memory of all calls together. What the bytes mean is not known here.

use super::Settings;
use crate::error::{Error, Kind};
use crate::limits::{self, KIB, Limits};
use crate::runtime::{Charge, Memory, memory_full};
use crate::task::{Body, Part};
use axum::body::Body as HttpBody;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, TRANSFER_ENCODING};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What a client must send within each body timeout; one that dribbles single bytes cannot hold a
/// connection for longer than its body has such pieces.
pub const PROGRESS_BYTES_MIN: u64 = 64 * KIB;

/// Parts of one form: enough for any function's parameters, little for somebody who wants to
/// spend our memory on empty parts.
const PARTS_MAX: usize = 256;

/// Reads the whole body of a request.
///
/// # Errors
/// `input-too-large`, `request-timeout`, `unsupported-media-type`, `memory-full`, `bad-arguments`
/// for a broken form or a connection that ended early.
pub async fn read(
    headers: &HeaderMap,
    body: HttpBody,
    limits: &Limits,
    settings: &Settings,
    memory: &Arc<Memory>,
) -> Result<(Body, Option<Charge>), Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if body.is_end_stream() {
        return Ok((whole(content_type, Bytes::new()), None));
    }
    refuse_encoded(headers)?;
    let mut reader = Reader::new(body, limits.input, settings.body_timeout, memory)?;
    let body = match content_type {
        Some(stated) if is_form(stated) => {
            let boundary = multer::parse_boundary(stated).map_err(|_| {
                Error::new(
                    Kind::BadArguments,
                    format!("found Content-Type: {stated}, expected a boundary parameter"),
                )
            })?;
            Body::Form(reader.form(boundary).await?)
        }
        _ => whole(content_type, reader.all().await?),
    };
    Ok((body, Some(reader.charge)))
}

/// Whether a body is to be passed on as it comes: there is one, and it is no form.
///
/// # Errors
/// `unsupported-media-type` for a compressed one.
pub fn flows(headers: &HeaderMap, body: &HttpBody) -> Result<bool, Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if body.is_end_stream() || content_type.is_some_and(is_form) {
        return Ok(false);
    }
    refuse_encoded(headers).map(|()| true)
}

/// A document. One without a byte counts if it has a media type: an empty file, say.
fn whole(content_type: Option<&str>, bytes: Bytes) -> Body {
    let stated = content_type.filter(|stated| !(bytes.is_empty() && is_form(stated)));
    match stated {
        None if bytes.is_empty() => Body::Empty,
        stated => Body::Bytes { content_type: stated.map(str::to_ascii_lowercase), bytes },
    }
}

fn is_form(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("multipart/form-data")
}

/// Nothing here decodes a body: it counts and is passed on as it came.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Error> {
    for value in headers.get_all(TRANSFER_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
            let found = String::from_utf8_lossy(value.as_bytes());
            return Err(Error::new(
                Kind::UnsupportedMediaType,
                format!("found Transfer-Encoding: {found}, expected chunked or none"),
            ));
        }
    }
    for value in headers.get_all(CONTENT_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            let found = String::from_utf8_lossy(value.as_bytes());
            return Err(Error::new(
                Kind::UnsupportedMediaType,
                format!("found Content-Encoding: {found}, expected none; send the body uncompressed"),
            ));
        }
    }
    Ok(())
}

/// A body under its bounds.
struct Reader {
    body: HttpBody,
    input_bytes_max: u64,
    seen_bytes: u64,
    timeout: Duration,
    /// When the next [`PROGRESS_BYTES_MIN`] must be there.
    deadline: Instant,
    /// Bytes seen when the deadline was last moved.
    marked_bytes: u64,
    charge: Charge,
}

impl Reader {
    fn new(
        body: HttpBody,
        input_bytes_max: u64,
        timeout: Duration,
        memory: &Arc<Memory>,
    ) -> Result<Self, Error> {
        let charge = memory.charge(0).ok_or_else(|| memory_full(memory))?;
        let deadline = Instant::now() + timeout;
        let reader =
            Self { body, input_bytes_max, seen_bytes: 0, timeout, deadline, marked_bytes: 0, charge };
        match reader.body.size_hint().exact() {
            Some(stated) if stated > input_bytes_max => Err(reader.too_large(&limits::bytes(stated))),
            _ => Ok(reader),
        }
    }

    fn too_large(&self, found: &str) -> Error {
        let limit = limits::bytes(self.input_bytes_max);
        Error::new(
            Kind::InputTooLarge,
            format!(
                "found a body of {found}, expected at most {limit}; raise input under [limits] in the task's manifest"
            ),
        )
        .limit("input", limit)
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = match timeout_at(self.deadline, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(cause))) => {
                    return Err(Error::new(Kind::BadArguments, "the body ended early or is framed wrongly")
                        .caused_by(cause));
                }
                Err(_) => {
                    let timeout = limits::duration(self.timeout);
                    return Err(Error::new(
                        Kind::RequestTimeout,
                        format!(
                            "the body came too slowly: expected at least {} every {timeout}",
                            limits::bytes(PROGRESS_BYTES_MIN)
                        ),
                    ));
                }
            };
            // A trailer carries no arguments.
            let Ok(bytes) = frame.into_data() else { continue };
            self.take(bytes.len() as u64)?;
            return Ok(Some(bytes));
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), Error> {
        self.seen_bytes += bytes;
        if self.seen_bytes > self.input_bytes_max {
            return Err(self.too_large(&format!("{} or more", limits::bytes(self.seen_bytes))));
        }
        if self.seen_bytes - self.marked_bytes >= PROGRESS_BYTES_MIN {
            self.marked_bytes = self.seen_bytes;
            self.deadline = Instant::now() + self.timeout;
        }
        if self.charge.grow(bytes) { Ok(()) } else { Err(memory_full(self.charge.memory())) }
    }

    /// The whole body; a body that came in one piece is not copied.
    async fn all(&mut self) -> Result<Bytes, Error> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        // The stated length is at most the limit by now; a client that states nothing gets growth.
        let rest = usize::try_from(self.body.size_hint().lower()).unwrap_or(0);
        let mut whole = BytesMut::with_capacity(first.len() + second.len() + rest);
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// The parts of a form, read as they come.
    async fn form(&mut self, boundary: String) -> Result<Vec<Part>, Error> {
        let stream = futures_util::stream::unfold(&mut *self, |reader| async move {
            Some((reader.next().await.transpose()?, reader))
        });
        // Multer wants `'static` of neither stream nor error, only `Send`.
        let mut form = multer::Multipart::new(stream, boundary);
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.map_err(broken)? {
            if parts.len() == PARTS_MAX {
                return Err(Error::new(
                    Kind::BadArguments,
                    format!("found more than {PARTS_MAX} parts in the form"),
                ));
            }
            let Some(name) = field.name().map(str::to_owned) else {
                return Err(Error::new(
                    Kind::BadArguments,
                    "found a part without a name, expected name=\"…\" in its header",
                ));
            };
            let file = field.file_name().is_some();
            let content_type = field.content_type().map(|mime| mime.as_ref().to_ascii_lowercase());
            let bytes = field.bytes().await.map_err(broken)?;
            parts.push(Part { name, file, content_type, bytes });
        }
        Ok(parts)
    }
}

/// Multer's error: one of our own that passed through it, or a malformed form.
fn broken(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => {
                Error::new(Kind::BadArguments, "the form could not be read").caused_by(anyhow::anyhow!(other))
            }
        },
        malformed => Error::new(
            Kind::BadArguments,
            format!("found a malformed form, expected multipart/form-data as in RFC 7578: {malformed}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn chunks(chunks: Vec<&'static str>) -> HttpBody {
        HttpBody::from_stream(futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))
    }

    async fn read_with(headers: &HeaderMap, body: HttpBody, input: u64, total: u64) -> Result<Body, Error> {
        let limits = Limits { input, ..Limits::default() };
        let memory = Memory::new(total);
        let read = read(headers, body, &limits, &Settings::default(), &memory).await;
        let body = read.map(|(body, charge)| {
            drop(charge);
            body
        });
        assert_eq!(memory.held_bytes(), 0, "every charge is given back");
        body
    }

    #[tokio::test]
    async fn a_body_in_pieces_becomes_one_document() {
        let body =
            read_with(&headers("Text/Plain; Charset=UTF-8"), chunks(vec!["ab", "", "c", "d"]), 4, 4).await;
        let Ok(Body::Bytes { content_type, bytes }) = body else { panic!("{body:?}") };
        assert_eq!((content_type.as_deref(), &bytes[..]), (Some("text/plain; charset=utf-8"), &b"abcd"[..]));
        assert!(matches!(read_with(&HeaderMap::new(), HttpBody::empty(), 0, 0).await, Ok(Body::Empty)));
        let empty = read_with(&headers("application/octet-stream"), HttpBody::empty(), 0, 0).await;
        assert!(
            matches!(&empty, Ok(Body::Bytes { bytes, .. }) if bytes.is_empty()),
            "an empty file: {empty:?}"
        );
        assert!(matches!(read_with(&HeaderMap::new(), chunks(vec![]), 0, 0).await, Ok(Body::Empty)));
    }

    #[tokio::test]
    async fn bounds_are_named() {
        let stated = read_with(&HeaderMap::new(), HttpBody::from("12345"), 4, 99).await.expect_err("over");
        assert_eq!((stated.kind, stated.limit.clone()), (Kind::InputTooLarge, Some(("input", "4B".into()))));
        assert!(stated.detail.contains("found a body of 5B,"), "{stated}");
        let chunked = read_with(&HeaderMap::new(), chunks(vec!["123", "45"]), 4, 99).await.expect_err("over");
        assert_eq!(chunked.kind, Kind::InputTooLarge);
        let total = read_with(&HeaderMap::new(), chunks(vec!["123", "45"]), 99, 4).await.expect_err("over");
        assert_eq!(total.kind, Kind::MemoryFull);
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let gzip = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let error = read_with(&gzip, HttpBody::from("x"), 9, 9).await.expect_err("encoded");
        assert_eq!(error.kind, Kind::UnsupportedMediaType);
        let identity = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("identity"))]);
        assert!(read_with(&identity, HttpBody::from("x"), 9, 9).await.is_ok());
    }

    const FORM: &str = "multipart/form-data; boundary=XyZ";

    #[tokio::test]
    async fn a_form_keeps_names_files_and_types() {
        let body = chunks(vec![
            "--XyZ\r\nContent-Disposition: form-data; name=\"width\"\r\n\r\n6",
            "4\r\n--XyZ\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n",
            "Content-Type: image/PNG\r\n\r\n\u{0}\r\n-",
            "\r\n--XyZ--\r\n",
        ]);
        let Ok(Body::Form(parts)) = read_with(&headers(FORM), body, 999, 999).await else { panic!("a form") };
        let seen: Vec<_> = parts
            .iter()
            .map(|p| (p.name.as_str(), p.file, p.content_type.as_deref(), &p.bytes[..]))
            .collect();
        assert_eq!(
            seen,
            [("width", false, None, &b"64"[..]), ("image", true, Some("image/png"), &b"\0\r\n-"[..])]
        );
    }

    #[tokio::test]
    async fn a_form_is_bounded_and_checked() {
        let part = "--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        let mut many = vec![part; PARTS_MAX + 1];
        many.push("--XyZ--\r\n");
        let error = read_with(&headers(FORM), chunks(many), 1 << 20, 1 << 20).await.expect_err("too many");
        assert!(error.detail.contains("256 parts"), "{error}");
        let error =
            read_with(&headers(FORM), chunks(vec![part, part]), 70, 999).await.expect_err("too large");
        assert_eq!(error.kind, Kind::InputTooLarge, "{error}");
        for (content_type, body) in [
            (FORM, vec!["--XyZ\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XyZ--\r\n"]),
            (FORM, vec!["--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"]),
            (FORM, vec!["nothing of the kind"]),
            ("multipart/form-data", vec!["x"]),
        ] {
            let error =
                read_with(&headers(content_type), chunks(body.clone()), 999, 999).await.expect_err("broken");
            assert_eq!(error.kind, Kind::BadArguments, "{body:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_dribbles_is_cut_off() {
        // Each byte comes long before the time-out, the end of the body never.
        let dribble = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        let settings = Settings { body_timeout: Duration::from_millis(100), ..Settings::default() };
        let (body, memory) = (HttpBody::from_stream(dribble), Memory::new(1 << 20));
        let error =
            read(&HeaderMap::new(), body, &Limits::default(), &settings, &memory).await.expect_err("slow");
        assert_eq!(error.kind, Kind::RequestTimeout);
    }
}
