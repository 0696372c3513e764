//! Kind: WASI command (`wasi:cli/run` of 0.2 or 0.3, `_start` of a core module). How one is run.
//!
//! Standard input is the caller's body, standard output becomes the response. Its head is held back
//! until the command has ended or printed [`HELD_BYTES`], so that a command which fails early is
//! answered with its exit code and its last words. Knows no pool and no URLs.

use super::call::Clock;
use super::exchange::Fault;
use crate::error::{Error, Kind, LoadError};
use crate::exchange::{Command, Head, Printed};
use crate::task::{Phase, Timing};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use unblock_host::{Host, Input, Pipe};
use wasmtime::component::InstancePre;
use wasmtime::{ModuleExport, Store, TypedFunc};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::{Command as CommandP2, CommandPre as CommandPreP2};
use wasmtime_wasi::p3::bindings::{Command as CommandP3, CommandPre as CommandPreP3};

/// The interface of a command, without its version.
pub const RUN: &str = "wasi:cli/run";

/// The main function of a core module.
pub const START: &str = "_start";

/// Bytes printed before the head is sent although the command has not ended. What a pipe holds is
/// more, so that it is reached.
const HELD_BYTES: usize = 64 << 10;

const _: () = assert!(HELD_BYTES < unblock_host::PIPE_BYTES_MAX);

/// Bytes looked at to tell text from other bytes.
const SNIFFED_BYTES: usize = 1 << 10;

/// Fields of a CGI header at most.
const CGI_FIELDS_MAX: usize = 100;

/// A compiled command with its imports resolved.
pub enum Linked {
    /// A core module: WASI preview 1 or 0, or none.
    Core(Program),
    /// WASI 0.2.
    P2(CommandPreP2<Host>),
    /// WASI 0.3.
    P3(CommandPreP3<Host>),
}

/// A core module with a main function.
pub struct Program {
    pre: wasmtime::InstancePre<Host>,
    start: ModuleExport,
    asks_at_start: bool,
}

enum Instance {
    Core(TypedFunc<(), ()>),
    P2(CommandP2),
    P3(CommandP3),
}

impl Linked {
    /// Takes a component that exports `wasi:cli/run`.
    ///
    /// # Errors
    /// It is of a version that this engine does not call.
    pub fn component(pre: InstancePre<Host>, run: &str) -> Result<Self, LoadError> {
        let linked = if run.contains("@0.3") {
            CommandPreP3::new(pre).map(Self::P3)
        } else {
            CommandPreP2::new(pre).map(Self::P2)
        };
        linked.map_err(|error| {
            LoadError::new(
                format!("found {run}, which this engine cannot call: {error:#}"),
                "rebuild it for wasm32-wasip2",
            )
        })
    }

    /// Takes a core module that exports [`START`]. One that `asks_at_start` for its directories needs none.
    ///
    /// # Errors
    /// What it exports is no main function.
    pub fn core(pre: wasmtime::InstancePre<Host>, asks_at_start: bool) -> Result<Self, LoadError> {
        let module = pre.module();
        let main = module.get_export(START).is_some_and(|export| {
            export.func().is_some_and(|ty| ty.params().len() == 0 && ty.results().len() == 0)
        });
        match module.get_export_index(START) {
            Some(start) if main => Ok(Self::Core(Program { pre, start, asks_at_start })),
            _ => Err(LoadError::new(
                format!(
                    "found an export {START} with parameters or results, expected the main function of a program"
                ),
                "build it as a program for WASI, or rename the export",
            )),
        }
    }

    async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Instance> {
        Ok(match self {
            Self::Core(program) => {
                store.data_mut().open_directories().await?;
                let instance = program.pre.instantiate_async(&mut *store).await?;
                let start = instance.get_module_export(&mut *store, &program.start);
                let start = start
                    .and_then(wasmtime::Extern::into_func)
                    .ok_or_else(|| wasmtime::Error::msg("the export vanished between load and call"))?;
                Instance::Core(start.typed(&store)?)
            }
            Self::P2(pre) => Instance::P2(pre.instantiate_async(store).await?),
            Self::P3(pre) => Instance::P3(pre.instantiate_async(store).await?),
        })
    }

    fn asks_at_start(&self) -> bool {
        matches!(self, Self::Core(program) if program.asks_at_start)
    }
}

impl Instance {
    /// The exit code.
    async fn run(&self, store: &mut Store<Host>) -> wasmtime::Result<i32> {
        let ended = match self {
            Self::Core(start) => start.call_async(store, ()).await.map(Ok),
            Self::P2(command) => command.wasi_cli_run().call_run(store).await,
            Self::P3(command) => store
                .run_concurrent(async |accessor| {
                    let ended = command.wasi_cli_run().call_run(accessor).await?;
                    // It may return while tasks of its own still write; they are part of it.
                    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    Ok(ended)
                })
                .await
                .and_then(|ended| ended),
        };
        match ended {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => Err(error),
            },
        }
    }
}

