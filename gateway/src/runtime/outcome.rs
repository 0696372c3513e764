//! How a run ended → an error that says what happened and what to do.
//!
//! One place for every way a guest can fail: traps, panics, refused memory, stops by the pool,
//! exits, output over the limit, and faults of our own. Knows no status codes.

use super::epoch::Stopped;
use super::grants;
use super::names::readable;
use crate::error::{Error, Kind};
use crate::limits::{self, Limits};
use crate::task::Phase;
use std::time::Duration;
use unblock_host::{DirectoryGone, Host, Memory, NoMediaType, OutputTooLarge};
use unblock_pool::Stop;
use wasmtime::{Trap, WasmBacktrace};

/// Lines of the guest's standard error that its caller gets to see.
const STDERR_LINES_MAX: usize = 20;

/// Bytes of them.
const STDERR_BYTES_MAX: usize = 4 << 10;

/// Frames of a backtrace that its caller gets to see.
const FRAMES_MAX: usize = 24;

/// Characters of a cause that reach the log.
const CAUSE_CHARS_MAX: usize = 500;

/// The error of a run that failed inside the engine.
#[must_use]
pub fn failed(error: wasmtime::Error, host: &Host, limits: &Limits, phase: Phase) -> Error {
    let stderr = stderr(host);
    let mut problem = classify(&error, host, limits, stderr.as_deref());
    if problem.kind != Kind::MemoryFull && problem.kind != Kind::Internal {
        problem.backtrace = frames(&error);
        problem.stderr = stderr;
        problem.hints = grants::hints(&host.refusals());
    }
    // The root alone: rendering the chain would demangle the guest's names, which a hostile module can
    // make arbitrarily long.
    let root: String = error.root_cause().to_string().chars().take(CAUSE_CHARS_MAX).collect();
    problem.cause = Some(anyhow::Error::msg(root));
    problem.at(phase)
}

/// The last lines the guest wrote to its standard error.
pub fn stderr(host: &Host) -> Option<String> {
    host.stderr.tail(STDERR_LINES_MAX, STDERR_BYTES_MAX)
}

fn classify(error: &wasmtime::Error, host: &Host, limits: &Limits, stderr: Option<&str>) -> Error {
    if let Some(Stopped(why)) = error.downcast_ref::<Stopped>() {
        return stopped(*why, limits);
    }
    if error.is::<OutputTooLarge>() {
        return output_too_large(limits);
    }
    if let Some(error) = error.downcast_ref::<NoMediaType>() {
        return Error::new(
            Kind::BadResponse,
            format!("the guest set the response's media type, but {error}"),
        );
    }
    if let Some(gone) = error.downcast_ref::<DirectoryGone>() {
        return Error::new(
            Kind::MissingGrant,
            format!("{gone}; create it, or correct dirs under [grants] in the task's manifest"),
        );
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Error::new(
            Kind::MemoryFull,
            "every slot of the machine's budget is taken; try again, or raise --max-runs",
        );
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return Error::new(
            Kind::BadResponse,
            format!("the guest called exit({}) instead of returning; return a value or an error", exit.0),
        );
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        return Error::new(
            Kind::StackOverflow,
            "the guest's call stack is exhausted: endless recursion, or --stack is too small for it",
        );
    }
    if out_of_files(error) {
        return Error::new(
            Kind::MemoryFull,
            "the gateway has no file descriptor left, and the first run of a module with data takes one; \
             try again, or raise its limit: ulimit -n",
        );
    }
    if host.limiter.host_failed() || out_of_memory(error) {
        return Error::new(
            Kind::MemoryFull,
            "the system gave no more memory or memory maps; try again, or raise vm.max_map_count, \
             or lower --max-runs",
        );
    }
    if host.limiter.crowded_out() {
        return memory_full(host.limiter.charge().memory());
    }
    // A refused growth usually ends in a trap or an abort of the guest's allocator.
    if host.limiter.refused() {
        return memory_exceeded(limits);
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return unnamed(error);
    };
    match trap {
        Trap::UnreachableCodeReached => match stderr.and_then(panic_message) {
            Some(message) => Error::new(Kind::Trap, format!("the guest panicked: {message}")),
            None => Error::new(Kind::Trap, format!("the guest trapped: {trap}")),
        },
        Trap::AllocationTooLarge => memory_exceeded(limits),
        _ => Error::new(Kind::Trap, format!("the guest trapped: {trap}")),
    }
}

/// Whether the system refused memory to the engine.
fn out_of_memory(error: &wasmtime::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    let errno = error.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error());
    io.or(errno) == Some(rustix::io::Errno::NOMEM.raw_os_error())
}

