//! Making a response: the head is returned, the body is written by a task that goes on.

use wasip3::http::types::{Fields, Response};
use wasip3::wit_bindgen::{self, StreamWriter};
use wasip3::{wit_future, wit_stream};

/// A response with a short text.
pub fn text(status: u16, text: &str) -> Response {
    let text = text.as_bytes().to_vec();
    streamed(status, &[("content-type", b"text/plain")], async move |mut body| {
        body.write_all(text).await;
        None
    })
}

/// A response whose body `write` writes after the head is on its way; it may return trailers.
pub fn streamed(
    status: u16,
    headers: &[(&str, &[u8])],
    write: impl AsyncFnOnce(StreamWriter<u8>) -> Option<Fields> + 'static,
) -> Response {
    let fields = Fields::new();
    for (name, value) in headers {
        // What the host refuses stays out.
        let _ = fields.append(name, value);
    }
    let (body, reader) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields, Some(reader), trailers);
    let _ = response.set_status_code(status);
    wit_bindgen::spawn_local(async move {
        let trailers = write(body).await;
        // An error means that the host no longer wants to know.
        let _ = end.write(Ok(trailers)).await;
    });
    response
}

/// Writes that many bytes; false if the host did not take them all.
pub async fn fill(body: &mut StreamWriter<u8>, bytes: u64) -> bool {
    const PIECE: u64 = 65536;
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(PIECE);
        if !body.write_all(vec![b'x'; piece as usize]).await.is_empty() {
            return false;
        }
        left -= piece;
    }
    true
}
