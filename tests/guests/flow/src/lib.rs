//! Test guest: typed functions that take or give a stream of bytes as the whole body.

#[allow(missing_docs, reason = "generated from wit/flow.wit")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "flow", generate_all });
}

use bindings::exports::tests::flow::api::Guest;
use bindings::wit_stream;
use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

/// Bytes read or written at a time.
const PIECE_BYTES: usize = 64 * 1024;

struct Flow;

/// Calls `piece` with what comes, until it says that it has enough.
async fn each(mut body: StreamReader<u8>, mut piece: impl AsyncFnMut(&[u8]) -> bool) {
    loop {
        let (result, bytes) = body.read(Vec::with_capacity(PIECE_BYTES)).await;
        let enough = !bytes.is_empty() && !piece(&bytes).await;
        if enough || !matches!(result, StreamResult::Complete(_)) {
            return;
        }
    }
}

/// Passes the body on, changed, until it ends or nobody reads any more.
async fn pass(body: StreamReader<u8>, mut to: StreamWriter<u8>, mut change: impl FnMut(&[u8]) -> Vec<u8>) {
    each(body, async |bytes: &[u8]| to.write_all(change(bytes)).await.is_empty()).await;
}

impl Guest for Flow {
    async fn count(body: StreamReader<u8>) -> u64 {
        let mut counted = 0;
        each(body, async |bytes: &[u8]| {
            counted += bytes.len() as u64;
            true
        })
        .await;
        counted
    }

    async fn taste(limit: u32, body: StreamReader<u8>) -> Result<String, String> {
        let mut tasted = Vec::new();
        each(body, async |bytes: &[u8]| {
            tasted.extend_from_slice(bytes);
            tasted.len() < limit as usize
        })
        .await;
        tasted.truncate(limit as usize);
        match String::from_utf8(tasted) {
            Ok(text) if text.starts_with('x') => Err(format!("{text:?} begins with x")),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn upper(body: StreamReader<u8>) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(pass(body, writer, <[u8]>::to_ascii_uppercase));
        reader
    }

    async fn repeat(text: String, times: u64) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for _ in 0..times {
                if !writer.write_all(text.clone().into_bytes()).await.is_empty() {
                    return;
                }
            }
        });
        reader
    }

    async fn perhaps(
        body: StreamReader<u8>,
        fail: Option<String>,
        until: Option<u64>,
    ) -> Result<StreamReader<u8>, String> {
        if let Some(why) = fail {
            return Err(why);
        }
        let (writer, reader) = wit_stream::new();
        let mut left = until.unwrap_or(u64::MAX);
        wit_bindgen::spawn_local(pass(body, writer, move |bytes| {
            left = left.saturating_sub(bytes.len() as u64);
            assert!(left > 0, "crashed as asked");
            bytes.to_vec()
        }));
        Ok(reader)
    }

    async fn two(_left: StreamReader<u8>, _right: StreamReader<u8>) -> u64 {
        0
    }

    async fn numbers() -> StreamReader<u32> {
        wit_stream::new().1
    }
}

bindings::export!(Flow with_types_in bindings);