/// Whether the system refused a file descriptor to the engine, which keeps a module's data in a file in memory.
fn out_of_files(error: &wasmtime::Error) -> bool {
    let full = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    let codes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error());
    codes.into_iter().any(|code| full.contains(&code))
}

/// Engine errors without a type of their own, told apart by their text.
fn unnamed(error: &wasmtime::Error) -> Error {
    let text = error.root_cause().to_string();
    if text.contains("fuel allocated for hostcalls") {
        return Error::new(
            Kind::OutputTooLarge,
            "the values that crossed between guest and host are over the limit; \
             return bytes from a function of one list<u8>, or through unblock:task/body",
        );
    }
    if error.is::<WasmBacktrace>() {
        // It happened while guest code ran: canonical ABI violations, host calls that refuse.
        return Error::new(Kind::Trap, format!("the guest trapped: {text}"));
    }
    Error::new(Kind::Trap, format!("the guest failed: {text}"))
}

/// The error of whoever finds the process's memory taken.
#[must_use]
pub fn memory_full(memory: &Memory) -> Error {
    let all = limits::bytes(memory.bytes_max());
    let mut error = Error::new(
        Kind::MemoryFull,
        format!("all calls together hold the {all} they may; try again later, or raise --memory-budget"),
    )
    .limit("memory-budget", all);
    error.retry_after = Some(MEMORY_RETRY);
    error
}

/// When to try again while calls hold all memory: most end within that time.
const MEMORY_RETRY: Duration = Duration::from_secs(1);

fn memory_exceeded(limits: &Limits) -> Error {
    let limit = limits::bytes(limits.memory);
    Error::new(
        Kind::MemoryExceeded,
        format!(
            "the guest asked for more than its {limit} of memory and then failed; \
                 give it less to do, or raise `memory` under [limits] in its manifest"
        ),
    )
    .limit("memory", limit)
}

/// The error of a result over the `output` limit.
#[must_use]
pub fn output_too_large(limits: &Limits) -> Error {
    let limit = limits::bytes(limits.output);
    Error::new(
        Kind::OutputTooLarge,
        format!("the result is over {limit}; ask for less, or raise `output` under [limits] in the task's manifest"),
    )
    .limit("output", limit)
    .at(Phase::Encode)
}

/// The error of a run that the pool stopped.
#[must_use]
pub fn stopped(why: Stop, limits: &Limits) -> Error {
    match why {
        Stop::QueueWait => {
            let limit = limits::duration(limits.queue_wait);
            Error::new(Kind::QueueFull, format!("the call waited {limit} for its turn; try again later"))
                .limit("queue_wait", limit)
                .at(Phase::Queue)
        }
        Stop::Wall => {
            let limit = limits::duration(limits.wall);
            Error::new(
                Kind::DeadlineExceeded,
                format!("the run did not end within {limit}; give it less to do, or raise `wall` under [limits] in the task's manifest"),
            )
            .limit("wall", limit)
        }
        Stop::Cpu => {
            let limit = limits::duration(limits.cpu);
            Error::new(
                Kind::CpuExceeded,
                format!("the run used more than {limit} of CPU time; give it less to do, or raise `cpu` under [limits] in the task's manifest"),
            )
            .limit("cpu", limit)
        }
        Stop::Cancelled => Error::new(Kind::Cancelled, "the caller went away"),
        Stop::Shutdown => Error::new(Kind::Draining, "the gateway shut down before the run ended; try again"),
    }
}

/// The innermost guest frames, by function name.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    trace.frames().iter().take(FRAMES_MAX).map(frame).collect()
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    readable(frame.func_name(), frame.func_index(), frame.module().name())
}

/// The message of a Rust panic on the guest's standard error, with its place.
fn panic_message(stderr: &str) -> Option<String> {
    let (_, after) = stderr.rsplit_once("panicked at ")?;
    let (place, rest) = after.split_once('\n').unwrap_or((after, ""));
    let message: Vec<&str> = rest.lines().take_while(|line| !line.starts_with("note: ")).collect();
    let place = place.trim_end_matches(':');
    Some(if message.is_empty() { place.to_owned() } else { format!("{} (at {place})", message.join(" ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let stderr = "noise\n\nthread 'main' (1) panicked at src/lib.rs:3:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(panic_message(stderr).as_deref(), Some("index out of bounds (at src/lib.rs:3:5)"));
        assert_eq!(panic_message("nothing of the sort"), None);
    }
}
