//! Sample task: makes a small picture of the large one in the request body.

use unblock::{Body, Raw};

mod picture;

/// How a picture is encoded.
#[derive(Clone, Copy, unblock::Enum)]
enum Format {
    Png,
    Jpeg,
}

/// Why there is no thumbnail.
#[derive(Debug, unblock::Variant)]
enum ThumbnailError {
    /// The request body is no picture that can be decoded; the text says what is wrong with it.
    NotAPicture(String),
    /// The picture would take too much memory to decode; the text says how much is allowed.
    TooLarge(String),
    /// A parameter is out of its range; the text says which.
    InvalidParameter(String),
    /// The thumbnail could not be encoded; the text says why.
    Failed(String),
}

/// Makes a small picture of the large one in the request body, PNG or JPEG.
///
/// The thumbnail fits in `width` times `height` pixels and keeps the picture's aspect ratio;
/// without `height` only the width is bounded. A picture is never enlarged. A camera's notion
/// of what is up (the EXIF orientation) is followed. `format` is the picture's own by default.
/// `quality` is for JPEG, from 1 to 100, by default 80; transparent parts of a picture become
/// white in a JPEG. The answer is the thumbnail itself, as `image/png` or `image/jpeg`.
#[unblock::task]
fn thumbnail(
    mut body: Body,
    width: u32,
    height: Option<u32>,
    format: Option<Format>,
    quality: Option<u8>,
) -> Result<Raw, ThumbnailError> {
    let wanted = picture::Wanted::new(width, height, format, quality)?;
    unblock::progress(0.0, "reading");
    let bytes = body.read_all();
    unblock::progress(0.1, "decoding");
    let picture = picture::decode(bytes)?;
    unblock::progress(0.6, "scaling");
    let picture = picture.scale(&wanted);
    unblock::progress(0.8, "encoding");
    let (media_type, bytes) = picture.encode(&wanted)?;
    unblock::progress(1.0, "done");
    Ok(Raw::new(media_type, bytes))
}
