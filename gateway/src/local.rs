//! One local request whose answer flows: `unblock run` on a command, a `wasi:http` guest or a function over
//! streams.
//!
//! Standard input flows in, the body flows out to standard output, and the end becomes an exit code.
//! The run itself is the server's: same sandbox, same limits, same words. Knows no flags.

use crate::error::{Error, Kind};
use crate::exchange::{Command, Exchange, Printed, Stream};
use crate::invoke::{Finished, Invoker, Visit};
use crate::registry::Task;
use crate::runtime::Observed;
use crate::task;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use std::io::{IsTerminal as _, Read, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Bytes read from standard input at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that are read ahead of the guest.
const CHUNKS_AHEAD: usize = 4;

/// A command line for a command.
pub fn command(task: &Task, words: &[String], input: impl Read + Send + 'static) -> Exchange {
    Exchange::Command(Command {
        arguments: std::iter::once(task.name.to_string()).chain(words.iter().cloned()).collect(),
        variables: Vec::new(),
        input: body(input),
        // As in a shell: no header is taken off.
        printed: Printed::Sniffed,
    })
}

/// Makes the request and writes its answer.
///
/// # Errors
/// The run failed, also after part of its answer was written.
pub async fn exchange(
    invoker: &Invoker,
    task: &Arc<Task>,
    exchange: Exchange,
    observed: Observed,
) -> Result<(), Error> {
    let failed = Arc::new(Mutex::new(None));
    let late = {
        let failed = Arc::clone(&failed);
        Arc::new(move |error: &Error| {
            let mut copy = Error::new(error.kind, error.detail.clone());
            copy.backtrace.clone_from(&error.backtrace);
            copy.stderr.clone_from(&error.stderr);
            copy.value.clone_from(&error.value);
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        })
    };
    let visit =
        Visit { task: Arc::clone(task), exchange, bodiless: false, wait: None, observed, profiled: None };
    let Finished { result, .. } = invoker.exchange(visit, late).await;
    let (head, mut body) = result?.into_parts();
    if task.prepared.kind == task::Kind::Http && std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "{:?} {}", head.version, head.status);
    }
    let mut stdout = std::io::stdout();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        if stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err() {
            // A closed pipe (`| head`) is no failure of ours; dropping the body stops the run.
            return Ok(());
        }
    }
    let late = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    late.map_or(Ok(()), Err)
}

/// A request for a `wasi:http` guest: `GET /path`, or the path alone.
///
/// # Errors
/// The words mean no request.
pub fn request(words: &[String], input: impl Read + Send + 'static) -> Result<Exchange, Error> {
    let usage = || {
        Error::new(
            Kind::BadArguments,
            format!(
                "found {words:?}, expected a method and a path, such as GET /hello, for a wasi:http guest"
            ),
        )
    };
    let (method, path) = match words {
        [] => ("GET", "/"),
        [path] => ("GET", path.as_str()),
        [method, path] => (method.as_str(), path.as_str()),
        _ => return Err(usage()),
    };
    if !path.starts_with('/') {
        return Err(usage());
    }
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header(http::header::HOST, "localhost");
    request.body(body(input)).map(Exchange::Http).map_err(|_| usage())
}

/// A stream of what a thread reads: it ends with the process if nobody asks for more.
pub fn body(mut input: impl Read + Send + 'static) -> Stream {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let piece = match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(chunk.get(..count).unwrap_or_default())),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Error::new(Kind::BadArguments, format!("cannot read the input: {error}"))),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    Pieces(receiver).boxed_unsync()
}

struct Pieces(mpsc::Receiver<Result<Bytes, Error>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
