//! What a caller sent → what the function takes, and what of the body goes to the guest raw.
//!
//! One rule for everybody: named texts (path, query) and the body together give each parameter
//! once. A function that takes the raw body never has it parsed. Knows no HTTP types: media types
//! are texts here. The mapping itself is in `values/`.

use super::component::Given;
use super::{Call, Function};
use crate::error::{Error, Kind};
use crate::exchange::Stream;
use crate::task::{Arguments, Body, Part, Phase};
use crate::values::{
    ArgError, ArgErrorKind, Args, BYTE_LIST_BYTES_MAX, Limits, Shape, bytes_of, decode_byte_field,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use unblock_host::Request;

/// What a call gives to the guest.
pub struct Resolved {
    /// The function's parameters.
    pub given: Given,
    /// What the guest reads through `unblock:task/body`.
    pub request: Request,
    /// The parameter that is a stream, if there is one.
    pub stream: Option<Stream>,
}

/// Decodes the arguments of one call.
///
/// # Errors
/// `bad-arguments` and `bad-json` with the place inside the document, `unsupported-media-type`.
pub fn resolve(function: &Function, arguments: Arguments) -> Result<Resolved, Error> {
    let Arguments { pairs, body } = arguments;
    let limits = Limits::default();
    if let Call::Component(export) = &function.call
        && export.takes_bytes()
    {
        let given = Given::Bytes(lone_bytes(&pairs, body)?);
        return Ok(Resolved { given, request: Request::default(), stream: None });
    }
    let mut args = Args::new(&function.params, &limits);
    args.query(&pairs).map_err(refused)?;
    let (mut request, mut stream) = (Request::default(), None);
    match body {
        Body::Empty => {}
        Body::Stream(body) if function.body_stream.is_some() => stream = Some(body),
        Body::Stream(_) => {
            return Err(Error::internal(anyhow::anyhow!("a stream for a function that takes none")));
        }
        Body::Form(parts) => request = form(function, &mut args, parts)?,
        Body::Bytes { content_type, bytes } => match (function.raw_body, bytes_param(function)) {
            // The guest reads the body itself.
            (true, _) if function.guest_reads() => {
                request = Request { body: bytes, content_type };
            }
            // One of several parameters is the body, unless the caller sent all of them in a document.
            (true, Some(index)) if !content_type.as_deref().is_some_and(is_document) => {
                let value = decode_byte_field(&Shape::Bytes, &bytes, &limits).map_err(refused)?;
                let set = args.set(index, value).map_err(refused);
                // An empty body does not compete with an argument in the query.
                if !bytes.is_empty() {
                    set?;
                }
            }
            // No arguments, whatever the media type says.
            _ if bytes.is_empty() => {}
            _ => named(&mut args, content_type.as_deref(), &bytes)?,
        },
    }
    let values = args.finish().map_err(|error| refused_of(error, function))?;
    if function.body_stream.is_some() && stream.is_none() {
        stream = Some(whole(std::mem::take(&mut request.body)));
    }
    Ok(Resolved { given: Given::Values(values), request, stream })
}

/// A stream of what is all there.
fn whole(bytes: Bytes) -> Stream {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// All parameters of one call in a WAVE document, for callers that have no request of their own. A
/// function of bytes alone gets these.
///
/// # Errors
/// `bad-arguments` for such a function, and for one that reads the body itself.
pub fn from_wave(function: &Function, text: &str) -> Result<Body, Error> {
    if function.guest_reads() {
        return Err(Error::new(
            Kind::BadArguments,
            "found WAVE for a function that reads the request body itself, expected its parameters as plain \
             text, by name or by position",
        ));
    }
    let limits = Limits::default();
    match &function.call {
        Call::Component(export) if export.takes_bytes() => {
            let mut args = Args::new(&function.params, &limits);
            args.wave(text.as_bytes()).map_err(refused)?;
            let values = args.finish().map_err(refused)?;
            let bytes = values.first().map(|value| bytes_of(value, BYTE_LIST_BYTES_MAX)).transpose();
            let bytes = bytes.map_err(Error::internal)?.unwrap_or_default();
            Ok(Body::Bytes { content_type: None, bytes: bytes.into() })
        }
        _ => {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            Ok(Body::Bytes { content_type: Some(WAVE.to_owned()), bytes })
        }
    }
}

/// The media type of WAVE documents; none is registered.
const WAVE: &str = "text/x-wave";

/// The body is the lone parameter, whatever its media type.
fn lone_bytes(pairs: &[(String, String)], body: Body) -> Result<Bytes, Error> {
    if let Some((name, _)) = pairs.first() {
        return Err(Error::new(
            Kind::BadArguments,
            format!("found the parameter {name:?}, expected none: the request body is this function's only argument"),
        )
        .at(Phase::Instantiate));
    }
    Ok(match body {
        Body::Empty => Bytes::new(),
        Body::Bytes { bytes, .. } => bytes,
        Body::Stream(_) => {
            return Err(Error::internal(anyhow::anyhow!("a stream for a function that takes bytes")));
        }
        Body::Form(mut parts) => match (parts.pop(), parts.len()) {
            (Some(part), 0) => part.bytes,
            (_, rest) => {
                return Err(Error::new(
                    Kind::BadArguments,
                    format!(
                        "found {} form fields, expected one: the bytes",
                        if rest == 0 { 0 } else { rest + 1 }
                    ),
                )
                .at(Phase::Instantiate));
            }
        },
    })
}

/// Fields of a URL-encoded document; each costs many times its bytes before it is checked.
const PAIRS_MAX: usize = 4096;

/// Parameters from a JSON, WAVE or URL-encoded document.
fn named(args: &mut Args<'_>, content_type: Option<&str>, bytes: &[u8]) -> Result<(), Error> {
    match content_type {
        None => args.json(bytes).map_err(refused),
        Some(media) if is_json(media) => args.json(bytes).map_err(refused),
        Some(media) if is_wave(media) => args.wave(bytes).map_err(refused),
        Some(media) if essence(media) == "application/x-www-form-urlencoded" => {
            // What curl says of any `-d`: a document that opens like JSON is meant as JSON.
            if matches!(bytes.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
                return args.json(bytes).map_err(refused);
            }
            let pairs: Vec<_> = url::form_urlencoded::parse(bytes).take(PAIRS_MAX + 1).collect();
            if pairs.len() > PAIRS_MAX {
                return Err(Error::new(
                    Kind::InputTooLarge,
                    format!("found more than {PAIRS_MAX} form fields; send long lists as JSON"),
                )
                .limit("fields", PAIRS_MAX.to_string())
                .at(Phase::Instantiate));
            }
            args.query(&pairs).map_err(refused)
        }
        Some(media) => Err(Error::new(
            Kind::UnsupportedMediaType,
            format!(
                "found {media:?}, expected application/json, text/x-wave, application/x-www-form-urlencoded or \
                 multipart/form-data; \
                 with curl add -H 'content-type: application/json'"
            ),
        )
        .at(Phase::Instantiate)),
    }
}

/// Fields named like parameters are these; the one that is left over is the raw body.
fn form(function: &Function, args: &mut Args<'_>, parts: Vec<Part>) -> Result<Request, Error> {
    let is_param = |part: &Part| {
        function
            .params
            .iter()
            .any(|param| param.name == part.name || param.name == part.name.replace('_', "-"))
    };
    let (fields, rest): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(is_param);
    let fields: Vec<(String, Bytes)> = fields.into_iter().map(|part| (part.name, part.bytes)).collect();
    args.form(&fields).map_err(refused)?;
    let mut rest = rest.into_iter();
    match (rest.next(), rest.next()) {
        (None, _) => Ok(Request::default()),
        (Some(part), None) if function.guest_reads() => {
            Ok(Request { body: part.bytes, content_type: part.content_type })
        }
        (Some(part), None) if part.file && function.raw_body => match bytes_param(function) {
            Some(index) => {
                let limits = Limits::default();
                let value = decode_byte_field(&Shape::Bytes, &part.bytes, &limits).map_err(refused)?;
                args.set(index, value).map_err(refused)?;
                Ok(Request::default())
            }
            None => Err(unknown_field(function, &part.name)),
        },
        (Some(part), _) => Err(unknown_field(function, &part.name)),
    }
}

fn unknown_field(function: &Function, name: &str) -> Error {
    let names: Vec<&str> = function.params.iter().map(|param| param.name.as_str()).collect();
    Error::new(
        Kind::BadArguments,
        format!(
            "found the form field {name:?}, expected fields named like the parameters: {}",
            names.join(", ")
        ),
    )
    .nearest(name, names)
    .at(Phase::Instantiate)
}

/// The index of the first parameter that is a byte list.
pub fn bytes_param(function: &Function) -> Option<usize> {
    function.params.iter().position(|param| param.shape == Shape::Bytes)
}

fn refused(error: ArgError) -> Error {
    let kind = match error.kind {
        ArgErrorKind::BadJson => Kind::BadJson,
        ArgErrorKind::BadArguments => Kind::BadArguments,
        ArgErrorKind::TooLarge => Kind::InputTooLarge,
    };
    let mut problem = Error::new(kind, error.to_string()).at(Phase::Instantiate);
    if error.kind == ArgErrorKind::BadArguments {
        problem.pointer = Some(error.pointer);
        problem.expected = Some(error.expected);
    } else if let Some(limit) = error.limit {
        problem.limit = Some((limit, error.expected));
    }
    problem
}

/// A missing argument of a function that reads the raw body: say where the others come from.
fn refused_of(error: ArgError, function: &Function) -> Error {
    let mut problem = refused(error);
    if function.guest_reads() {
        problem
            .detail
            .push_str("; the body is the task's own, its parameters come from the query: ?name=value");
    }
    problem
}

fn essence(media: &str) -> &str {
    media.split_once(';').map_or(media, |(essence, _)| essence).trim()
}

/// Whether the media type is of a format that holds all parameters.
fn is_document(media: &str) -> bool {
    is_json(media) || is_wave(media)
}

fn is_wave(media: &str) -> bool {
    essence(media) == WAVE
}

/// `application/json`, `text/json` and the `+json` suffix (RFC 6839).
fn is_json(media: &str) -> bool {
    let essence = essence(media);
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}
