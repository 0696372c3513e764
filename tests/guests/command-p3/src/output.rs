//! One stream of output, from its first byte to the host's word that all of it was taken.

use wasip3::cli::types::ErrorCode;
use wasip3::cli::{stderr, stdout};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamWriter};
use wasip3::wit_stream;

pub struct Output {
    stream: StreamWriter<u8>,
    written: FutureReader<Result<(), ErrorCode>>,
}

impl Output {
    pub fn stdout() -> Self {
        Self::to(stdout::write_via_stream)
    }

    pub fn stderr() -> Self {
        Self::to(stderr::write_via_stream)
    }

    fn to(via: impl FnOnce(StreamReader<u8>) -> FutureReader<Result<(), ErrorCode>>) -> Self {
        let (stream, reader) = wit_stream::new();
        Self { stream, written: via(reader) }
    }

    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        if self.stream.write_all(bytes).await.is_empty() { Ok(()) } else { Err(ErrorCode::Pipe) }
    }

    /// Writes that many bytes.
    pub async fn fill(&mut self, bytes: u64) -> Result<(), ErrorCode> {
        const PIECE: u64 = 65536;
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(PIECE);
            self.write(vec![b'x'; piece as usize]).await?;
            left -= piece;
        }
        Ok(())
    }

    pub async fn end(self) -> Result<(), ErrorCode> {
        drop(self.stream);
        self.written.await
    }
}
