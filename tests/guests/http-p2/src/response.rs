//! Making a response step by step: head, pieces of the body, end.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

/// A response whose head was sent.
pub struct Response {
    output: Option<OutputStream>,
    body: OutgoingBody,
}

impl Response {
    /// Sends the head of a text.
    pub fn start(out: ResponseOutparam, status: u16) -> Self {
        Self::start_with(out, status, &[("content-type", b"text/plain")])
    }

    /// Sends the head.
    #[allow(clippy::expect_used, reason = "each of these fails only when asked a second time")]
    pub fn start_with(out: ResponseOutparam, status: u16, headers: &[(&str, &[u8])]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            // What the host refuses stays out.
            let _ = fields.append(name, value);
        }
        let response = OutgoingResponse::new(fields);
        let _ = response.set_status_code(status);
        let body = response.body().expect("a new response has its body");
        ResponseOutparam::set(out, Ok(response));
        let output = body.write().expect("a new body has its stream");
        Self { output: Some(output), body }
    }

    /// The stream that the body goes to.
    #[allow(clippy::expect_used, reason = "only `end` takes it, and consumes the response")]
    pub fn output(&self) -> &OutputStream {
        self.output.as_ref().expect("a response that has not ended")
    }

    /// Writes a piece of the body and waits until it was taken.
    pub fn write(&self, bytes: &[u8]) -> Result<(), StreamError> {
        for chunk in bytes.chunks(4096) {
            self.output().blocking_write_and_flush(chunk)?;
        }
        Ok(())
    }

    /// Writes that many bytes, in pieces as large as the host takes at once.
    pub fn fill(&self, bytes: u64) -> Result<(), StreamError> {
        static PIECE: [u8; 65536] = [b'x'; 65536];
        let output = self.output();
        let ready = output.subscribe();
        let mut left = bytes;
        while left > 0 {
            ready.block();
            let permitted = output.check_write()?.min(left).min(PIECE.len() as u64);
            output.write(PIECE.get(..permitted as usize).unwrap_or_default())?;
            left -= permitted;
        }
        drop(ready);
        output.blocking_flush()
    }

    /// Ends the body.
    pub fn end(mut self, trailers: Option<Fields>) {
        drop(self.output.take());
        if let Err(error) = OutgoingBody::finish(self.body, trailers) {
            eprintln!("the body could not be ended: {error:?}");
        }
    }

    /// A last piece, and the end.
    pub fn end_with(self, bytes: &[u8]) {
        if let Err(error) = self.write(bytes) {
            eprintln!("the body was not taken: {error:?}");
        }
        self.end(None);
    }
}