/// Runs the command to its end.
pub(super) async fn execute(
    linked: &Linked,
    store: &mut Store<Host>,
    command: Command,
    pipe: &Pipe,
    head: Head,
    clock: &mut Clock,
    timing: &mut Timing,
) -> Result<(), Fault> {
    let Command { arguments, variables, input, printed } = command;
    let stdin = Input::new(input.map_err(std::io::Error::other).boxed_unsync());
    store.data_mut().set_program(unblock_host::Program {
        arguments,
        variables,
        stdin,
        stdout: pipe.clone(),
        asks_at_start: linked.asks_at_start(),
    });
    let instance = linked.instantiate(store).await;
    timing.instantiate = clock.lap();
    let instance = instance.map_err(|error| Fault::Engine(error, Phase::Instantiate))?;
    let mut head = Some(head);
    let code = {
        let mut run = pin!(instance.run(store));
        poll_fn(|cx| {
            let poll = run.as_mut().poll(cx).map_err(|error| Fault::Engine(error, Phase::Run));
            if poll.is_pending()
                && pipe.waiting() >= HELD_BYTES
                && let Err(error) = answer(&mut head, pipe, &printed)
            {
                return Poll::Ready(Err(error.into()));
            }
            poll
        })
        .await?
    };
    if code != 0 {
        return Err(failed(code).into());
    }
    pipe.close();
    answer(&mut head, pipe, &printed)?;
    Ok(())
}

/// Sends the head, unless it was sent.
fn answer(head: &mut Option<Head>, pipe: &Pipe, printed: &Printed) -> Result<(), Error> {
    let Some(head) = head.take() else { return Ok(()) };
    let parts = match printed {
        Printed::As(media_type) => with_type(media_type)?,
        Printed::Sniffed => with_type(pipe.peek(sniff))?,
        Printed::Cgi => cgi(pipe)?,
    };
    // A caller that is gone ends the run by itself.
    let _ = head.send(parts.map(|()| pipe.reader().map_err(|never| match never {}).boxed_unsync()));
    Ok(())
}

fn with_type(media_type: &str) -> Result<http::Response<()>, Error> {
    let mut response = http::Response::new(());
    let value = HeaderValue::from_str(media_type).map_err(|_| bad_header(media_type))?;
    response.headers_mut().insert(CONTENT_TYPE, value);
    Ok(response)
}

fn sniff(bytes: &[u8]) -> &'static str {
    let start = bytes.get(..SNIFFED_BYTES).unwrap_or(bytes);
    let text = match std::str::from_utf8(start) {
        Ok(_) => true,
        // A character that the end of what was looked at cuts through.
        Err(error) => error.error_len().is_none(),
    };
    if text && !start.contains(&0) { "text/plain; charset=utf-8" } else { "application/octet-stream" }
}

/// Takes the header that a CGI program prints first (RFC 3875, section 6).
fn cgi(pipe: &Pipe) -> Result<http::Response<()>, Error> {
    let (response, length) = pipe.peek(cgi_header)?;
    pipe.skip(length);
    Ok(response)
}

fn cgi_header(bytes: &[u8]) -> Result<(http::Response<()>, usize), Error> {
    let mut response = http::Response::new(());
    let mut at = 0;
    for _ in 0..CGI_FIELDS_MAX {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else { break };
        at += length + 1;
        let line = rest.get(..length).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if !response.headers().contains_key(CONTENT_TYPE)
                && !response.headers().contains_key(http::header::LOCATION)
            {
                return Err(Error::new(
                    Kind::BadResponse,
                    "found a CGI header without Content-Type and Location, expected one of them (RFC 3875, 6.2)",
                ));
            }
            return Ok((response, at));
        }
        field(&mut response, line).ok_or_else(|| bad_header(&String::from_utf8_lossy(line)))?;
    }
    Err(Error::new(
        Kind::BadResponse,
        "found no end of the CGI header, expected fields such as `Content-Type: text/plain`, then an empty line; \
         remove `interface = \"cgi\"` from the manifest if the command prints a plain body",
    ))
}

/// Takes one field of a CGI header.
fn field(response: &mut http::Response<()>, line: &[u8]) -> Option<()> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
    let value = line.get(colon + 1..)?.trim_ascii();
    if name == "status" {
        *response.status_mut() = std::str::from_utf8(value.get(..3)?).ok()?.parse().ok()?;
        return Some(());
    }
    let value = HeaderValue::from_bytes(value).ok()?;
    if name == http::header::LOCATION && response.status().is_success() {
        *response.status_mut() = "302".parse().ok()?;
    }
    response.headers_mut().append(name, value);
    Some(())
}

fn bad_header(found: &str) -> Error {
    let found: String = found.chars().take(80).collect();
    Error::new(
        Kind::BadResponse,
        format!("found {found:?} in the response's header, which no header may hold"),
    )
}

fn failed(code: i32) -> Error {
    let mut error = Error::new(
        Kind::TaskError,
        format!("the command exited with code {code}; what it wrote to standard error tells why"),
    );
    error.value = Some(format!("{{\"exit_code\":{code}}}"));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_bytes() {
        assert!(sniff(b"").starts_with("text/"));
        assert!(sniff("grün".as_bytes()).starts_with("text/"));
        let mut cut = vec![b'a'; SNIFFED_BYTES - 1];
        cut.extend("ü".as_bytes());
        assert!(sniff(&cut).starts_with("text/"));
        assert!(sniff(b"\x89PNG").starts_with("application/"));
        assert!(sniff(b"a\0b").starts_with("application/"));
    }

    #[test]
    fn a_cgi_header_is_taken_and_a_wrong_one_refused() {
        let (response, length) =
            cgi_header(b"Status: 404 Not Found\r\nContent-Type: text/html\r\n\r\n<p>").expect("a header");
        assert_eq!((response.status().as_u16(), length), (404, 50));
        let (response, _) = cgi_header(b"Location: /x\n\n").expect("a header");
        assert_eq!(response.status().as_u16(), 302);
        for bad in ["hello\n\n", "\n", "Content-Type: text/plain\n", "Status: 9\n\n", "a b: c\n\n"] {
            assert_eq!(cgi_header(bad.as_bytes()).expect_err(bad).kind, Kind::BadResponse);
        }
    }
}
